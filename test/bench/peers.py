# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The contenders of test/bench/run: their processes, and how one sample of each kind of work is taken.

Throughput: two stock testpmd with two ports each, a core a side. Round trips: two rtt.c with one port.
All are up for the whole run, and idle (asleep in a read of their input) when it is not their turn, so
that the contenders' samples can follow each other closely.
"""
import os
import re
import subprocess
import time

import bench
import testpmd as lab
from child import Child

MEMORY = 256
MEMORY_RTT = 64
DESCRIPTORS = bench.DESCRIPTORS
WARM = 0.1
BURSTS = 8  # of 32 frames, per port, go round in the closed loop

VBUS = '--vdev net_vbus{n},iface={f}/v.sock,name=p{n}'
MEMIF = '--vdev net_memif{n},role=%s,id={n},rsize=10,socket={f}/m{n}.sock,socket-abstract=no%s'
VHOST = '--vdev net_vhost{n},iface={f}/h{n}.sock,queues=1,client=0'
VIRTIO = ('--vdev net_virtio_user{n},path={f}/h{n}.sock,queues=1,vectorized=1,mrg_rxbuf=0,%s,'
          f'queue_size={DESCRIPTORS}')
WIDE = '--force-max-simd-bitwidth=512 --single-file-segments'

# name: (the backend's arguments per port, the frontend's per port, the frontend's once)
# {n} is the port's number, {f} a folder.
CONTENDERS = {
    'vbus-v2': (VBUS, '-a vbus:b.p{n},ring=v2', '-a vbus:b,socket={f}/v.sock'),
    'vbus-poll': (VBUS, '-a vbus:b.p{n},ring=poll', '-a vbus:b,socket={f}/v.sock'),
    'vbus-keep': (VBUS + ',keep=512', '-a vbus:b.p{n},ring=poll', '-a vbus:b,socket={f}/v.sock'),
    'memif': (MEMIF % ('server', ''), MEMIF % ('client', ''), ''),
    'memif-zc': (MEMIF % ('server', ''), MEMIF % ('client', ',zero-copy=yes'), '--single-file-segments'),
    'vhost-packed': (VHOST, VIRTIO % 'packed_vq=1,in_order=1', WIDE),
    'vhost-split': (VHOST, VIRTIO % 'packed_vq=0,in_order=0', WIDE),
}
WITH_RING = {'poll': ('vbus-poll', 'vbus-keep'), 'v2': ('vbus-v2',)}
RING = 'net_ring'  # one process, pointers only: the bound


def arguments(text, ports, folder):
    return [part for number in range(ports) for part in text.format(n=number, f=folder).split()]


def ring_of(front):
    """The ring that a frontend of ours uses, of 'poll' and 'v2'; its link is up."""
    return 'poll' if re.search(r'Burst mode:.*\bpoll\b', front.command('show rxq info 0 0'), re.I) else 'v2'


def rtt(program, folder, name, eal, cpus, huge, more=()):
    """rtt.c, its port started."""
    lcores = ','.join(f'{number}@{cpu}' for number, cpu in enumerate(cpus))
    one = Child(program, folder, name, ['--lcores', lcores, '-d', lab.PLUGINS, *([] if huge else ['--no-huge']), '-m',
                                        str(MEMORY_RTT), *eal], more)
    one.expect('configured')
    return one


class Trips:
    """Round trips of one contender: the frontend sends, the backend echoes."""

    workers = 1

    def __init__(self, program, folder, name, huge):
        where = os.path.join(folder, f'{name}-rtt')
        os.makedirs(where)
        back, front, once = CONTENDERS[name]
        self.back = rtt(program, where, f'{name}-rtt-back', arguments(back, 1, where), bench.CPUS[:1], huge)
        eal = once.format(f=where).split() + arguments(front, 1, where)
        self.front = rtt(program, where, f'{name}-rtt-front', eal, bench.CPUS[-1:], huge)
        for side in (self.front, self.back):
            side.expect('ready')
        self.pids = [side.process.pid for side in (self.back, self.front)]

    def start(self, _work, size):
        self.size = size
        self.back.send('echo')

    def read(self, seconds):
        return trips(self.front, f'rtt {seconds * 1000:.0f} {self.size}')

    def stop(self):
        self.back.send('stop')

    def close(self):
        self.front.quit()
        self.back.quit()


def trips(child, text):
    """[p50, p99, p99.9], nanoseconds. For as long as a window's the other side may not have had its CPU: then again."""
    for _ in range(20):
        count, lost, *rest = map(int, child.ask(text, 'rtt'))
        if lost:
            print(f'{child.name}: {lost} of {count + lost} frames did not come back')
        if count:
            return rest[:3]
    lab.fail(f'{child.name}: no frame came back')
    return None


