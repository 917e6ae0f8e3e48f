#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# per-kernel: yes
"""Serial ports, a console and the random source in guests of every kernel (or those that are named).

The kernel's log and a shell on ttyVB0 through the host's pty; random bytes both ways with readers that stall;
carrier, window size, hot drop and rmmod while files are open; /dev/hwrng; a panic's last words.
"""
import hashlib
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402
from serialport import Terminal, connect, port_of, wait_guest, wait_lines  # noqa: E402

CONFIG = """
bus vm1 { socket = {folder}/vm1.sock  devices = { con, data, drop, rng0 } }
device con { class = serial  pty = {folder}/con }
device data { class = serial  listen = {folder}/data.sock }
device drop { class = serial  listen = {folder}/drop.sock }
device rng0 { class = rng }
"""
SIZE = int(os.environ.get('VBUS_SERIAL_MIB', '4')) << 20
PROMPT = '@prompt '


def console(machine, terminal):
    terminal.wait(r'Linux version [^\n]*\r\n')
    terminal.wait(r'console \[ttyVB0\] enabled\r\n')
    machine.run('echo "<1>said to the log" >/dev/kmsg')
    terminal.wait(r'said to the log\r\n')
    active = machine.run('cat /sys/class/tty/console/active')
    lab.check('ttyVB0' in active, f'the kernel logs to the pty from its first line on; consoles: {active.strip()}')


def say(word):
    """A command of the guest's shell: a line to the log, which reaches the pty also past a tty that is stopped."""
    return f'echo "<1>now {word}" >/dev/kmsg'


def said(terminal, word, at):
    terminal.wait(rf'\] now {word}\r\n', at)  # behind its time stamp: no echo


def shell(machine, terminal):
    """Nothing waits for a time to pass: the shell says on the log how far it is."""
    machine.run('echo 2 >/proc/sys/kernel/printk')  # no lines of the kernel's own in between
    # In the foreground: a shell without jobs lets those in the background ignore ^C.
    token = machine.start(f'PS1="{PROMPT}" setsid dash -c "exec dash -i </dev/ttyVB0 >/dev/ttyVB0 2>&1"')
    terminal.wait(PROMPT)
    at = terminal.type('echo is $((6 * 7))\r')
    terminal.wait(r'^is 42\r\n' + PROMPT, at)
    terminal.resize(41, 132)
    at = terminal.type('until [ "$(stty size </dev/ttyVB0)" = "41 132" ]; do sleep 0.1; done; echo larger\r')
    terminal.wait(r'^larger\r\n' + PROMPT, at)
    # Said by who is to be interrupted: the shell itself may take a ^C between fork() and exec(), where it is lost.
    at = terminal.type(f"sh -c '{say('asleep')}; exec sleep 1000'\r")
    said(terminal, 'asleep', at)
    at = terminal.type('\x03')
    terminal.wait(PROMPT, at)
    # No echo: the line discipline holds it back as well, and may print it behind the output.
    at = terminal.type('stty -echo </dev/ttyVB0; echo quiet\r')
    terminal.wait(r'^quiet\r\n' + PROMPT, at)
    at = terminal.type(f'\x13{say("stopped")}; echo one two\r')
    said(terminal, 'stopped', at)
    time.sleep(1)  # it would have been there long ago; a slower machine makes this no failure
    lab.check('one two' not in terminal.drain()[at:], 'it is quiet after ^S')
    terminal.type('\x11')
    terminal.wait(r'^one two\r\n' + PROMPT, at)
    at = terminal.type('stty echo </dev/ttyVB0; echo loud\r')
    terminal.wait(r'loud\r\n' + PROMPT, at)
    at = terminal.type('echo st\x7f\x7fstill there\r')
    terminal.wait(r'^still there\r\n' + PROMPT, at)
    lab.check(True, 'a shell on it: commands, editing, ^C, the window\'s size')
    return token


