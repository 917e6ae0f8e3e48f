#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Sixty-four devices of four kinds on one PCI function of a guest.

It finds all at boot, by name and with their drivers; they go and come one by one and all at once, while one serial
port echoes bytes and loses none; the random source passes the tests of FIPS 140-2 (and rngtest, where that is installed).

    many.py [KERNEL]
"""
import os
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

EACH = 16
KEYS = {'venet': '', 'serial': 'file = {folder}/%s.log', 'block': 'memory = 1048576', 'rng': ''}
DRIVERS = {'venet': 'vbus_venet', 'serial': 'vbus_serial', 'block': 'vbus_block', 'rng': 'vbus_rng'}
ALL = {f'{kind}{number}': kind for number in range(EACH) for kind in KEYS}
KEEP = 'serial0'
BLOCKS = 1000  # of 20,000 bits
RUNS = ((2315, 2685), (1114, 1386), (527, 723), (240, 384), (103, 209), (103, 209))


def config(names):
    """With these on the bus; all exist."""
    text = f'mode = adaptive\nbus vm1 {{ socket = {{folder}}/vm1.sock  ports = no  devices = {{ {", ".join(names)} }} }}\n'
    for name, kind in ALL.items():
        key = 'listen = {folder}/keep' if name == KEEP else KEYS[kind].replace('%s', name)
        text += f'device {name} {{ class = {kind}  {key} }}\n'
    return text


class Echo:
    """Bytes to the port that stays, and back, as long as the rest goes and comes."""

    def __init__(self, machine, folder):
        port = serialport.port_of(machine, KEEP)
        machine.run(f'stty -F {port} raw -echo clocal; (exec 3<>{port}; cat <&3 >&3) >/dev/null 2>&1 &')
        self.sock = serialport.connect(os.path.join(folder, 'keep'))
        self.stop = False
        self.count = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop:
            line = os.urandom(1000)
            self.sock.sendall(line)
            got = b''
            while len(got) < len(line):
                got += self.sock.recv(65536)
            if got != line:
                return
            self.count += 1
            time.sleep(0.02)

    def check(self):
        self.stop = True
        self.thread.join(60)
        lab.check(not self.thread.is_alive() and self.count > 10, f'{self.count * 1000} bytes went round on a port meanwhile')
        self.sock.close()


def names_of(machine):
    """{name: driver} as sysfs has them."""
    text = machine.run('cd /sys/bus/vbus; grep -H . devices/*/name; printf "%s\\n" drivers/*/*-*', 300)
    drivers = dict(reversed(words) for words in re.findall(r'^drivers/(\w+)/(\S+)$', text, re.M))
    return {name: drivers.get(device, 'none') for device, name in re.findall(r'^devices/([^/]+)/name:(\S+)$', text, re.M)}


def expect(machine, names, what):
    wanted = {name: DRIVERS[ALL[name]] for name in names}
    found = {}

    def there():
        found.clear()
        found.update(names_of(machine))
        return found == wanted
    begin = time.monotonic()
    while not there():
        if time.monotonic() - begin > 300:
            lab.fail(f'{what}: missing {sorted(set(wanted.items()) - set(found.items()))}, '
                     f'too many {sorted(set(found.items()) - set(wanted.items()))}')
        time.sleep(0.1)
    lab.check(True, f'{what} ({time.monotonic() - begin:.1f} s)')


def fips(block):
    """One block of 20,000 bits passes."""
    bits = f'{int.from_bytes(block, "big"):020000b}'
    if not 9725 < bits.count('1') < 10275:
        return False
    counts = [0] * 16
    for byte in block:
        counts[byte >> 4] += 1
        counts[byte & 15] += 1
    if not 2.16 < 16 / 5000 * sum(n * n for n in counts) - 5000 < 46.17:
        return False
    for what in '01':
        lengths = [0] * 6
        for run in re.findall(f'{what}+', bits):
            if len(run) >= 26:
                return False
            lengths[min(len(run), 6) - 1] += 1
        if not all(low <= n <= high for n, (low, high) in zip(lengths, RUNS)):
            return False
    return True


def random_source(machine, folder):
    """Its bytes come to the host over the serial port."""
    port = serialport.port_of(machine, KEEP)
    serialport.wait_guest(machine, '[ -n "$(cat /sys/class/misc/hw_random/rng_available)" ]')
    sock = serialport.connect(os.path.join(folder, 'keep'))
    size = BLOCKS * 2500
    machine.run('killall cat 2>/dev/null; true')
    token = machine.start(f'stty -F {port} raw -echo clocal; '
                          f'dd if=/dev/hwrng bs=2500 count={BLOCKS} iflag=fullblock 2>/dev/null >{port}')
    data = bytearray()
    while len(data) < size:
        data += sock.recv(65536)
    machine.finish(token, 300)
    passed = sum(fips(data[at:at + 2500]) for at in range(0, size, 2500))
    # Of good bits one block in 1,300 fails.
    lab.check(passed >= BLOCKS - 8, f'/dev/hwrng: {passed} of {BLOCKS} blocks pass FIPS 140-2')
    rngtest = shutil.which('rngtest')
    if rngtest:
        done = subprocess.run([rngtest, '-c', str(BLOCKS - 1)], input=bytes(data), capture_output=True, check=False)
        failed = int(re.search(rb'FIPS 140-2 failures: (\d+)', done.stderr).group(1))
        lab.check(failed <= 8, f'rngtest: {failed} of {BLOCKS - 1} blocks fail')
    sock.close()


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel(sys.argv[1] if len(sys.argv) > 1 else '6.12')
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, config(ALL))
    machine = guest.Guest(guest_lab, kernel, folder, guestlab.initramfs(folder, guest.parts(guest_lab, kernel)),
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=512)
    machine.run('modprobe vbus_pcibridge; for m in venet serial block rng; do modprobe vbus_$m || exit 1; done', 60)
    expect(machine, ALL, f'{kernel.version}: {len(ALL)} devices of {len(KEYS)} kinds, by name and with their drivers')
    echo = Echo(machine, folder)
    rest = [name for name in ALL if name != KEEP]
    some = rest[::5][:4]  # of each kind
    for name in some:
        dp.call('device.detach', name=name)
        expect(machine, set(ALL) - {name}, f'{name} is gone')
        dp.call('device.attach', name=name, bus='vm1')
    expect(machine, ALL, f'{len(some)} went and came one by one')
    for times in range(2):
        dp.reload(config([KEEP]))
        expect(machine, [KEEP], f'{len(rest)} are gone at once')
        dp.reload(config(ALL))
        expect(machine, ALL, f'and back, {times + 1}')
    echo.check()
    random_source(machine, folder)
    machine.check_log()
    machine.kill()
    dp.stop()


main()
