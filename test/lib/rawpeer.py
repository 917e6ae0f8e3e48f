# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A frontend without a driver: vfio-user, bridge calls and rings by hand (doc/abi.md), for tests that need a peer
which does what no driver does, or that want to see every frame. Linear frames, no capabilities, it polls."""
import array
import json
import mmap
import os
import socket
import struct
import time

VERSION, DMA_MAP, DMA_UNMAP, READ, WRITE, RESET = 1, 2, 3, 9, 10, 13
BAR0, BAR1, CONFIG = 0, 1, 7
NEGOTIATE, QREG, SLOWCALL = 0, 1, 2
DEVOPEN, DEVCLOSE, DEVCALL, DEVSHM = 0, 1, 2, 3
LINKUP, LINKDOWN, MACQUERY = 0, 1, 2
NO_SIGNAL = 0xffffffff
IOQ_HEAD, IOQ_ENTRY = 56, 32

# Where things lie in the peer's memory.
BASE = 0x40000000
SIZE = 8 << 20
CALL, BLOCK = 0x100, 0x200
EVENTS, SLOTS, SLOT = 0x1008, 0x4000, 144
RX, TX = 0x8008, 0xc008
RX_BUFFERS, TX_BUFFERS, BUFFER = 0x100000, 0x200000, 2048
NB_EVENTS, NB = 64, 128


class Refused(Exception):
    """A call of the bridge or of the protocol that was answered by an error."""


class Wire:
    """A vfio-user client: messages, and one file of memory."""

    def __init__(self, path, timeout=20.0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.number = 0
        self.fd = -1
        self.mem = None
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    def send(self, command, payload=b'', fds=()):
        self.number = (self.number + 1) & 0xffff
        message = struct.pack('<HHIII', self.number, command, 16 + len(payload), 0, 0) + payload
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
            sent = self.sock.sendmsg([message], ancillary)
            message = message[sent:]
        self.sock.sendall(message)

    def exactly(self, count):
        data = b''
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise ConnectionError('closed by the server')
            data += more
        return data

    def reply(self):
        head = self.exactly(16)
        _, _, size, flags, error = struct.unpack('<HHIII', head)
        payload = self.exactly(size - 16)
        if flags & 0x20:
            raise Refused(os.strerror(error))
        return payload

    def ask(self, command, payload=b'', fds=()):
        self.send(command, payload, fds)
        return self.reply()

    def version(self):
        text = json.dumps({'capabilities': {'max_msg_fds': 8}}).encode() + b'\0'
        return self.ask(VERSION, struct.pack('<HH', 0, 1) + text)

    def share(self, size=SIZE, iova=BASE):
        """A file of memory, mapped by both."""
        self.fd = os.memfd_create('rawpeer')
        os.ftruncate(self.fd, size)
        self.mem = mmap.mmap(self.fd, size)
        self.ask(DMA_MAP, struct.pack('<IIQQQ', 32, 3, 0, iova, size), [self.fd])

    def read(self, region, offset, count):
        return self.ask(READ, struct.pack('<QII', offset, region, count))[16:]

    def write(self, region, offset, data):
        self.ask(WRITE, struct.pack('<QII', offset, region, len(data)) + data)

    def close(self):
        self.sock.close()
        if self.mem is not None:
            self.mem.close()
            self.mem = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Peer(Wire):
    """A link with one venet device on it, opened and up."""

    def __init__(self, path, timeout=20.0, up=True):
        super().__init__(path, timeout)
        try:
            self.version()
            self.share()
            self.rx_next = self.tx_next = self.tx_reap = self.tx_used = 0
            self.event_next = 0
            self.handle = 0
            self.negotiate()
            if up:
                self.device = self.wait_device()
                self.open(self.device)
                self.link_up()
        except BaseException:
            self.close()
            raise

    # ---- calls

    def bridge(self, vector, block):
        self.mem[BLOCK:BLOCK + len(block)] = block
        self.write(BAR0, 0, struct.pack('<IIQ', vector, len(block), BASE + BLOCK))
        result = struct.unpack('<i', self.read(BAR0, 0, 4))[0]
        if result < 0:
            raise Refused(f'bridge call {vector}: {os.strerror(-result)}')
        return result

    def device_call(self, vector, block):
        """A SLOWCALL; the block of the device call lies behind its descriptor."""
        at = BLOCK + 64
        self.mem[at:at + len(block)] = block
        self.bridge(SLOWCALL, struct.pack('<IIQ', vector, len(block), BASE + at))
        return bytes(self.mem[at:at + len(block)])

    def call(self, func, block=b''):
        at = BLOCK + 256
        self.mem[at:at + len(block)] = block
        self.device_call(DEVCALL, struct.pack('<QIIIIQ', self.handle, func, len(block), 0, 0, BASE + at))
        return bytes(self.mem[at:at + len(block)])

    # ---- setting up

    def format_ring(self, at, count, valid=1):
        self.mem[at:at + IOQ_HEAD + IOQ_ENTRY * count] = bytes(IOQ_HEAD + IOQ_ENTRY * count)
        self.mem[at:at + 16] = struct.pack('<IIII', 0x47fa2fe4, 4, 0x58fa39df, 1)
        self.mem[at + 48:at + 52] = struct.pack('<I', count)
        for number in range(count):
            self.mem[at + IOQ_HEAD + IOQ_ENTRY * number + 24] = valid

    def post(self, at, number, address, room):
        entry = at + IOQ_HEAD + IOQ_ENTRY * number
        self.mem[entry:entry + 24] = struct.pack('<QQQ', number, address, room)
        self.mem[entry + 25] = 1

    def negotiate(self):
        self.bridge(NEGOTIATE, struct.pack('<IIQ', 0xbf53eef5, 1, 0))
        self.format_ring(EVENTS, NB_EVENTS)
        for number in range(NB_EVENTS):
            self.post(EVENTS, number, BASE + SLOTS + SLOT * number, SLOT)
        self.event_next = 0
        self.bridge(QREG, struct.pack('<IIIIQQ', 1, 0, NB_EVENTS, 0, BASE + EVENTS, BASE + SLOTS))

    def event(self):
        """The next event: (id, payload), or None."""
        entry = EVENTS + IOQ_HEAD + IOQ_ENTRY * self.event_next
        if self.mem[entry + 25] != 0:
            return None
        at = SLOTS + SLOT * self.event_next
        slot = bytes(self.mem[at:at + SLOT])
        self.event_next = (self.event_next + 1) % NB_EVENTS
        self.mem[EVENTS + 36:EVENTS + 40] = struct.pack('<I', self.event_next)
        self.mem[EVENTS + 44] = 0
        self.mem[entry + 25] = 1
        self.write(BAR1, 0, bytes(4))
        return struct.unpack_from('<I', slot)[0], slot[8:]

    def wait_device(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            event = self.event()
            if event is None:
                time.sleep(0.001)
            elif event[0] == 0:
                return struct.unpack_from('<Q', event[1])[0]
        raise TimeoutError('no DEVADD')

    def share_block(self, number, at, length):
        self.device_call(DEVSHM, struct.pack('<QIIIIIIQQ', self.handle, number, length, 0, 0, NO_SIGNAL, 0, 0,
                                             BASE + at))

    def open(self, device):
        block = self.device_call(DEVOPEN, struct.pack('<IIQ', device & 0xffffffff, 1, 0))
        self.handle = struct.unpack_from('<Q', block, 8)[0]

    def link_up(self):
        self.format_ring(RX, NB)
        self.format_ring(TX, NB)
        for number in range(NB):
            self.post(RX, number, BASE + RX_BUFFERS + BUFFER * number, BUFFER)
        self.rx_next = self.tx_next = self.tx_reap = self.tx_used = 0
        self.share_block(0, RX, IOQ_HEAD + IOQ_ENTRY * NB)
        self.share_block(1, TX, IOQ_HEAD + IOQ_ENTRY * NB)
        self.call(LINKUP)

    # ---- frames

    def reap(self):
        while self.tx_used and self.mem[TX + IOQ_HEAD + IOQ_ENTRY * self.tx_reap + 25] == 0:
            self.tx_reap = (self.tx_reap + 1) % NB
            self.tx_used -= 1

    def send_frame(self, data):
        """False: no room in the ring."""
        if self.tx_used == NB:
            self.reap()
            if self.tx_used == NB:
                return False
        number = self.tx_next
        at = TX_BUFFERS + BUFFER * number
        self.mem[at:at + len(data)] = data
        self.tx_next = (number + 1) % NB
        self.tx_used += 1
        self.mem[TX + 40:TX + 44] = struct.pack('<I', self.tx_next)
        self.post(TX, number, BASE + at, len(data))
        return True

    def receive_frame(self):
        """A frame, or None."""
        number = self.rx_next
        entry = RX + IOQ_HEAD + IOQ_ENTRY * number
        if self.mem[entry + 25] != 0:
            return None
        length = struct.unpack_from('<Q', self.mem, entry + 16)[0]
        at = RX_BUFFERS + BUFFER * number
        data = bytes(self.mem[at:at + length])
        self.rx_next = (number + 1) % NB
        self.mem[RX + 36:RX + 40] = struct.pack('<I', self.rx_next)
        self.mem[RX + 44] = 0
        self.post(RX, number, BASE + at, BUFFER)
        return data


class Stream:
    """Numbered frames from one peer to another, each looked at; at most `window` are under way, so that a switch has
    no reason to drop one."""

    def __init__(self, source, sink, source_mac, sink_mac, window=48, ether_type=0x88b5):
        self.source, self.sink = source, sink
        self.head = bytes.fromhex((sink_mac + source_mac).replace(':', '')) + struct.pack('>H', ether_type)
        self.window = window
        self.sent = self.received = 0
        self.last = time.monotonic()

    def frame(self, number):
        body = struct.pack('<I', number) * (12 + number % 340)
        return self.head + body

    def pump(self, most=32):
        """Send and receive some; the number received."""
        for _ in range(most):
            if self.sent - self.received >= self.window or not self.source.send_frame(self.frame(self.sent)):
                break
            self.sent += 1
        count = 0
        while count < 2 * most:
            data = self.sink.receive_frame()
            if data is None:
                break
            if data[:12] != self.head[:12]:
                continue  # a stranger's: flooded by the switch
            if data != self.frame(self.received):
                raise AssertionError(f'frame {self.received} of {self.sent} is not the one sent: {len(data)} bytes, '
                                     f'{data[:24].hex()}')
            self.received += 1
            count += 1
        if count:
            self.last = time.monotonic()
        elif time.monotonic() - self.last > 30:
            raise AssertionError(f'nothing came for 30 s after frame {self.received} of {self.sent}')
        return count
