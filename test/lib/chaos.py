# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""One vbus-dp with well-behaved peers, for the tests that make others misbehave: peers a and b exchange numbered
frames both ways, each looked at; c and d, on a switch of their own, are the test's to ill-treat."""
import os
import random
import re
import time

import rawpeer
import testpmd as lab
import vbusdp

NAMES = 'abcd'
MAC = {name: f'02:00:00:00:00:0{number}' for number, name in enumerate(NAMES, 1)}
SWITCH = {'a': 'br0', 'b': 'br0', 'c': 'br1', 'd': 'br1'}
CONFIG = 'mode = busy\nswitch br0 {}\nswitch br1 {}\n' + ''.join(
    f'bus {name} {{ socket = {{folder}}/{name}.sock devices = {{ {name} }} }}\n'
    f'device {name} {{ class = venet mac = {MAC[name]} switch = {SWITCH[name]} }}\n' for name in NAMES)


def seeded(what):
    """A random source whose seed is printed, and can be given by VBUS_SEED."""
    seed = int(os.environ.get('VBUS_SEED', '0')) or random.SystemRandom().randrange(1, 1 << 31)
    print(f'    {what}: VBUS_SEED={seed}', flush=True)
    return random.Random(seed)


class Rig:
    def __init__(self, config=CONFIG, **more):
        self.folder = lab.scratch()
        self.dp = vbusdp.VbusDp(self.folder, config, **more)
        self.streams = []

    def path(self, name):
        return os.path.join(self.folder, f'{name}.sock')

    def peer(self, name, **more):
        """A peer; a place may be taken for a moment by the one before it."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return rawpeer.Peer(self.path(name), **more)
            except (OSError, rawpeer.Refused):
                if time.monotonic() > deadline:
                    raise
                self.pump()
                time.sleep(0.002)

    def connect(self):
        """The two that behave."""
        self.streams = self.pair('a', 'b')

    def pair(self, first, second):
        one, other = self.peer(first), self.peer(second)
        return [rawpeer.Stream(one, other, MAC[first], MAC[second]),
                rawpeer.Stream(other, one, MAC[second], MAC[first])]

    def disconnect(self):
        for stream in self.streams:
            stream.source.close()
        self.streams = []

    def pump(self, times=1):
        for _ in range(times):
            for stream in self.streams:
                stream.pump()

    def flows(self, frames=200, what='the others'):
        """So many frames more in each direction, or the end."""
        if not self.dp.alive():
            self.dp.give_up(f'died, status {self.dp.process.poll()}')
        marks = [stream.received + frames for stream in self.streams]
        deadline = time.monotonic() + 60
        while any(stream.received < mark for stream, mark in zip(self.streams, marks)):
            self.pump()
            if time.monotonic() > deadline:
                self.dp.give_up(f'{what}: no traffic')

    def exchange(self, first='c', second='d', frames=100):
        """Two peers come up on these, find everything in order, and go."""
        streams = self.pair(first, second)
        deadline = time.monotonic() + 60
        while any(stream.received < frames for stream in streams):
            for stream in streams:
                stream.pump()
            self.pump()
            if time.monotonic() > deadline:
                self.dp.give_up(f'{first} and {second}: no traffic')
        for stream in streams:
            stream.source.close()

    def fds(self):
        return len(os.listdir(f'/proc/{self.dp.process.pid}/fd'))

    def rss(self):
        with open(f'/proc/{self.dp.process.pid}/status', encoding='utf-8') as status:
            return int(re.search(r'VmRSS:\s+(\d+) kB', status.read()).group(1))

    def settle_fds(self, want, timeout=20):
        """Wait until it has no more descriptors open than that."""
        deadline = time.monotonic() + timeout
        while self.fds() > want and time.monotonic() < deadline:
            self.pump()
            time.sleep(0.01)
        return self.fds()

    def row(self, kind, name):
        answer = self.dp.call(f'{kind}.list', name=name)
        return next(value for value in answer.values() if isinstance(value, list))[0]

    def log_lines(self):
        return len(self.dp.text().splitlines())

    def exact(self):
        return ', '.join(str(stream.received) for stream in self.streams)
