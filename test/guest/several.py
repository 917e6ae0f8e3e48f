#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Guests with different kernels on one vbus-dp, each on its bus, talk through the switch.

Checksummed transfers with MTU 9000, each kernel with each; then one of two is killed (SIGKILL of its QEMU)
in mid-transfer, once as the receiver and once as the sender: the other and the backend go on, and the
killed one comes back.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import testpmd as lab  # noqa: E402

MEGABYTES = 20


def start(guest_lab, kernel, host, number):
    machine = guestnet.boot(guest_lab, kernel, host, number)
    guestnet.load(machine)
    near = guestnet.Near(machine, number)
    near.up(guestnet.MTU)
    near.carrier()
    return near


def talk(one, other, what):
    """ping with the largest frames, and a transfer whose checksum must match."""
    one.ping(other.address, 2)
    got, mean = one.ping(other.address, 10, guestnet.MTU - 28)
    lab.check(got == 10, f'{what}: {got} of 10 pings with frames of {guestnet.MTU + 14}, mean {mean} ms')
    want = one.guest.run(f'dd if=/dev/urandom of=/tmp/blob bs=1M count={MEGABYTES} 2>/dev/null; sha256sum </tmp/blob; '
                         'killall httpd 2>/dev/null; httpd -p 8080 -h /tmp', guestnet.SLOW).split()[0]
    begin = lab.time.monotonic()
    got = other.guest.run(f'wget -q -O - http://{one.address}:8080/blob | sha256sum', guestnet.SLOW).split()[0]
    seconds = lab.time.monotonic() - begin
    one.guest.run('killall httpd; rm /tmp/blob')
    lab.check(got == want, f'{what}: {MEGABYTES} MB from guest to guest, the checksum matches, '
              f'{MEGABYTES / seconds:.0f} MB/s')


def killed(host, survivor, victim, reverse):
    """SIGKILL in mid-transfer; the survivor has the server, and goes on with the namespace meanwhile."""
    way = 'receives' if reverse else 'sends'
    survivor.guest.run('iperf3 -s -D')
    # Until the server listens.
    victim.guest.run(f'(until iperf3 -c {survivor.address} -t 60 {"-R" if reverse else ""} >/dev/null 2>&1; '
                     'do sleep 0.2; done) &')
    port = host.port(2)['tx_packets' if reverse else 'rx_packets']
    lab.until(lambda: host.port(2)['tx_packets' if reverse else 'rx_packets'] > port + 1000, 30,
              f'the guest that will be killed {way}', step=0.05)
    victim.guest.kill()
    lab.check(victim.guest.process.returncode == -9, f'killed while it {way}')
    lab.check(host.dp.alive(), 'vbus-dp goes on')
    lab.until(lambda: not host.device(guestnet.device_name(2))['link'], 5, 'its device has no link any more')
    survivor.guest.run('killall iperf3; true')
    got, _ = survivor.ping(host.far.address, 10)
    lab.check(got == 10, 'the other guest goes on: pings')
    rate = survivor.iperf(host.far, 2)
    lab.check(rate > 0.005, f'the other guest goes on: TCP {rate:.2f} Gbit/s')


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    kernels = list(guest_lab.kernels.values())
    host = guestnet.Host(guest_lab, guests=len(kernels))
    nears = [start(guest_lab, kernel, host, number) for number, kernel in enumerate(kernels, 1)]
    for number, near in enumerate(nears):
        other = nears[(number + 1) % len(nears)]
        talk(near, other, f'{near.guest.kernel.name} and {other.guest.kernel.name}')
    for near in nears[2:]:
        near.guest.check_log()
        near.guest.power_off()
    one, other = nears[:2]
    for reverse in (True, False):
        killed(host, one, other, reverse)
        other = start(guest_lab, kernels[1], host, 2)
        talk(one, other, 'come back')
    for near in (one, other):
        near.guest.check_log()
        near.guest.power_off()
    host.stop()


main()
