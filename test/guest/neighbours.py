#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What one guest does costs another no frame, and leaves nothing behind in vbus-dp.

    neighbours.py [KERNEL]

Three guests with a driver of old (olddrv/) on one vbus-dp. Two of them talk all the time, with large frames
that the one sends whole and the other takes in pages. The third is stopped (SIGSTOP) while it is flooded,
goes on, is reset, panics, is killed, again and again on the same socket, and in the end writes garbage into
its rings, registers and ports. Descriptors, mappings and open devices are counted after each end.
"""
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import olddrv  # noqa: E402
import testpmd as lab  # noqa: E402

RESETS = 4
PANICS = 2
KILLS = 6
STALL = 4
RAGE = 10


class Life:
    """The victim: a guest on bus 3 that comes back."""

    def __init__(self, guest_lab, kernel, host, initrd):
        self.make = lambda: guest.Guest(guest_lab, kernel, host.folder, initrd, guest.vfio_user(host.socket(3)),
                                        name='victim', memory=256)
        self.host = host
        self.machine = self.near = None

    def begin(self):
        self.machine = self.make()
        self.near = guestnet.Near(self.machine, 3)

    def load(self, options=''):
        self.machine.run('insmod /olddrv.ko ' + options)
        self.machine.wait_path('/sys/class/net/eth0')
        self.near.up()
        self.near.carrier()
        self.near.ping(self.host.far.address, 1)
        got, _ = self.near.ping(self.host.far.address, 3)
        if got != 3:
            self.machine.give_up(f'{got} of 3 pings')


def holds(host):
    """What vbus-dp holds: descriptors, mappings of guests' memory, open devices of bus 3."""
    pid = host.dp.process.pid
    with open(f'/proc/{pid}/maps', encoding='ascii', errors='replace') as file:
        maps = sum('memory-backend' in line for line in file)
    row = host.dp.call('bus.list', name='g3')['buses'][0]
    return {'fds': len(os.listdir(f'/proc/{pid}/fd')), 'maps': maps, 'open': row['open_devices']}


def settled(host, want, what):
    """Wait until vbus-dp holds this, and no more."""
    deadline = lab.time.monotonic() + 10
    while (now := holds(host)) != want and lab.time.monotonic() < deadline:
        lab.time.sleep(0.1)
    if now != want:
        host.dp.give_up(f'{what}: holds {now}, not {want}')


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel(sys.argv[1]) if len(sys.argv) > 1 else guestnet.kernels(guest_lab, [])[0]
    host = guestnet.Host(guest_lab, guests=3)
    module = olddrv.build(guest_lab, kernel, host.folder)
    part = guestlab.extra_part(guest_lab, 'olddrv', {'/olddrv.ko': module})
    initrd = guestlab.initramfs(host.folder, guest.parts(guest_lab, kernel, {}, [part]))
    pair = []
    for number in (1, 2):
        machine = guest.Guest(guest_lab, kernel, host.folder, initrd, guest.vfio_user(host.socket(number)), memory=256,
                              name=f'guest{number}')
        machine.run('insmod /olddrv.ko')
        machine.wait_path('/sys/class/net/eth0')
        near = guestnet.Near(machine, number)
        near.up(guestnet.MTU)
        near.carrier()
        pair.append(near)
    talk_large(pair)
    victims(guest_lab, kernel, host, initrd, pair)
    for near in pair:
        bad = near.guest.run(f'dmesg | grep -E "{olddrv.FATAL}" || true').strip()
        lab.check(not bad, f'{near.guest.name}: met nothing that would have crashed it {bad}')
        near.guest.check_log('in the end')
        near.guest.power_off()
    host.stop()


def talk_large(pair):
    """Frames as large as TCP makes them: sent whole by one, taken in pages by the other."""
    one, other = pair
    one.ping(other.address, 2)
    got, mean = one.ping(other.address, 10, guestnet.MTU - 28)
    token = other.guest.start('iperf3 -s -1 >/dev/null')
    # Until the server listens. With -J it ends with 0 when it is refused.
    text, _ = one.guest.status(f'for i in $(seq 100); do iperf3 -c {other.address} -t 3 -J >/tmp/i; '
                               'grep -A9 sum_received /tmp/i && break; sleep 0.3; done', 60)
    other.guest.finish(token, 60, check=False)
    rate = float(re.search(r'"bits_per_second":\s*([\d.e+]+)', text).group(1)) / 1e9
    seen = olddrv.statistics(other.guest)
    lab.check(got == 10 and rate > 0.005, f'MTU {guestnet.MTU} between old drivers: {got}/10 pings of {mean} ms, TCP '
              f'{rate:.2f} Gbit/s')
    lab.check(seen['rx_gso'] > 0 and seen['rx_frags'] > 0 and seen['rx_csum'] > 0,
              f'large frames in pages, checksums left to the receiver: {seen}')


