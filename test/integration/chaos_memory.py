#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Every allocation of the control path fails once: the first, the second, and so on, of each request and of each
peer that comes up. The request is served or refused, vbus-dp goes on, nothing of a refused request stays, and frames
of two peers go on, each of them right. Beside it: memory for tables used up, and no hugepages to start with.
"""
import mmap
import os
import re
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import chaos  # noqa: E402
import link  # noqa: E402
import rawpeer  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

MOST = int(os.environ.get('VBUS_CHAOS_ALLOCATIONS', '100'))  # of one request; most have fewer
SOURCE = os.path.join(lab.TOP, 'test', 'lib', 'failalloc.c')


class Failing:
    """The preloaded library and the numbers that it goes by."""

    def __init__(self, folder):
        self.library = os.path.join(folder, 'failalloc.so')
        done = subprocess.run([os.environ.get('CC', 'cc'), '-O2', '-g', '-shared', '-fPIC', '-o', self.library, SOURCE,
                               '-ldl'], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lab.fail(f'{SOURCE}: {done.stderr}')
        path = os.path.join(folder, 'failalloc')
        with open(path, 'wb') as file:
            file.truncate(4096)
        with open(path, 'r+b') as file:
            self.plan = mmap.mmap(file.fileno(), 4096)
        self.env = {'LD_PRELOAD': self.library, 'VBUS_FAILALLOC': path}
        if link.SANITIZED:
            self.env['ASAN_OPTIONS'] = 'abort_on_error=1:detect_leaks=0:verify_asan_link_order=0'

    def arm(self, number):
        self.plan[:8] = struct.pack('<q', number)

    def disarm(self):
        """True: the allocation was reached, and failed."""
        left = struct.unpack('<q', self.plan[:8])[0]
        self.arm(0)
        return left <= 0

    def failed(self):
        return struct.unpack('<q', self.plan[8:16])[0]


def names(rig, kind):
    answer = rig.dp.call(f'{kind}.list')
    return sorted(row['name'] for row in next(value for value in answer.values() if isinstance(value, list)))


def everything(rig):
    return {kind: names(rig, kind) for kind in ('bus', 'device', 'switch')}


class Requests:
    """What is tried; undo() brings back what was before, whether it was served or refused."""

    def __init__(self, rig):
        self.rig = rig
        self.folder = rig.folder
        self.before = everything(rig)

    def undo(self):
        now = everything(self.rig)
        for kind in ('device', 'bus', 'switch'):
            for name in set(now[kind]) - set(self.before[kind]):
                if kind == 'device' and self.rig.row(kind, name).get('bus'):
                    self.rig.dp.call('device.detach', name=name)
                self.rig.dp.call(f'{kind}.delete', name=name)
        if not self.rig.row('device', 'd').get('bus'):
            self.rig.dp.call('device.attach', name='d', bus='d')
        for path in os.listdir(self.folder):
            if path.startswith('new.sock') and 'new' not in self.before['bus'] and os.path.exists(
                    os.path.join(self.folder, path)):
                lab.fail(f'{path} stayed behind')

    def ask(self, method, **params):
        """True when it was served; no answer at all is a refusal, too: the connection went instead."""
        try:
            answer = self.rig.dp.ask(method, **params)
        except (ValueError, OSError):
            return False
        if 'error' in answer and not answer['error']['message']:
            lab.fail(f'{method}: refused without a reason: {answer}')
        return 'error' not in answer

    def bus_create(self):
        return self.ask('bus.create', name='new', socket=f'{self.folder}/new.sock')

    def switch_create(self):
        return self.ask('switch.create', name='new', size=1024)

    def venet_create(self):
        return self.ask('device.create', **{'name': 'new', 'class': 'venet', 'switch': 'br1', 'bus': 'c'})

    def serial_create(self):
        return self.ask('device.create', **{'name': 'new', 'class': 'serial', 'listen': f'{self.folder}/tty.sock',
                                            'bus': 'c'})

    def rng_create(self):
        return self.ask('device.create', **{'name': 'new', 'class': 'rng', 'bus': 'c'})

    def block_create(self):
        return self.ask('device.create', **{'name': 'new', 'class': 'block', 'file': f'{self.folder}/disk', 'bus': 'c'})

    def lists(self):
        return self.ask('device.list') and self.ask('bus.list')

    def metrics(self):
        return self.ask('metrics')

    def device_set(self):
        return self.ask('device.set', name='c', mtu=1400)

    def move(self):
        return self.ask('device.detach', name='d') and self.ask('device.attach', name='d', bus='d')

    def config_save(self):
        return self.ask('config.save', file=f'{self.folder}/saved.conf')

    def sighup(self):
        dp = self.rig.dp
        start = len(dp.text())
        dp.process.send_signal(signal.SIGHUP)
        return 'serving what' in dp.wait_log(r'reading .* again\n(.*\n)', start).group(1)

    def peer(self):
        """A peer that comes up, sends, and goes; refused where it may be."""
        try:
            peer = rawpeer.Peer(self.rig.path('c'), timeout=5)
        except (OSError, rawpeer.Refused):
            return False
        peer.send_frame(bytes(60))
        peer.close()
        return True


def each_in_turn(rig, failing, requests, what):
    served = refused = number = count = 0
    request = getattr(requests, what)
    while number < MOST:
        number += 1
        failing.arm(number)
        ok = request()
        reached = failing.disarm()
        count += reached
        served, refused = served + (ok and reached), refused + (reached and not ok)
        if not rig.dp.alive():
            rig.dp.give_up(f'{what}: allocation {number} failed, and so did vbus-dp ({rig.dp.process.poll()})')
        requests.undo()
        rig.flows(10, what)
        if not reached:
            if not ok and what != 'peer':
                lab.fail(f'{what}: refused although nothing failed')
            break
    return count, served, refused


def allocations(folder):
    failing = Failing(folder)
    rig = chaos.Rig(env=failing.env)
    with open(os.path.join(rig.folder, 'disk'), 'wb') as disk:
        disk.truncate(1 << 20)
    rig.connect()
    requests = Requests(rig)
    everything_before = requests.before
    total = 0
    for what in ('lists', 'bus_create', 'switch_create', 'venet_create', 'serial_create', 'rng_create', 'block_create',
                 'device_set', 'move', 'metrics', 'config_save', 'sighup', 'peer'):
        getattr(requests, what)()  # once as it should be: what it keeps from then on is no leak
        requests.undo()
        fds = rig.settle_fds(0, timeout=0.2)
        count, served, refused = each_in_turn(rig, failing, requests, what)
        lab.check(count > 0 and everything(rig) == everything_before,
                  f'{what}: {count} allocations failed in turn, of them {served} times served, {refused} refused')
        lab.check(rig.settle_fds(fds) <= fds, f'{what}: {rig.fds()} descriptors are open, {fds} were')
        total += count
    rig.exchange()
    lab.check(failing.failed() == total, f'{total} allocations failed; {rig.exact()} frames of the others, all right')
    rig.disconnect()
    rig.dp.stop()


def tables():
    """Switches until there is no memory for one more; then again, when there is."""
    rig = chaos.Rig(memory=128)
    rig.connect()
    count, answer = 0, {}
    while 'error' not in answer and count < 200:
        answer = rig.dp.ask('switch.create', name=f'big{count}', size=1 << 16)
        count += 1
        rig.pump()
    lab.check('error' in answer and 'memory' in answer['error']['message'] and answer['error']['data']['errno'] == 'ENOMEM',
              f'{count - 1} large tables, then: {answer.get("error")}')
    rig.flows(what='without memory')
    for number in range(count - 1):
        rig.dp.call('switch.delete', name=f'big{number}')
    rig.dp.call('switch.create', name='big', size=1 << 16)
    rig.exchange()
    rig.disconnect()
    rig.dp.stop()


def no_hugepages():
    """More than there is: it says so, and ends."""
    with open('/proc/meminfo', encoding='utf-8') as meminfo:
        free = int(re.search(r'HugePages_Free:\s+(\d+)', meminfo.read()).group(1))
    folder = lab.scratch()
    dp = vbusdp.VbusDp(folder, 'mode = busy\n', memory=2 * free + 1 << 20, huge=True, start=False)
    status = dp.process.wait(60)
    lab.check(status == 1 and re.search('memory|hugepage', dp.text()), f'hugepages used up: status {status}, it says so')


def main():
    lab.need_root()
    allocations(lab.scratch())
    tables()
    no_hugepages()


main()
