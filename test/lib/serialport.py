# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Serial devices as tests use them: whoever sits at the host's end of a pty or socket, and the guest's ports."""
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import termios
import time

import guestlab
import testpmd as lab


class Terminal:
    """Whoever sits at the host's end of the pty. Limits are for a machine that does much else."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.text = ''

    def wait(self, pattern, start=0, timeout=120):
        deadline = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.M).search(self.text, start)
            if found:
                return found
            if time.monotonic() > deadline:
                lab.fail(f'no /{pattern}/ on the pty within {timeout} s; its end: {self.text[-1500:]!r}')
            if select.select([self.fd], [], [], 0.2)[0]:
                self.text += os.read(self.fd, 65536).decode(errors='replace')

    def drain(self):
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 65536).decode(errors='replace')
        return self.text

    def type(self, text):
        """What came before is looked at no more."""
        at = len(self.text)
        os.write(self.fd, text.encode())
        return at

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def close(self):
        os.close(self.fd)


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(120)
    sock.connect(path)
    return sock


def port_of(machine, name):
    """/dev/ttyVB* of a device, by its name."""
    wait_guest(machine, f'grep -qx {name} /sys/class/tty/ttyVB*/device/name 2>/dev/null')
    path = machine.run(f'grep -lx {name} /sys/class/tty/ttyVB*/device/name').split()[0]
    return '/dev/' + path.split('/')[4]


def wait_guest(machine, condition, timeout=60):
    """Until a shell command of the guest succeeds."""
    machine.run(f'for i in $(seq {timeout * 10}); do {condition} && exit 0; sleep 0.1; done; echo "not: {condition!r}"; exit 1',
                timeout + 60)


def tool_part(guest_lab, folder):
    """A part of an initramfs with ttyctl."""
    program = os.path.join(folder, 'ttyctl')
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'ttyctl.c')
    subprocess.run(['gcc', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program, source], check=True)
    return guestlab.extra_part(guest_lab, 'ttyctl', {'/bin/ttyctl': program})


def lines(machine, port):
    """What ttyctl says of a port: {name: number}."""
    return {key: int(value) for key, value in
            (word.split('=') for word in machine.run(f'ttyctl {port}').split())}


def wait_lines(machine, port, **wanted):
    """Until the port has these values."""
    pattern = ' && '.join(f'ttyctl {port} | grep -qw {key}={value}' for key, value in wanted.items())
    wait_guest(machine, pattern)