def victims(guest_lab, kernel, host, initrd, pair):
    quiet = holds(host)
    life = Life(guest_lab, kernel, host, initrd)
    life.begin()
    life.load()
    loaded = holds(host)
    lab.check(loaded['open'] == 1, f'a third guest: {loaded}')

    def stalled():
        os.kill(life.machine.process.pid, signal.SIGSTOP)
        flood = host.far.spawn('ping', '-n', '-q', '-f', life.near.address)
        lab.time.sleep(STALL)
        flood.kill()
        flood.wait()
        os.kill(life.machine.process.pid, signal.SIGCONT)
    beside(pair, STALL + 2, 'stopped and flooded', stalled)
    got, _ = life.near.ping(host.far.address)
    lab.check(got == 10, f'it goes on: {got}/10 pings')

    for number in range(RESETS):
        at = len(life.machine.output)
        life.machine.qmp('system_reset')
        settled_open(host, f'reset {number + 1}')
        life.machine.wait_ready(at)
        life.load()
        settled(host, loaded, f'reset {number + 1}, loaded again')
    lab.check(True, f'{RESETS} resets: nothing left open, as many descriptors and mappings as before')

    for number in range(PANICS):
        at = len(life.machine.output)
        life.machine.start('echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger')
        life.machine.wait_ready(at)
        life.load()
        settled(host, loaded, f'panic {number + 1}, loaded again')
    lab.check(True, f'{PANICS} panics: the same')

    for number in range(KILLS):
        beside(pair, 2, f'killed, {number + 1}', life.machine.kill)
        settled(host, quiet, f'kill {number + 1}')
        life.begin()
        life.load()
        settled(host, loaded, f'kill {number + 1}, back again')
    lab.check(True, f'{KILLS} kills: all freed, back on the same socket each time')

    life.machine.kill()
    settled(host, quiet, 'before the end')
    life.begin()
    life.machine.run(f'insmod /olddrv.ko hostile={RAGE}')
    life.machine.wait_path('/sys/class/net/eth0')
    life.near.up()
    beside(pair, RAGE + 7, 'garbage', lambda: None)
    text = life.machine.console_text() + (life.machine.status('dmesg', 10)[0] if life.machine.alive() else '')
    lab.check('old driver: raging' in text,
              f'the third guest raged{"" if "old driver: raged" in text else " until it died of it"}')
    row = host.dp.call('bus.list', name='g3')['buses'][0]
    print(f'    {row}', flush=True)
    life.machine.kill()
    settled(host, quiet, 'after the garbage')
    life.begin()
    life.load()
    lab.check(host.dp.alive(), 'its successor has a network')
    life.machine.kill()


def settled_open(host, what):
    deadline = lab.time.monotonic() + 10
    while (now := holds(host)['open']) != 0 and lab.time.monotonic() < deadline:
        lab.time.sleep(0.02)
    if now:
        host.dp.give_up(f'{what}: {now} devices are still open')


def replies(machine):
    """Echo replies that the guest's stack took. Ping's own count has holes: its socket holds 8 large buffers, and a
    guest that gets no CPU for a second takes more than that at once."""
    names, values = machine.run('grep ^Icmp: /proc/net/snmp').strip().splitlines()[-2:]
    return int(dict(zip(names.split(), values.split()))['InEchoReps'])


def beside(pair, seconds, what, action):
    """One of the pair pings the other for so long, while something is done to the third."""
    near, other = pair
    count = int(seconds * 20)
    before = replies(near.guest)
    token = near.guest.start(f'ping -n -q -c {count} -i 0.05 -W 10 {other.address}')
    lab.time.sleep(0.3)
    action()
    text, _ = near.guest.finish(token, 120, check=False)
    sent = int(re.search(r'(\d+) packets transmitted', text).group(1))
    got = replies(near.guest) - before
    lab.check(sent == got, f'{what}: its neighbours lost {sent - got} of {sent} frames')


main()