class Pair:
    """Throughput of one contender."""

    workers = 1

    def __init__(self, folder, name, huge):
        where = os.path.join(folder, name)
        os.makedirs(where)
        self.name = name
        back, front, once = CONTENDERS[name]
        app = bench.APPLICATION + ['--disable-link-check']
        self.back = lab.Testpmd(where, f'{name}-back', arguments(back, 2, where), app, cpu=bench.CPUS[0], memory=MEMORY,
                                huge=huge)
        eal = once.format(f=where).split() + arguments(front, 2, where)
        self.front = lab.Testpmd(where, f'{name}-front', eal, app, cpu=bench.CPUS[-1], memory=MEMORY, huge=huge, start=False)
        self.pids = [side.process.pid for side in (self.back, self.front)]
        self.state = {}

    def wait(self):
        """Both are up, with link on both ports."""
        self.front.wait_prompt()
        for side in (self.back, self.front):
            for port in (0, 1):
                side.wait_link(port, timeout=60)

    def say(self, side, text):
        """A setting, when it is another one than before."""
        key = (side, ' '.join(text.split()[:2]))
        if self.state.get(key) != text:
            side.command(text)
            self.state[key] = text

    def start(self, work, size):
        for side in (self.back, self.front):
            self.say(side, f'set txpkts {size}')
            self.say(side, f'set portlist {"0,1" if work == "loop" else "0"}')
        if work == 'loop':
            self.start_loop()
        else:
            source, sink = (self.front, self.back) if work == 'n2s' else (self.back, self.front)
            self.ports, self.sink = '0', sink
            self.say(sink, 'set fwd rxonly')
            self.say(source, 'set fwd txonly')
            sink.command('start')
            source.command('start')
        self.running = True
        time.sleep(WARM)

    def start_loop(self):
        """What other work left in the rings does not go round."""
        for side in (self.back, self.front):
            self.say(side, 'set fwd rxonly')
            side.command('start')
        time.sleep(0.02)
        for side in (self.back, self.front):
            side.command('stop')
            self.say(side, 'set fwd io')
        self.back.command('start')
        self.front.command(f'start tx_first {BURSTS}')
        self.ports, self.sink = 'all', self.front

    def read(self, seconds):
        """Million frames a second that arrived; in the loop at the frontend, on both ports."""
        self.sink.command(f'show port stats {self.ports}')
        time.sleep(seconds)
        text = self.sink.command(f'show port stats {self.ports}')
        return sum(map(int, re.findall(r'Rx-pps:\s*(\d+)', text))) / 1e6

    def stop(self):
        for side in (self.front, self.back):
            side.command('stop')

    def close(self):
        self.front.quit()
        self.back.quit()


class Bound:
    """net_ring in one process, for all kinds of work."""

    workers = 2

    def __init__(self, program, folder, huge):
        self.one = rtt(program, folder, RING, [], [bench.CPUS[0], bench.CPUS[-1]], huge, ['ring'])
        self.one.expect('ready')
        self.pids = [self.one.process.pid]

    def start(self, work, size):
        self.work, self.size = {'n2s': 'way', 's2n': 'way'}.get(work, work), size

    def read(self, seconds):
        text = f'{self.work} {seconds * 1000:.0f} {self.size}'
        if self.work == 'rtt':
            return trips(self.one, text)
        return float(self.one.ask(text, 'rate')[0])

    def stop(self):
        pass

    def close(self):
        self.one.quit()


def program(folder):
    """rtt.c, built; None where there is nothing to build it with."""
    done = subprocess.run(['pkg-config', '--cflags', '--libs', 'libdpdk'], capture_output=True, text=True, check=False)
    return bench.compiled(folder, 'rtt', *done.stdout.split(), '-lrte_net_ring')


def offered(folder, huge, name='vbus-poll'):
    """Does the frontend have the ring for pollers, and keep frames? Found by trying."""
    where = os.path.join(folder, f'try-{name}')
    os.makedirs(where)
    back, front, once = CONTENDERS[name]
    app = bench.APPLICATION + ['--disable-link-check']
    try:
        south = lab.Testpmd(where, 'try-back', arguments(back, 1, where), app, cpu=bench.CPUS[0], memory=MEMORY, huge=huge)
    except SystemExit:
        if name == 'vbus-poll':
            raise
        return False  # an argument that is not known
    north = lab.Testpmd(where, 'try-front', [*once.format(f=where).split(), *arguments(front, 1, where)], app,
                        cpu=bench.CPUS[-1], memory=MEMORY, huge=huge)
    north.wait_link(0, timeout=60)
    known = ring_of(north) == 'poll'
    north.quit()
    south.quit()
    return known


def memory(names):
    """Megabytes that all of them take."""
    return sum(2 * (MEMORY + MEMORY_RTT) for name in names if name != RING) + MEMORY_RTT * (RING in names) + 64
