#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Many random bytes over serial ports of a guest, both ways at once, compared by checksum.

Readers on both sides stall; hosts come and go, by socket and by pty, while bytes are under way, and nothing
that was acknowledged is lost (ADR-0013, 7). VBUS_SERIAL_MIB (8) and VBUS_SERIAL_RECONNECTS (5) make it longer;
the issue's figures are 100 and 50.

    serial_stream.py [KERNEL]
"""
import hashlib
import os
import random
import select
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

CONFIG = '''
bus vm1 { socket = {folder}/vm1.sock  devices = { bulk, sock, pty } }
device bulk { class = serial  listen = {folder}/bulk }
device sock { class = serial  listen = {folder}/sock  hold = true }
device pty { class = serial  pty = {folder}/pty  hold = true }
'''
MIB = 1 << 20
SIZE = int(os.environ.get('VBUS_SERIAL_MIB', '8')) * MIB
VISITS = int(os.environ.get('VBUS_SERIAL_RECONNECTS', '5'))
STALLS = 4
STALL_S = 2
LIMIT = 600


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Host:
    """The host's end, whatever it is."""

    def __init__(self, path, pty):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY) if pty else serialport.connect(path).detach()
        os.set_blocking(self.fd, False)

    def read(self, timeout=LIMIT):
        if not select.select([self.fd], [], [], timeout)[0]:
            lab.fail(f'nothing to be read within {timeout} s')
        return os.read(self.fd, 65536)

    def write(self, data):
        view = memoryview(data)
        while view:
            if not select.select([], [self.fd], [], LIMIT)[1]:
                lab.fail(f'nothing can be written within {LIMIT} s')
            try:
                view = view[os.write(self.fd, view[:65536]):]
            except BlockingIOError:
                pass

    def close(self):
        os.close(self.fd)


def bulk(machine, folder):
    """SIZE bytes each way at once; either reader stops for seconds, several times."""
    port = serialport.port_of(machine, 'bulk')
    machine.run(f'stty -F {port} raw -echo clocal')
    piece = SIZE // STALLS // 4096
    machine.run(f'dd if=/dev/urandom of=/tmp/up bs=1M count={SIZE // MIB} 2>/dev/null', LIMIT)
    sums = machine.run('sha256sum </tmp/up', LIMIT).split()[0]
    down = os.urandom(SIZE)
    host = Host(os.path.join(folder, 'bulk'), False)
    token = machine.start(
        f'exec 3<>{port}; (for i in $(seq {STALLS}); do dd bs=4096 count={piece} iflag=fullblock <&3 2>/dev/null; '
        f'sleep {STALL_S}; done | sha256sum >/tmp/down.sum) & cat /tmp/up >&3; wait; cat /tmp/down.sum; rm /tmp/up')
    begin = time.monotonic()
    writer = threading.Thread(target=host.write, args=(down,))
    writer.start()
    got = bytearray()
    while len(got) < SIZE:
        before = len(got) * STALLS // SIZE
        got += host.read()
        if len(got) * STALLS // SIZE != before:
            time.sleep(STALL_S)
    writer.join(LIMIT)
    text = machine.finish(token, LIMIT)[0]
    seconds = time.monotonic() - begin
    host.close()
    lab.check(sha(got) == sums, f'{SIZE // MIB} MiB to the host, {STALLS} stalls of {STALL_S} s on each side')
    lab.check(text.split()[0] == sha(down), f'and as much to the guest, in {seconds:.0f} s')


def visits(machine, folder, name):
    """Hosts that read and write a part of what goes on and on, and go: the parts make up the whole."""
    port = serialport.port_of(machine, name)
    machine.run(f'stty -F {port} raw -echo clocal; dd if=/dev/urandom of=/tmp/up bs=1k count={VISITS * 40} 2>/dev/null')
    sums = machine.run('sha256sum </tmp/up').split()[0]
    size = VISITS * 40 * 1024
    choice = random.Random(5)
    down = [os.urandom(choice.randrange(1, 20000)) for _ in range(VISITS)]
    # The guest sends at its leisure: hosts find it now in the middle of it, now silent.
    token = machine.start(f'exec 3<>{port}; (head -c {sum(map(len, down))} <&3 | sha256sum >/tmp/down.sum) & '
                          f'cat /tmp/up >&3; wait; cat /tmp/down.sum')
    got = bytearray()
    for number, data in enumerate(down):
        last = number == len(down) - 1
        host = Host(os.path.join(folder, name), name == 'pty')
        host.write(data)
        most = size - len(got) if last else choice.randrange(1, 60000)
        while most > 0 and len(got) < size:
            part = host.read()
            got += part
            most -= len(part)
        host.close()
    text = machine.finish(token, LIMIT)[0]
    lab.check(len(got) == size and sha(got) == sums, f'{name}: {VISITS} hosts came and went, {size} bytes to them: each once')
    lab.check(text.split()[0] == sha(b''.join(down)), f'{name}: and {sum(map(len, down))} bytes of theirs arrived')


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel(sys.argv[1] if len(sys.argv) > 1 else '6.12')
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, CONFIG)
    machine = guest.Guest(guest_lab, kernel, folder, guestlab.initramfs(folder, guest.parts(guest_lab, kernel)),
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=512)
    machine.run('modprobe vbus_pcibridge; modprobe vbus_serial', 60)
    machine.wait_path('/dev/ttyVB2')
    bulk(machine, folder)
    for name in 'sock', 'pty':
        visits(machine, folder, name)
    machine.check_log()
    machine.kill()
    dp.stop()


main()
