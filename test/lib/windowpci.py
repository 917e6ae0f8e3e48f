# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A PCI function that is a window and nothing else (doc/abi.md section 13), for QEMU's vfio-user-pci: 11da:2000 with a
file as BAR 2. It has no other BAR and no interrupt, and keeps none of the guest's memory that it is offered."""
import array
import json
import os
import socket
import struct
import threading

VERSION, DMA_MAP, DMA_UNMAP, INFO, REGION, IRQ, READ, WRITE, RESET = 1, 2, 3, 4, 5, 7, 9, 10, 13
BAR, CONFIG = 2, 7
NB_REGIONS, NB_IRQS = 9, 5
REPLY, ERROR = 0x1, 0x20
READ_WRITE, MMAP = 0x3, 0x4
ENOTSUP = 95


class WindowFunction:
    """Serves one client after the other at `path`, from a thread of its own."""

    def __init__(self, path, window):
        self.file = os.open(window, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self.file).st_size
        self.config = bytearray(256)
        struct.pack_into('<HH4xB', self.config, 0, 0x11da, 0x2000, 2)
        struct.pack_into('<H', self.config, 10, 0x0680)
        struct.pack_into('<I', self.config, 0x18, 0xc)  # BAR 2: memory, 64 bits, prefetchable
        self.offered = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(1)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            peer, _ = self.sock.accept()
            try:
                while self._message(peer):
                    pass
            except OSError:
                pass
            peer.close()

    @staticmethod
    def _exactly(peer, count):
        data = b''
        while len(data) < count:
            more, fds, _, _ = socket.recv_fds(peer, count - len(data), 16)
            for fd in fds:
                os.close(fd)  # no memory of the guest's
            if not more:
                return None
            data += more
        return data

    def _message(self, peer):
        head = self._exactly(peer, 16)
        if head is None:
            return False
        number, command, size, flags, _ = struct.unpack('<HHIII', head)
        payload = self._exactly(peer, size - 16) if size > 16 else b''
        if payload is None:
            return False
        answer, fds = self._answer(command, payload)
        if flags & 0x10:  # no reply is wanted
            return True
        if answer is None:
            message = struct.pack('<HHIII', number, command, 16, REPLY | ERROR, ENOTSUP)
        else:
            message = struct.pack('<HHIII', number, command, 16 + len(answer), REPLY, 0) + answer
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        peer.sendall(message[peer.sendmsg([message], ancillary):])
        return True

    def _answer(self, command, payload):
        """(the reply's payload, or None: refused; its descriptors)"""
        fds = []
        answer = b''
        if command == VERSION:
            answer = payload[:4] + json.dumps({'capabilities': {'max_msg_fds': 16}}).encode() + b'\0'
        elif command == DMA_MAP:
            self.offered += 1
        elif command == DMA_UNMAP:
            answer = payload
        elif command == INFO:
            answer = struct.pack('<IIII', 16, 3, NB_REGIONS, NB_IRQS)
        elif command == REGION:
            index = struct.unpack_from('<I', payload, 8)[0]
            size = {BAR: self.size, CONFIG: len(self.config)}.get(index, 0)
            flags = (READ_WRITE if size else 0) | (MMAP if index == BAR else 0)
            answer = struct.pack('<IIIIQQ', 32, flags, index, 0, size, 0)
            if index == BAR:
                fds = [self.file]
        elif command == IRQ:
            answer = struct.pack('<IIII', 16, 0, struct.unpack_from('<I', payload, 8)[0], 0)
        elif command in (READ, WRITE):
            answer = self._access(command, payload)
        elif command != RESET:
            answer = None
        return answer, fds

    def _access(self, command, payload):
        offset, region, count = struct.unpack_from('<QII', payload)
        if command == READ:
            if region == CONFIG:
                return payload[:16] + bytes(self.config[offset:offset + count])
            return payload[:16] + os.pread(self.file, count, offset) if region == BAR else None
        data = payload[16:16 + count]
        if region == CONFIG and offset == 4:  # the command; QEMU has the rest itself
            self.config[4:4 + min(len(data), 2)] = data[:2]
        elif region == BAR:
            os.pwrite(self.file, data, offset)
        return payload[:16]