def breaks(machine, terminal, dp, folder, token):
    """A break on a console and a letter are SysRq's; elsewhere a break is the tty's; the guest's is counted."""
    at = len(terminal.text)
    dp.call('device.break', name='con')
    terminal.type('h')
    terminal.wait(r'sysrq: HELP', at)
    # The shell has seen neither.
    at = terminal.type('echo and on\r')
    terminal.wait(r'^and on\r\n' + PROMPT, at)
    terminal.type('exit\r')
    machine.finish(token)
    lab.check(True, 'a break on the console and h: SysRq tells its keys')
    machine.run('echo 8 >/proc/sys/kernel/printk')
    port = port_of(machine, 'data')
    wait_lines(machine, port, carrier=0)
    before = serialport.lines(machine, port)
    lab.check(before['cts'] == 1 and before['dsr'] == 1, f'lines of a port that nobody is attached to: {before}')
    sock = connect(os.path.join(folder, 'data.sock'))
    wait_lines(machine, port, carrier=1)
    token = machine.start(f'setsid dash -c \'exec <>{port} >&0 2>&1; stty sane brkint -ignbrk clocal -echo; '
                          f'trap "echo broken; exit 0" INT; echo ready; while :; do sleep 1; done\'')
    read_until(sock, b'ready\r\n')
    dp.call('device.break', name='data')
    read_until(sock, b'broken\r\n')
    machine.finish(token)
    lab.check(serialport.lines(machine, port)['breaks'] == before['breaks'] + 1, 'a break interrupts where BRKINT is set')
    sent = dp.call('device.stats', name='data')['devices'][0]['serial']['output_breaks']
    start = len(dp.text())
    machine.run(f'ttyctl {port} break')
    lab.until(lambda: dp.call('device.stats', name='data')['devices'][0]['serial']['output_breaks'] == sent + 1, 60,
              'the guest\'s break is counted')
    dp.wait_log(r'device data: the peer sent a break', start)
    lab.check(True, 'the guest\'s break is counted and said')
    answer = dp.ask('device.break', name='rng0')
    lab.check(answer['error']['data']['errno'] == 'EOPNOTSUPP', f'no break for what is no port: {answer["error"]["message"]}')
    sock.close()
    wait_lines(machine, port, carrier=0)
    lab.check(True, 'carrier comes and goes with who is attached')


def read_until(sock, what):
    text = b''
    while not text.endswith(what):
        data = sock.recv(65536)
        if not data:
            lab.fail(f'the socket ended after {text[-200:]!r}')
        text += data


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
    wait_lines(machine, port, carrier=0)
    machine.run(f'exec 3<>{port}; stty -F {port} -clocal raw -echo; '
                f'(echo begin; dd bs=1 count=3 <{port} 2>/dev/null && cat <{port}; echo over) >/tmp/carrier 2>&1 &')
    wait_guest(machine, 'grep -q begin /tmp/carrier')
    time.sleep(1)
    text = machine.run('cat /tmp/carrier')
    lab.check(text.strip() == 'begin', 'an open waits for the carrier')
    sock = connect(path)
    sock.sendall(b'abc')
    wait_guest(machine, 'grep -q abc /tmp/carrier')
    sock.close()
    wait_guest(machine, 'grep -q over /tmp/carrier')
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
    wait_guest(machine, '[ "$(wc -l </tmp/ended)" = 2 ]')
    wait_guest(machine, f'[ ! -e {port} ] && [ ! -e /sys/class/tty/{os.path.basename(port)} ]')
    lab.check(True, 'dropped under open files: reader and writer end, the port is gone')
    dp.call('device.attach', name='drop', bus='vm1')
    lab.check(port_of(machine, 'drop') == port, 'and is there again, with its number')
    sock.close()


def random_bytes(machine):
    wait_guest(machine, '[ -n "$(cat /sys/class/misc/hw_random/rng_available)" ]')
    name = machine.run('cat /sys/class/misc/hw_random/rng_current').strip()
    sizes = machine.run('dd if=/dev/hwrng of=/tmp/random bs=1k count=64 2>/dev/null; wc -c </tmp/random; '
                        'gzip </tmp/random | wc -c; rm /tmp/random').split()
    lab.check(int(sizes[0]) == 65536 and int(sizes[1]) > 65536, f'/dev/hwrng ({name}): 64 KiB that cannot be packed')


def removed(machine, terminal):
    """rmmod while the devices are there; the modules come back and so does the console."""
    wait_guest(machine, 'rmmod vbus_serial 2>/dev/null')
    machine.run('rmmod vbus_rng && [ -z "$(ls /dev/ttyVB* 2>/dev/null)" ]')
    at = len(terminal.text)
    machine.run('modprobe vbus_serial && modprobe vbus_rng')
    machine.wait_path('/dev/ttyVB2')
    terminal.wait(r'console \[ttyVB0\] enabled\r\n', at)
    lab.check(True, 'rmmod and back')


def panic(machine, terminal):
    at = len(terminal.text)
    machine.start('echo c >/proc/sysrq-trigger')
    terminal.wait(r'Kernel panic - not syncing: [^\n]*\r\n', at)
    lab.check(True, 'a panic says so on the pty')
    machine.kill()


def run(guest_lab, kernel):
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, CONFIG)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=[serialport.tool_part(guest_lab, folder)]))
    terminal = Terminal(os.path.join(folder, 'con'))
    machine = guest.Guest(guest_lab, kernel, folder, initrd,
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=256,
                          append='console=ttyVB0 loglevel=8')
    machine.run('modprobe vbus_pcibridge; modprobe vbus_serial; modprobe vbus_rng', 60)
    machine.wait_path('/dev/ttyVB2')
    lab.check(port_of(machine, 'con') == '/dev/ttyVB0', f'{kernel.version}: three ports')
    console(machine, terminal)
    breaks(machine, terminal, dp, folder, shell(machine, terminal))
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
    terminal.wait(r'login:\r\n')
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
