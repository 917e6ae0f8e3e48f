#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Either side is killed or stopped at any point under traffic, again and again; who is left goes on.

A peer's process (two links, frames both ways, each looked at) is killed or stopped at a random moment, sometimes in
the middle of setting up; vbus-dp is stopped and continued, and killed and started again, with a DPDK frontend beside
it that has to keep its port and come back by itself.

VBUS_CHAOS=1000 for the long form, VBUS_SEED=N for the same again.
"""
import collections
import os
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import chaos  # noqa: E402
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

ROUNDS = int(os.environ.get('VBUS_CHAOS', '20' if link.SANITIZED else '60'))
CONFIG = chaos.CONFIG + 'bus e { socket = {folder}/e.sock devices = { e } }\ndevice e { class = venet switch = br1 }\n'


class Child:
    """A process with c and d, which writes a byte for each hundred frames that were right, 'x' for one that was not."""

    def __init__(self, rig):
        self.ends = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                for stream in rig.streams:
                    stream.source.sock.close()
                rig.streams = []
                self.work(rig)
            except AssertionError:
                traceback.print_exc()
                os.write(self.ends[1], b'x')
            except (OSError, TimeoutError):
                os.write(self.ends[1], b'.')  # vbus-dp is gone: so are we
            os._exit(0)
        os.close(self.ends[1])
        os.set_blocking(self.ends[0], False)
        self.good = 0

    def work(self, rig):
        streams = rig.pair('c', 'd')
        told = 0
        while True:
            for stream in streams:
                stream.pump()
            now = min(stream.received for stream in streams) // 100
            if now > told:
                os.write(self.ends[1], b'.')
                told = now

    def look(self):
        try:
            data = os.read(self.ends[0], 4096)
        except BlockingIOError:
            data = b''
        if b'x' in data:
            lab.fail('the child saw a wrong frame')
        self.good += len(data)

    def flows(self, rig, what):
        self.look()
        mark = self.good + 2
        deadline = time.monotonic() + 60
        while self.good < mark:
            rig.pump()
            self.look()
            if time.monotonic() > deadline:
                rig.dp.give_up(f'{what}: no traffic of the child')

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.look()
        os.close(self.ends[0])


def some_time(rig, random, most):
    """A random while, with traffic of the others."""
    end = time.monotonic() + random.random() * most
    while time.monotonic() < end:
        rig.pump()


class Rounds:
    def __init__(self, rig, random, north):
        self.rig, self.random, self.north = rig, random, north
        self.child = Child(rig)
        self.child.flows(rig, 'first')
        self.counts = collections.Counter()

    def peer_killed(self):
        """Often under traffic, now and then in the middle of setting up."""
        if self.random.randrange(3):
            self.child.flows(self.rig, 'before the kill')
        some_time(self.rig, self.random, 0.03)
        self.child.end()
        self.child = Child(self.rig)

    def peer_stopped(self):
        self.child.flows(self.rig, 'before the stop')
        some_time(self.rig, self.random, 0.02)
        self.child.signal(signal.SIGSTOP)
        self.rig.flows(100, 'beside a stopped peer')
        self.child.signal(signal.SIGCONT)
        self.child.flows(self.rig, 'after the stop')

    def peer_stopped_and_killed(self):
        self.child.flows(self.rig, 'before the stop')
        self.child.signal(signal.SIGSTOP)
        self.rig.flows(100, 'beside a stopped peer')
        self.child.end()
        self.child = Child(self.rig)

    def backend_stopped(self):
        some_time(self.rig, self.random, 0.02)
        self.rig.dp.process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.random() * 0.05)
        self.rig.dp.process.send_signal(signal.SIGCONT)
        self.rig.flows(100, 'after vbus-dp was stopped')
        self.child.flows(self.rig, 'after vbus-dp was stopped')

    def backend_killed(self):
        some_time(self.rig, self.random, 0.05)
        rig = self.rig
        rig.dp.kill()
        self.child.end()
        rig.disconnect()
        self.north.wait_link(up=False)
        rig.dp = vbusdp.VbusDp(rig.folder, CONFIG)
        self.north.wait_link(timeout=30)
        rig.connect()
        self.child = Child(rig)

    def run(self):
        kinds = ['peer_killed'] * 5 + ['peer_stopped'] * 3 + ['peer_stopped_and_killed'] + ['backend_stopped'] * 3
        for number in range(1, ROUNDS + 1):
            kind = 'backend_killed' if number % 20 == 10 else self.random.choice(kinds)
            getattr(self, kind)()
            self.rig.flows(50, kind)
            self.counts[kind] += 1
            if number % 100 == 0:
                print(f'    {number} rounds', flush=True)


def main():
    random = chaos.seeded('death')
    rig = chaos.Rig(CONFIG)
    north = link.north(rig.folder, rig.path('e'), link='e', memory=128, app=['--total-num-mbufs=2048'])
    north.wait_link()
    rig.connect()
    rounds = Rounds(rig, random, north)
    # From the last start of vbus-dp on: what it has open then, and at the end.
    rounds.backend_killed()
    rounds.child.flows(rig, 'before the rounds')
    rounds.run()
    rounds.child.flows(rig, 'after the last')
    text = ', '.join(f'{kind} {count}' for kind, count in sorted(rounds.counts.items()))
    lab.check(sum(rounds.counts.values()) == ROUNDS, f'survived: {text}')
    fds = rig.fds()
    for _ in range(10):
        rounds.peer_killed()
    rounds.child.flows(rig, 'ten more')
    lab.check(rig.settle_fds(fds) <= fds, f'{rig.fds()} descriptors are open, {fds} were ten kills before')
    lab.check(north.link_up() and list(link.ports(north)) == ['vbus:e.e'], 'the DPDK frontend has kept its port')
    rounds.child.end()
    rig.disconnect()
    north.quit()
    rig.dp.stop()


main()
