# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A server of QEMU's ivshmem-doorbell devices: it hands out a file as the memory that all peers see, and an eventfd
for each of them. Messages are numbers of 64 bits, some with a descriptor: version 0, the peer's own number, -1 with the
memory, then each peer's number with its eventfd, the new one's own last; a bare number when one goes."""
import os
import socket
import struct
import threading


class Server:
    """Serves at `path`, from threads of its own, until close()."""

    def __init__(self, path, memory):
        self.memory = os.open(memory, os.O_RDWR | os.O_CLOEXEC)
        self.lock = threading.Lock()
        self.peers = {}  # number: (socket, eventfd)
        self.next = 1
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(8)
        threading.Thread(target=self._run, daemon=True).start()

    @staticmethod
    def _send(sock, number, fd=None):
        data = struct.pack('<q', number)
        try:
            if fd is None:
                sock.sendall(data)
            else:
                socket.send_fds(sock, [data], [fd])
        except OSError:
            pass  # it goes: its own thread sees that

    def _run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                number, fd = self.next, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self.next += 1
                self._send(sock, 0)
                self._send(sock, number)
                self._send(sock, -1, self.memory)
                for other, (its, event) in self.peers.items():
                    self._send(its, number, fd)
                    self._send(sock, other, event)
                self.peers[number] = (sock, fd)
                self._send(sock, number, fd)
            threading.Thread(target=self._watch, args=(number,), daemon=True).start()

    def _watch(self, number):
        """A peer says nothing: what comes is its end."""
        sock, fd = self.peers[number]
        try:
            sock.recv(1)
        except OSError:
            pass
        with self.lock:
            if self.peers.pop(number, None) is None:
                return
            for its, _ in self.peers.values():
                self._send(its, number)
        sock.close()
        os.close(fd)

    def close(self):
        """The server goes, with all of its connections; the memory stays."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        with self.lock:
            for sock, _ in self.peers.values():
                sock.shutdown(socket.SHUT_RDWR)
