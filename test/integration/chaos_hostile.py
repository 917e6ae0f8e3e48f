#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""A third peer does whatever a peer can: scribbles over its rings, lies in descriptors and calls, sends halves of
messages, never reads, takes its memory away. Frames of two others go on, each of them right; when it behaves again
it is served at once; nothing leaks; the log stays short.

VBUS_CHAOS_SECONDS=N for longer, VBUS_SEED=N for the same again.
"""
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import chaos  # noqa: E402
import link  # noqa: E402
import rawpeer  # noqa: E402
import testpmd as lab  # noqa: E402

SECONDS = float(os.environ.get('VBUS_CHAOS_SECONDS', '10' if link.SANITIZED else '25'))
WILD = (0, 1, 7, 63, 0xfff, 0x1000, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 48) - 1, 1 << 63, (1 << 64) - 1)


class Hostile:
    def __init__(self, rig, random):
        self.rig = rig
        self.random = random
        self.counts = {}

    def wild(self, bits=64):
        """A number that is likely to hurt: around limits, around the peer's memory, or any."""
        value = self.random.choice((
            self.random.choice(WILD), rawpeer.BASE + self.random.randrange(-64, rawpeer.SIZE + 64),
            rawpeer.BASE + rawpeer.SIZE - self.random.randrange(0, 4096), self.random.getrandbits(64),
            self.random.randrange(4096)))
        return value & ((1 << bits) - 1)

    def peer(self):
        return self.rig.peer('c')

    def calls(self, count, call):
        for _ in range(count):
            try:
                call()
            except rawpeer.Refused:
                pass
            self.rig.pump()

    # ---- what it does; each ends with the socket closed, somehow

    def scribble(self):
        """Anything anywhere in rings, heads, signals and event slots."""
        peer = self.peer()
        areas = ((rawpeer.RX, 56 + 32 * rawpeer.NB), (rawpeer.TX, 56 + 32 * rawpeer.NB), (rawpeer.EVENTS, 2200))
        for _ in range(300):
            for _ in range(20):
                at, length = self.random.choice(areas)
                entry = at + 56 + 32 * self.random.randrange((length - 56) // 32)
                peer.mem[entry + 25] = 1
                offset = at + self.random.randrange(length - 8)
                peer.mem[offset:offset + 8] = struct.pack('<Q', self.wild())
            self.rig.pump()
        peer.close()

    def descriptors(self):
        """Rings kept as they should be, addresses and lengths that lie."""
        peer = self.peer()
        for _ in range(300):
            for _ in range(16):
                number, peer.tx_next = peer.tx_next, (peer.tx_next + 1) % rawpeer.NB
                peer.post(rawpeer.TX, number, self.wild(), self.wild())
                peer.post(rawpeer.RX, self.random.randrange(rawpeer.NB), self.wild(), self.wild())
            self.rig.pump()
        peer.close()

    def wild_calls(self):
        """Bridge and device calls with any vector, length and argument."""
        peer = self.peer()

        def call():
            block = struct.pack('<QIIIIQ', self.random.choice((peer.handle, self.wild())), self.wild(32) % 16,
                                self.wild(32), self.wild(32), self.wild(32), self.wild())
            how = self.random.randrange(4)
            if how == 0:
                peer.bridge(self.random.randrange(8), block[:self.random.randrange(33)])
            elif how == 1:
                peer.device_call(self.random.randrange(5), block[:self.random.randrange(33)])
            elif how == 2:
                peer.call(self.random.randrange(12), block[:self.random.randrange(33)])
            else:
                peer.write(rawpeer.BAR0, 0, struct.pack('<IIQ', self.random.randrange(8), self.wild(32), self.wild()))
                peer.read(rawpeer.BAR0, 0, 4)
        self.calls(200, call)
        peer.close()

    def registers(self):
        """Any region, offset and length; signals for handles that nobody gave out."""
        peer = self.peer()

        def access():
            region, offset = self.random.randrange(12), self.random.choice((self.random.randrange(80), self.wild()))
            if self.random.randrange(2):
                peer.read(region, offset, self.random.choice((0, 1, 2, 4, 8, 300)))
            else:
                peer.write(region, offset, self.random.randbytes(self.random.choice((1, 2, 4, 8, 100))))
        self.calls(300, access)
        peer.close()

    def babble(self):
        """No vfio-user at all, headers with sizes that lie, halves of messages; then silence or gone."""
        held = []
        for _ in range(30):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.connect(self.rig.path('c'))
                what = self.random.randrange(4)
                if what == 0:
                    sock.send(self.random.randbytes(self.random.randrange(1, 3000)))
                elif what == 1:
                    sock.send(struct.pack('<HHIII', 1, self.random.randrange(24), self.wild(32), self.wild(32), 0))
                elif what == 2:
                    sock.send(struct.pack('<HHIII', 1, rawpeer.VERSION, 60, 0, 0)[:self.random.randrange(1, 16)])
                else:
                    sock.send(struct.pack('<HHIII', 1, rawpeer.VERSION, 60, 0, 0) + bytes(self.random.randrange(43)))
            except OSError:
                pass
            if self.random.randrange(2):
                sock.close()
            else:
                held.append(sock)
            self.rig.pump(4)
        for sock in held:
            sock.close()

    def never_reads(self):
        """Asks and asks, and reads no answer."""
        peer = self.peer()
        peer.sock.setblocking(False)
        message = struct.pack('<HHIII', 1, rawpeer.READ, 32, 0, 0) + struct.pack('<QII', 0, rawpeer.CONFIG, 256)
        for _ in range(100):
            try:
                for _ in range(1000):
                    peer.sock.send(message)
            except OSError:
                pass
            self.rig.pump(4)
        peer.close()

    def map_churn(self):
        """Memory comes and goes under the rings."""
        peer = self.peer()

        def churn():
            iova = self.random.choice((rawpeer.BASE, 0x80000000 + 0x1000 * self.random.randrange(64), self.wild()))
            size = self.random.choice((rawpeer.SIZE, 0x1000, self.wild()))
            if self.random.randrange(3):
                payload = struct.pack('<IIQQQ', 32, self.random.randrange(4), self.random.choice((0, self.wild())),
                                      iova, size)
                peer.ask(rawpeer.DMA_MAP, payload, [peer.fd] * self.random.randrange(3))
            else:
                peer.ask(rawpeer.DMA_UNMAP, struct.pack('<IIQQ', 24, self.random.choice((0, 0, 0, 2)), iova, size))
        try:
            self.calls(120, churn)
        except ConnectionError:
            pass  # two descriptors with one map: no vfio-user
        peer.close()

    def truncate(self):
        """The memory that it shared is gone (SIGBUS over there), all of it or from the rings on."""
        peer = self.peer()
        for _ in range(20):
            while peer.send_frame(bytes(60)):
                pass
            self.rig.pump()
        os.ftruncate(peer.fd, self.random.choice((0, 0x1000, 0x100000)))
        for _ in range(50):
            self.rig.pump()
        try:
            for _ in range(3):
                peer.write(rawpeer.BAR0, 0, struct.pack('<IIQ', 2, 16, rawpeer.BASE + rawpeer.BLOCK))
                peer.read(rawpeer.BAR0, 0, 4)
        except (rawpeer.Refused, ConnectionError):
            pass
        # Nothing of the mapping may be touched here any more.
        peer.close()

    def starts_over(self):
        """NEGOTIATE, QREG, open, close, up, down: in any order, again and again, over rings of any make."""
        peer = self.peer()

        def start():
            what = self.random.randrange(6)
            if what == 0:
                peer.negotiate()
            elif what == 1:
                peer.bridge(rawpeer.QREG, struct.pack('<IIIIQQ', 1, 0, self.wild(32) % 2048, 0, self.wild(), self.wild()))
            elif what == 2:
                peer.open(self.random.randrange(8))
            elif what == 3:
                peer.device_call(rawpeer.DEVCLOSE, struct.pack('<Q', self.random.choice((peer.handle, self.wild()))))
            elif what == 4:
                peer.share_block(self.random.randrange(8), self.random.choice((rawpeer.RX, rawpeer.TX, 0x100008)),
                                 self.wild(32))
            else:
                peer.link_up()
        self.calls(150, start)
        peer.close()

    def descriptors_sent(self):
        """Descriptors where none belong, of anything, and many of them."""
        peer = self.peer()
        ends = os.pipe()
        with open('/dev/null', 'rb') as null:
            fds = [ends[0], null.fileno(), peer.fd, peer.sock.fileno()]

            def pass_on():
                peer.ask(self.random.choice((rawpeer.DMA_MAP, rawpeer.READ, rawpeer.VERSION, 8)),
                         self.random.randbytes(self.random.choice((20, 32))), self.random.choices(fds, k=20))
            try:
                self.calls(20, pass_on)
            except ConnectionError:
                pass
        for end in ends:
            os.close(end)
        peer.close()


ACTIONS = ('scribble', 'descriptors', 'wild_calls', 'registers', 'babble', 'never_reads', 'map_churn', 'truncate',
           'starts_over', 'descriptors_sent')


def seen(rig):
    """What is wrong with c now: at the device and at its bus."""
    device, bus = rig.row('device', 'c'), rig.row('bus', 'c')
    return device['faults'] + bus['faults'], device.get('fault') or bus.get('fault')


def in_telemetry(rig):
    """(faults, reason, is it negotiated) of c's link, as DPDK's telemetry tells."""
    bus = link.telemetry(rig.dp, '/vbus/link,c')['/vbus/link']['south']
    return bus['faults'], bus['fault'], bus['negotiated']


def sigbus_shows(rig, hostile):
    """The fault of a peer whose memory is gone: counted, named, one line of log, gone with the next that opens."""
    before = seen(rig)[0]
    counted, reason, _ = in_telemetry(rig)
    lab.check(not reason, 'telemetry: no fault before')
    peer = hostile.peer()
    start = len(rig.dp.text())
    os.ftruncate(peer.fd, 0)
    lab.until(lambda: (rig.pump(), seen(rig)[0] > before)[1], 30, 'the fault is counted')
    reason = seen(rig)[1]
    lab.check(reason is not None and 'SIGBUS' in reason, f'memory taken away: {reason}')
    told = in_telemetry(rig)
    lab.check(told[0] > counted and 'SIGBUS' in told[1] and not told[2], f'telemetry: {told}')
    lines = [line for line in rig.dp.text()[start:].splitlines() if 'SIGBUS' in line]
    lab.check(len(lines) == 1, f'one line of log: {lines}')
    peer.close()
    rig.exchange()
    lab.check(seen(rig)[1] is None and not in_telemetry(rig)[1], 'served again, and the fault shows no more')


def main():
    random = chaos.seeded('hostile')
    rig = chaos.Rig()
    fds = rig.fds()
    rig.connect()
    rig.exchange()
    hostile = Hostile(rig, random)
    sigbus_shows(rig, hostile)
    used, rss = rig.settle_fds(fds + 4), rig.rss()
    end = time.monotonic() + SECONDS
    todo = []
    while todo or time.monotonic() < end:
        if not todo:
            todo = random.sample(ACTIONS, len(ACTIONS))
        action = todo.pop()
        begin = time.monotonic()
        try:
            getattr(hostile, action)()
        except ConnectionError:
            pass  # what it did was answered so
        rig.flows(what=action)
        count, seconds = hostile.counts.get(action, (0, 0))
        hostile.counts[action] = (count + 1, seconds + time.monotonic() - begin)
        if not todo:
            rig.exchange()
    print('    ' + ', '.join(f'{name} {count} times' for name, (count, _) in sorted(hostile.counts.items())))
    lab.check(len(hostile.counts) == len(ACTIONS), f'{sum(count for count, _ in hostile.counts.values())} attacks')
    lab.check(rig.settle_fds(used) <= used, f'{rig.fds()} descriptors are open, {used} were')
    grown = rig.rss() - rss
    lab.check(link.SANITIZED or grown < 16384, f'{grown} kB more memory')
    lines = rig.log_lines()
    lab.check(lines < 60 + 10 * sum(count for count, _ in hostile.counts.values()), f'{lines} lines of log')
    lab.check(all(stream.received > 1000 for stream in rig.streams), f'{rig.exact()} frames of the others, all right')
    rig.disconnect()
    rig.dp.stop()


main()
