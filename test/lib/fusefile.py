#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A file whose storage does what it is told to: fails, hangs, counts, forgets what was not flushed.

It is one file of a FUSE file system, mounted over a file that is there and served by a process of its
own (this program), so that the kernel's whole way to storage lies in between. Writes go to a cache,
fsync moves them to what lasts; lose() is a power failure.

    with fusefile.File(path, size) as file:
        file.fail('read', 4096, 8192, errno.EIO)
"""
import atexit
import ctypes
import errno
import json
import os
import select
import stat
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS = 1, 2, 3, 4, 14, 15, 16, 17
RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, DESTROY, FALLOCATE, BATCH_FORGET = 18, 20, 25, 26, 36, 38, 43, 42
BIG_WRITES, ASYNC_DIO, MAX_PAGES = 1 << 5, 1 << 15, 1 << 22
FOPEN_DIRECT_IO = 1
IO_MAX = 1 << 17
PUNCH_HOLE, ZERO_RANGE, KEEP_SIZE = 2, 16, 1
PAGE = 4096


class Server:
    """The file: `now` is what reads give, `lasting` what a power failure leaves. Dirty pages differ."""

    def __init__(self, device, size):
        self.device = device
        self.now, self.lasting = bytearray(size), bytearray(size)
        self.dirty = set()
        self.rules = []
        self.held = {'read': [], 'write': [], 'fsync': []}
        self.holding = set()
        self.counts = dict.fromkeys(('read', 'write', 'write_through', 'fsync', 'fallocate', 'failed', 'lost_pages'), 0)

    def answer(self, unique, data=b'', error=0):
        try:
            os.write(self.device, struct.pack('<IiQ', 16 + len(data), -error, unique) + data)
        except OSError as why:  # ENOENT: who asked is gone
            if why.errno != errno.ENOENT:
                raise

    def attributes(self):
        size = len(self.now)
        return struct.pack('<QII', 0, 0, 0) + struct.pack('<6Q10I', 1, size, size // 512, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o600,
                                                          1, 0, 0, 0, PAGE, 0)

    def failure(self, what, begin, end):
        for rule in self.rules:
            if rule[0] == what and begin < rule[2] and end > rule[1]:
                self.counts['failed'] += 1
                return rule[3]
        return 0

    def put(self, offset, data):
        self.now[offset:offset + len(data)] = data
        self.dirty.update(range(offset // PAGE, (offset + len(data) + PAGE - 1) // PAGE))

    def keep(self, pages):
        for page in list(pages):
            self.lasting[page * PAGE:(page + 1) * PAGE] = self.now[page * PAGE:(page + 1) * PAGE]
            self.dirty.discard(page)

    def lose(self):
        """Of what was not flushed every other page is lost: storage is free to write any of it."""
        for page in sorted(self.dirty)[::2]:
            self.now[page * PAGE:(page + 1) * PAGE] = self.lasting[page * PAGE:(page + 1) * PAGE]
            self.counts['lost_pages'] += 1
        self.keep(self.dirty)

    # ---- what the kernel asks ----

    def on_read(self, unique, body):
        offset, size = struct.unpack_from('<QI', body, 8)
        error = self.failure('read', offset, offset + size)
        self.counts['read'] += 1
        self.answer(unique, b'' if error else bytes(self.now[offset:offset + size]), error)

    def on_write(self, unique, body):
        offset, size, _, _, flags = struct.unpack_from('<QIIQI', body, 8)
        data = body[40:40 + size]
        error = self.failure('write', offset, offset + size)
        self.counts['write'] += 1
        if error == 0:
            self.put(offset, data)
            if flags & os.O_DSYNC:
                self.counts['write_through'] += 1
                self.keep(range(offset // PAGE, (offset + size + PAGE - 1) // PAGE))
        self.answer(unique, b'' if error else struct.pack('<II', size, 0), error)

    def on_fsync(self, unique, _body):
        error = self.failure('fsync', 0, len(self.now))
        self.counts['fsync'] += 1
        if error == 0:
            self.keep(self.dirty)
        self.answer(unique, b'', error)

    def on_fallocate(self, unique, body):
        offset, length, mode = struct.unpack_from('<QQI', body, 8)
        error = self.failure('fallocate', offset, offset + length)
        self.counts['fallocate'] += 1
        if mode & (PUNCH_HOLE | ZERO_RANGE) == 0:
            error = error or errno.EOPNOTSUPP
        if error == 0:
            self.put(offset, bytes(min(length, len(self.now) - offset)))
        self.answer(unique, b'', error)

    def on_setattr(self, unique, body):
        valid, _, _, size = struct.unpack_from('<IIQQ', body)
        if valid & 8:
            for image in self.now, self.lasting:
                del image[size:]
                image.extend(bytes(size - len(image)))
            self.dirty = {page for page in self.dirty if page * PAGE < size}
        self.answer(unique, self.attributes())

    def request(self):
        """@return False: unmounted"""
        try:
            data = os.read(self.device, IO_MAX + 2 * PAGE)
        except OSError as why:
            return why.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT)
        _, opcode, unique = struct.unpack_from('<IIQ', data)
        body = data[40:]
        kinds = {READ: ('read', self.on_read), WRITE: ('write', self.on_write), FSYNC: ('fsync', self.on_fsync)}
        if opcode in kinds:
            kind, serve = kinds[opcode]
            if kind in self.holding:
                self.held[kind].append((serve, unique, body))
            else:
                serve(unique, body)
        elif opcode == INIT:
            flags = struct.unpack_from('<4I', body)[3] & (BIG_WRITES | ASYNC_DIO | MAX_PAGES)
            self.answer(unique, struct.pack('<4I2H2I2HI7I', 7, 31, 0, flags, 64, 48, IO_MAX, 1, IO_MAX // PAGE, 0, 0, *[0] * 7))
        elif opcode == GETATTR:
            self.answer(unique, self.attributes())
        elif opcode == SETATTR:
            self.on_setattr(unique, body)
        elif opcode == FALLOCATE:
            self.on_fallocate(unique, body)
        elif opcode == OPEN:
            self.answer(unique, struct.pack('<QII', 1, FOPEN_DIRECT_IO, 0))
        elif opcode == STATFS:
            self.answer(unique, struct.pack('<5Q4I6I', 0, 0, 0, 0, 0, PAGE, 255, PAGE, 0, *[0] * 6))
        elif opcode in (RELEASE, FLUSH):
            self.answer(unique)
        elif opcode not in (FORGET, BATCH_FORGET, INTERRUPT, DESTROY):
            self.answer(unique, b'', errno.ENOSYS)
        return True

    # ---- what the test asks ----

    def command(self, line):
        name, *arguments = json.loads(line)
        if name == 'fail':
            self.rules.append(arguments)
        elif name == 'heal':
            self.rules = []
        elif name == 'hold':
            self.holding = set(arguments)
            for kind in self.held:
                if kind not in self.holding:
                    waiting, self.held[kind] = self.held[kind], []
                    for serve, unique, body in waiting:
                        serve(unique, body)
        elif name == 'lose':
            self.lose()
        return dict(self.counts, held=sum(map(len, self.held.values())), dirty=len(self.dirty))


def libc_call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f'{name}: {os.strerror(ctypes.get_errno())}')


def serve(path, size):
    device = os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC)
    options = f'fd={device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0,allow_other,max_read={IO_MAX}'
    libc_call('mount', b'vbus-test', path.encode(), b'fuse', ctypes.c_ulong(6), options.encode())
    server = Server(device, size)
    try:
        print('{}', flush=True)
        commands = b''
        while True:
            for fd in select.select([device, 0], [], [])[0]:
                if fd == device:
                    if not server.request():
                        return
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                commands += data
                while b'\n' in commands:
                    line, commands = commands.split(b'\n', 1)
                    print(json.dumps(server.command(line)), flush=True)
    finally:
        os.close(device)  # what is under way ends with an error
        libc_call('umount2', path.encode(), 2)  # whoever has it open keeps it


class File:
    """From the test's side. missing says why there is none: no FUSE here, or not root."""

    missing = '' if os.path.exists('/dev/fuse') and os.geteuid() == 0 else 'no /dev/fuse, or not root'

    def __init__(self, path, size):
        self.path = path
        with open(path, 'ab'):
            pass
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), path, str(size)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        atexit.register(self.close)
        if not self.process.stdout.readline():
            self.missing = self.process.stderr.read().decode().strip().splitlines()[-1]

    def ask(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b'\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def counts(self):
        return self.ask('count')

    def fail(self, what, begin, end, error):
        """read, write, fsync or fallocate that touches a byte from begin to end."""
        return self.ask('fail', what, begin, end, error)

    def heal(self):
        return self.ask('heal')

    def hold(self, *what):
        """Requests of these kinds are not answered until they are not named any more."""
        return self.ask('hold', *what)

    def lose(self):
        """The power fails."""
        return self.ask('lose')

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == '__main__':
    serve(sys.argv[1], int(sys.argv[2]))
