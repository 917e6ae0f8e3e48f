#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A driver that behaves as those of 2009 to 2012 did (olddrv/, section 7 of the ABI) works unchanged.

    olddrv.py [KERNEL...]       6.1 if none is named; the first in every combination, others in two

It negotiates no capability, calls synchronously through I/O ports, has one MSI vector, and takes the guest
down where a driver of old did: on a negative answer, an id or a cookie it does not know, an index that lies.
Every combination of scatter-gather, segmentation, descriptor pool, event queue and large receive, with ping,
the largest frame, TCP both ways, another MTU, the link down and up; loaded and unloaded in one guest life.
"""
import itertools
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import testpmd as lab  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'olddrv')
SENDING = ('sg=0 tso=0 pmtd=0', 'sg=1 tso=0 pmtd=0', 'sg=1 tso=0 pmtd=1', 'sg=1 tso=1 pmtd=0', 'sg=1 tso=1 pmtd=1')
ALL = [f'{sending} evq={evq} l4ro={l4ro}' for sending, evq, l4ro in itertools.product(SENDING, (0, 1), (0, 1))]
SOME = [ALL[0], ALL[-1]]
FATAL = r'old driver: FATAL|load failed|probe failed'


def build(guest_lab, kernel, folder):
    """The module for a kernel; a warning is an error."""
    tree = os.path.join(folder, f'olddrv.{kernel.name}')
    shutil.copytree(SOURCE, tree)
    inside = kernel.where == 'chroot'
    argv = ['make', '-C', kernel.headers, f'M={guest_lab.inside(tree) if inside else tree}', 'W=1',
            'CONFIG_DEBUG_INFO_BTF_MODULES=', 'modules']
    if inside:
        argv = ['chroot', guest_lab.root, *argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, check=False,
                          env=dict(os.environ, LC_ALL='C', MAKEFLAGS=''))
    if done.returncode != 0 or guestlab.warnings(done.stdout):
        lab.fail(f'olddrv for {kernel.version}:\n{done.stdout[-6000:]}')
    return os.path.join(tree, 'olddrv.ko')


def statistics(machine):
    text = machine.run('ethtool -S eth0')
    return {line.split(':')[0].strip(): int(line.split(':')[1]) for line in text.splitlines() if ': ' in line}


def granted(machine, options, seen):
    """South grants what it was asked for, and what it has no notion of it does not."""
    want = dict(part.split('=') for part in options.split())
    sg = (1 + (0xe if want['tso'] == '1' else 0) + (0x20 if want['pmtd'] == '1' else 0)) if want['sg'] == '1' else 0
    expected = {'sg': sg, 'evq': int(want['evq']), 'l4ro': 0xf if want['l4ro'] == '1' else 0}
    got = {key: seen[key] for key in expected}
    if got != expected:
        machine.give_up(f'{options}: granted {got}, not {expected}')


def one_load(machine, near, host, options):
    """One life of the driver in the guest."""
    far = host.far
    machine.run(f'insmod /olddrv.ko {options}')
    machine.wait_path('/sys/class/net/eth0')
    near.up()
    near.carrier()
    near.ping(far.address, 2)
    got, mean = near.ping(far.address)
    large, _ = near.ping(far.address, 5, 1472)
    rates = [near.iperf(far, 2, reverse) for reverse in (False, True)]
    # Another MTU: FLUSHRX under traffic. Then a link that goes down and up.
    near.up(4000)
    longer, _ = near.ping(far.address, 5, 1472)
    machine.run('for i in 1 2 3 4 5; do ip link set eth0 down && ip link set eth0 up || exit 1; done')
    near.up()
    near.carrier()
    again, _ = near.ping(far.address)
    seen = statistics(machine)
    granted(machine, options, seen)
    lab.check(got == 10 and large == 5 and longer == 5 and again >= 9,
              f'{options}: ping {got}/10 (mean {mean} ms), largest {large}/5, MTU 4000 {longer}/5, '
              f'after down and up {again}/10')
    lab.check(min(rates) > 0.002, f'{options}: TCP {rates[0]:.2f} Gbit/s from the guest, {rates[1]:.2f} to it; {seen}')
    machine.run('rmmod olddrv', 60)


def line_interrupt(machine, near, host):
    """By INTx: it works, and a line that is held does not make a storm."""
    machine.run('insmod /olddrv.ko intx=1')
    machine.wait_path('/sys/class/net/eth0')
    kind = machine.run('grep olddrv /proc/interrupts')
    near.up()
    near.carrier()
    near.ping(host.far.address, 2)
    got, mean = near.ping(host.far.address, 20)
    rates = [near.iperf(host.far, 2, reverse) for reverse in (False, True)]
    machine.run('rmmod olddrv', 60)
    text = machine.run('dmesg | grep "old driver: .* interrupts" | tail -1')
    interrupts, events = [int(word) for word in re.search(r'(\d+) interrupts, (\d+) events', text).groups()]
    lab.check('MSI' not in kind and got == 20 and min(rates) > 0.002,
              f'INTx: ping {got}/20 (mean {mean} ms), TCP {rates[0]:.2f} and {rates[1]:.2f} Gbit/s')
    lab.check(interrupts < 3 * events + 100, f'INTx: {interrupts} interrupts for {events} events')


def hot_drop(machine, near, host):
    """The device goes under the driver, which goes on to call and to send (7.15); another one comes."""
    machine.run('insmod /olddrv.ko')
    machine.wait_path('/sys/class/net/eth0')
    near.up()
    near.carrier()
    near.ping(host.far.address, 2)
    name = guestnet.device_name(1)
    host.dp.call('device.detach', name=name)
    machine.run('for i in $(seq 50); do dmesg | grep -q "old driver: dropped" && exit 0; sleep 0.1; done; exit 1')
    # Frames for two rings: they are taken, or the transmit watchdog would bark within seconds.
    machine.run(f'ip neigh replace {host.far.address} lladdr 02:00:00:00:00:77 dev eth0; '
                f'ping -n -q -f -c 600 -W 1 {host.far.address} >/dev/null; sleep 6; true', 120)
    machine.run('ip link set eth0 down && ip link set eth0 up && ip link set eth0 mtu 2000 && ip link set eth0 down')
    host.dp.call('device.attach', name=name, bus='g1')
    machine.wait_path('/sys/class/net/eth1')
    second = guestnet.Near(machine, dev='eth1')
    machine.run('ip address flush dev eth0')
    second.up()
    second.carrier()
    second.ping(host.far.address, 2)
    got, _ = second.ping(host.far.address)
    lab.check(got == 10, f'dropped and added under the driver: the old device takes all calls, the new one {got}/10 pings')
    machine.run('rmmod olddrv', 60)


def one(guest_lab, kernel, loads):
    begin = lab.time.monotonic()
    host = guestnet.Host(guest_lab)
    module = build(guest_lab, kernel, host.folder)
    part = guestlab.extra_part(guest_lab, 'olddrv', {'/olddrv.ko': module})
    # None of our modules is there.
    initrd = guestlab.initramfs(host.folder, guest.parts(guest_lab, kernel, {}, [part]))
    machine = guest.Guest(guest_lab, kernel, host.folder, initrd, guest.vfio_user(host.socket()), name='old', smp=2)
    near = guestnet.Near(machine)
    for options in loads:
        one_load(machine, near, host, options)
    line_interrupt(machine, near, host)
    hot_drop(machine, near, host)
    one_load(machine, near, host, loads[-1])
    bad = machine.run(f'dmesg | grep -E "{FATAL}" || true').strip()
    lab.check(not bad, f'{kernel.name}: the driver never met what would have crashed it {bad}')
    machine.check_log(kernel.name)
    guestnet.clean_up(host, machine)
    print(f'    {kernel.version}: {lab.time.monotonic() - begin:.0f} s', flush=True)


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    for number, kernel in enumerate(guestnet.kernels(guest_lab, sys.argv[1:] or ['6.1'])):
        one(guest_lab, kernel, SOME if number else ALL)


if __name__ == '__main__':
    main()
