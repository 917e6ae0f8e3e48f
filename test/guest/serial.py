#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# per-kernel: yes
"""Serial ports, a console and the random source in guests of every kernel (or those that are named).

The kernel's log and a shell on ttyVB0 through the host's pty; random bytes both ways with readers that stall;
carrier, window size, hot drop and rmmod while files are open; /dev/hwrng; a panic's last words.
"""
import fcntl
import hashlib
import os
import re
import select
import socket
import struct
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

CONFIG = """
bus vm1 { socket = {folder}/vm1.sock  devices = { con, data, drop, rng0 } }
device con { class = serial  pty = {folder}/con }
device data { class = serial  listen = {folder}/data.sock }
device drop { class = serial  listen = {folder}/drop.sock }
device rng0 { class = rng }
"""
SIZE = int(os.environ.get('VBUS_SERIAL_MIB', '4')) << 20
PROMPT = '@prompt '


class Terminal:
    """Whoever sits at the host's end of the pty."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.text = ''

    def wait(self, pattern, start=0, timeout=30):
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
    machine.run('for i in $(seq 100); do grep -qx ' + name + ' /sys/class/tty/ttyVB*/device/name 2>/dev/null && exit 0; '
                'sleep 0.1; done; exit 1')
    path = machine.run(f'grep -lx {name} /sys/class/tty/ttyVB*/device/name').split()[0]
    return '/dev/' + path.split('/')[4]


def console(machine, terminal):
    terminal.wait(r'Linux version [^\n]*\r\n')
    terminal.wait(r'console \[ttyVB0\] enabled\r\n')
    machine.run('echo "<1>said to the log" >/dev/kmsg')
    terminal.wait(r'said to the log\r\n')
    active = machine.run('cat /sys/class/tty/console/active')
    lab.check('ttyVB0' in active, f'the kernel logs to the pty from its first line on; consoles: {active.strip()}')


def shell(machine, terminal):
    # In the foreground: a shell without jobs lets those in the background ignore ^C.
    token = machine.start(f'PS1="{PROMPT}" setsid dash -c "exec dash -i </dev/ttyVB0 >/dev/ttyVB0 2>&1"')
    terminal.wait(PROMPT)
    at = terminal.type('echo is $((6 * 7)); tty\r')
    terminal.wait(r'^is 42\r\n', at)
    terminal.wait(PROMPT, at)
    terminal.resize(41, 132)
    time.sleep(1)
    at = terminal.type('stty size </dev/ttyVB0\r')
    terminal.wait(r'^41 132\r\n', at)
    terminal.wait(PROMPT, at)
    at = terminal.type('sleep 1000\r')
    time.sleep(1)
    terminal.type('\x03')
    terminal.wait(PROMPT, at, 10)
    # The echo is out before the ^S: the line discipline may print what the shell wrote before a
    # held echo.
    at = terminal.type('sleep 3; echo one two\r')
    terminal.wait(r'sleep 3; echo one two\r\n', at)
    terminal.type('\x13')
    time.sleep(5)
    lab.check(not re.search(r'^one two', terminal.drain()[at:], re.M), 'it is quiet after ^S')
    terminal.type('\x11')
    terminal.wait(r'^one two\r\n' + PROMPT, at)
    at = terminal.type('echo st\x7f\x7fstill there\r')
    terminal.wait(r'^still there\r\n', at)
    lab.check(True, 'a shell on it: commands, editing, ^C, the window\'s size')
    terminal.type('exit\r')
    machine.finish(token)


def transfer(machine, port, path):
    """Both ways at once; both readers stall for a while."""
    up, down = os.urandom(SIZE), os.urandom(SIZE)
    machine.run(f'stty -F {port} raw -echo clocal')
    sock = connect(path)
    got = bytearray()

    def receive():
        while len(got) < SIZE:
            data = sock.recv(65536)
            if not data:
                return
            if len(got) < SIZE // 2 <= len(got) + len(data):
                time.sleep(3)
            got.extend(data)

    # What the guest sends it has got before.
    take = f'dd bs=4096 count={SIZE // 4096} iflag=fullblock <&3 2>/dev/null'  # not a byte more
    token = machine.start(f'exec 3<>{port}; {take} >/tmp/first; sleep 3; (sleep 3; {take} | sha256sum >/tmp/second) & '
                          'cat /tmp/first >&3; wait; sha256sum </tmp/first; cat /tmp/second; rm /tmp/first')
    begin = time.monotonic()
    sock.sendall(up)
    one = time.monotonic() - begin
    reader = threading.Thread(target=receive)
    reader.start()
    sock.sendall(down)
    text = machine.finish(token, 120)[0]
    reader.join(60)
    sums = [line.split()[0] for line in text.strip().splitlines()[-2:]]
    lab.check(sums[0] == hashlib.sha256(up).hexdigest(), f'{SIZE >> 20} MiB to the guest, {SIZE / one / 1e6:.0f} MB/s')
    lab.check(sums[1] == hashlib.sha256(down).hexdigest(), 'and as much again while it sends')
    lab.check(bytes(got) == up, f'and back: {len(got)} bytes, the same ones, with readers that stall')
    sock.close()


def carrier(machine, port, path):
    machine.run(f'sleep 0.5; exec 3<>{port}; stty -F {port} -clocal raw -echo; '
                f'(echo begin; dd bs=1 count=3 <{port} 2>/dev/null && cat <{port}; echo over) >/tmp/carrier 2>&1 & sleep 1')
    text = machine.run('cat /tmp/carrier')
    lab.check(text.strip() == 'begin', 'an open waits for the carrier')
    sock = connect(path)
    sock.sendall(b'abc')
    machine.run('for i in $(seq 50); do grep -q abc /tmp/carrier && exit 0; sleep 0.1; done; exit 1')
    sock.close()
    machine.run('for i in $(seq 50); do grep -q over /tmp/carrier && exit 0; sleep 0.1; done; cat /tmp/carrier; exit 1')
    lab.check(True, 'and its loss is a hang-up')
    machine.run(f'stty -F {port} clocal 2>/dev/null; true')


def dropped(machine, dp, folder):
    """The device goes while one reads, one has written what nobody takes, and one waits to write."""
    port = port_of(machine, 'drop')
    sock = connect(os.path.join(folder, 'drop.sock'))
    machine.run(f'stty -F {port} raw -echo clocal; (cat <{port}; echo read >>/tmp/ended) & '
                f'(cat /dev/zero >{port} 2>/dev/null; echo wrote >>/tmp/ended) & sleep 1')
    ended = machine.run('cat /tmp/ended 2>/dev/null; true').strip()
    lab.check(ended == '', 'a writer waits for a reader that takes nothing')
    dp.call('device.detach', name='drop')
    machine.run('for i in $(seq 100); do [ "$(wc -l </tmp/ended)" = 2 ] && exit 0; sleep 0.1; done; exit 1')
    machine.run(f'[ ! -e {port} ] && [ ! -e /sys/class/tty/{os.path.basename(port)} ]')
    lab.check(True, 'dropped under open files: reader and writer end, the port is gone')
    dp.call('device.attach', name='drop', bus='vm1')
    lab.check(port_of(machine, 'drop') == port, 'and is there again, with its number')
    sock.close()


def random_bytes(machine):
    machine.run('for i in $(seq 50); do [ -n "$(cat /sys/class/misc/hw_random/rng_available)" ] && exit 0; '
                'sleep 0.1; done; exit 1')
    name = machine.run('cat /sys/class/misc/hw_random/rng_current').strip()
    sizes = machine.run('dd if=/dev/hwrng of=/tmp/random bs=1k count=64 2>/dev/null; wc -c </tmp/random; '
                        'gzip </tmp/random | wc -c; rm /tmp/random').split()
    lab.check(int(sizes[0]) == 65536 and int(sizes[1]) > 65536, f'/dev/hwrng ({name}): 64 KiB that cannot be packed')


def removed(machine, terminal):
    """rmmod while the devices are there; the modules come back and so does the console."""
    machine.run('for i in $(seq 50); do rmmod vbus_serial 2>/dev/null && exit 0; sleep 0.1; done; rmmod vbus_serial', 30)
    machine.run('rmmod vbus_rng && [ -z "$(ls /dev/ttyVB* 2>/dev/null)" ]')
    at = len(terminal.text)
    machine.run('modprobe vbus_serial && modprobe vbus_rng')
    machine.wait_path('/dev/ttyVB2')
    terminal.wait(r'console \[ttyVB0\] enabled\r\n', at)
    lab.check(True, 'rmmod and back')


def panic(machine, terminal):
    at = len(terminal.text)
    machine.start('echo c >/proc/sysrq-trigger')
    terminal.wait(r'Kernel panic - not syncing: [^\n]*\r\n', at, 30)
    lab.check(True, 'a panic says so on the pty')
    machine.kill()


def run(guest_lab, kernel):
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, CONFIG)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel))
    terminal = Terminal(os.path.join(folder, 'con'))
    machine = guest.Guest(guest_lab, kernel, folder, initrd,
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=256,
                          append='console=ttyVB0 loglevel=8')
    machine.run('modprobe vbus_pcibridge; modprobe vbus_serial; modprobe vbus_rng', 60)
    machine.wait_path('/dev/ttyVB2')
    lab.check(port_of(machine, 'con') == '/dev/ttyVB0', f'{kernel.version}: three ports')
    console(machine, terminal)
    shell(machine, terminal)
    data = port_of(machine, 'data')
    transfer(machine, data, os.path.join(folder, 'data.sock'))
    carrier(machine, data, os.path.join(folder, 'data.sock'))
    dropped(machine, dp, folder)
    random_bytes(machine)
    removed(machine, terminal)
    machine.check_log()
    panic(machine, terminal)
    terminal.close()
    dp.stop()


def only_console(guest_lab, kernel):
    """No other console: its log from the first line on, a login, a command, and how it ends."""
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, CONFIG)
    init = os.path.join(lab.TOP, 'test', 'guest', 'init.console')
    more = [guestlab.extra_part(guest_lab, 'console', {'/init.console': init})]
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=more))
    terminal = Terminal(os.path.join(folder, 'con'))
    machine = guest.Guest(guest_lab, kernel, folder, initrd,
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=256, start=False,
                          append='console=ttyVB0 loglevel=8 rdinit=/init.console', console='')
    terminal.wait(r'login:\r\n', timeout=60)
    lab.check(re.search(r'Linux version [^\n]*\r\n', terminal.text) and 'console [ttyS0]' not in terminal.text,
              f'{kernel.version}: console on ttyVB0 alone: the log from its first line on')
    terminal.type('somebody\r')
    terminal.wait(r'^hello somebody\r\n')
    terminal.wait(PROMPT)
    at = terminal.type('cat /sys/class/tty/console/active\r')
    terminal.wait(r'^ttyVB0\r\n', at)
    at = terminal.type('exit\r')
    terminal.wait(r'Kernel panic - not syncing: Attempted to kill init[^\n]*\r\n', at)
    lab.check(True, 'login, a command, and a panic when init ends')
    machine.kill()
    terminal.close()
    dp.stop()


def main():
    guest_lab = guestlab.Lab()
    for name in sys.argv[1:] or guest_lab.kernels:
        only_console(guest_lab, guest_lab.kernel(name))
        run(guest_lab, guest_lab.kernel(name))


main()
