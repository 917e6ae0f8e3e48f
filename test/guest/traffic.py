#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# per-kernel: yes
"""A stock kernel under a stock QEMU finds the bridge, loads our modules by their aliases, and has a network.

    traffic.py [KERNEL...]

On each kernel of the lab: ping, TCP both ways, a 100 MB download and back with equal checksums, offloads
off and on by ethtool, the interface down and up 100 times under traffic, and what ethtool tells of the
device. The kernel's log has nothing to complain of. (MTU 9000 is several.py's: net_tap's limit is 1500.)
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import testpmd as lab  # noqa: E402

# What udev does with a device: the kernel tells the alias, modprobe finds who serves it.
UDEV = '''for f in $(find /sys/devices -name modalias); do modprobe -qb "$(cat $f)"; done; lsmod'''
OFFLOADS = ('tso off', 'tx off', 'rx off', 'sg off tx off tso off gso off gro off rx off',
            'sg on tx on tso on gso on gro on rx on')
CYCLES = 100


def autoload(machine):
    machine.run(UDEV)  # the PCI function's module
    machine.run('for i in $(seq 50); do ls /sys/bus/vbus/devices/* >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1')
    loaded = machine.run(UDEV)  # the device's, which the bridge brought
    machine.wait_path('/sys/class/net/eth0')
    lab.check(all(re.search(rf'^{name}\b', loaded, re.M) for name in guestlab.MODULES),
              f'{machine.name}: {", ".join(guestlab.MODULES)} came by their aliases')


def information(machine):
    """ethtool has answers to everything that a person asks."""
    text = machine.run('ethtool -i eth0; ethtool eth0; ethtool -g eth0; ethtool -k eth0; ethtool -S eth0')
    for what in (r'^driver: vbus_venet', r'^version: ', r'Link detected: yes', r'^\s*RX:\s+\d+', r'^\s*TX:\s+\d+',
                 r'^scatter-gather: on', r'^tcp-segmentation-offload: on', r'^\s+rx_\w+: [1-9]'):
        lab.check(re.search(what, text, re.M), f'ethtool: /{what}/')
    address = machine.run('cat /sys/class/net/eth0/address').strip()
    lab.check(address == guestnet.mac(1), f'its address is the configured one, {address}')


def down_and_up(machine, near, host):
    """100 times, while the namespace sends all the time."""
    noise = host.far.spawn('ping', '-n', '-q', '-i', '0.002', near.address)
    machine.run(f'for i in $(seq {CYCLES}); do ip link set eth0 down && ip link set eth0 up || exit 1; done', 300)
    noise.kill()
    noise.wait()
    near.carrier()
    near.ping(host.far.address, 2)
    got, _ = near.ping(host.far.address)
    lab.check(got == 10, f'{CYCLES} times down and up under traffic, then {got} of 10 pings')


def one(guest_lab, kernel):
    begin = lab.time.monotonic()
    host = guestnet.Host(guest_lab)
    machine = guestnet.boot(guest_lab, kernel, host)
    what = kernel.name
    print(f'    {machine.name} has kernel {kernel.version}, up after {lab.time.monotonic() - begin:.0f} s', flush=True)
    autoload(machine)
    near = guestnet.Near(machine)
    near.up()
    near.carrier()
    guestnet.traffic(near, host.far, what)
    guestnet.downloads(near, host.far, host.folder, what)
    for features in OFFLOADS:
        machine.run(f'ethtool -K eth0 {features}')
        guestnet.traffic(near, host.far, f'{what}: {features}', 1)
    information(machine)
    down_and_up(machine, near, host)
    drops = {key: value for key, value in host.port().items() if value and 'drop' in key}
    print(f'    vbus-dp dropped {drops}', flush=True)
    machine.check_log(what)
    guestnet.clean_up(host, machine)
    print(f'    {kernel.version}: {lab.time.monotonic() - begin:.0f} s', flush=True)


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    for kernel in guestnet.kernels(guest_lab, sys.argv[1:]):
        one(guest_lab, kernel)


main()
