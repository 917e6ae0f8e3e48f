#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Serial ports, disks and the random source in vbus-dp: made by the configuration and live, gone without a trace."""
import os
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

FOLDER = lab.scratch()
BLK = os.path.join(lab.BUILD, 'app', 'vbus-blk', 'vbus-blk')
VBUSCTL = os.path.join(lab.BUILD, 'app', 'vbusctl', 'vbusctl')
MIB = 1 << 20

CONFIG = '''
bus vm1 { socket = {folder}/vm1.sock  devices = { tty0, tty1, log, disk0, disk1, rng0 } }
device tty0 { class = serial  pty = {folder}/vm1.tty }
device tty1 { class = serial  listen = {folder}/tty1.sock  scrollback = 1000 }
device log { class = serial  file = {folder}/vm1.log }
device disk0 { class = block  file = {folder}/disk0.img  queues = 4 }
device disk1 { class = block  memory = 1048576  sector = 4096 }
device rng0 { class = rng }
'''


def at(name):
    return os.path.join(FOLDER, name)


def ctl(dp, *words, stdin=subprocess.DEVNULL):
    done = subprocess.run([VBUSCTL, '-s', dp.control, *words], stdin=stdin, capture_output=True, text=True, timeout=30,
                          env=vbusdp.environment(), check=False)
    return done.returncode, done.stdout, done.stderr


def device(dp, name):
    return next((d for d in dp.call('device.list')['devices'] if d['name'] == name), None)


def connects(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


def configured(dp):
    for name, cls in ('tty0', 'serial'), ('tty1', 'serial'), ('disk0', 'block'), ('disk1', 'block'), ('rng0', 'rng'):
        lab.check(device(dp, name)['class'] == cls, f'{name} is there')
    lab.check(os.readlink(at('vm1.tty')).startswith('/dev/pts/'), 'the pty has its link')
    lab.check(connects(at('tty1.sock')) and os.path.exists(at('vm1.log')), 'socket and file are there')


def live(dp):
    lab.check(ctl(dp, 'device', 'create', 'x', 'class=serial', f'listen={at("x.sock")}', 'bus=vm1')[0] == 0, 'one more port')
    lab.check(connects(at('x.sock')), 'it listens')
    status, _, said = ctl(dp, 'device', 'create', 'y', 'class=block', f'file={at("disk0.img")}', 'bus=vm1')
    lab.check(status == 1 and 'disk0.img' in said, f'not two disks of one file: {said.strip()}')
    status, _, said = ctl(dp, 'device', 'create', 'y', 'class=block', f'file={at("none.img")}')
    lab.check(status == 1 and 'none.img' in said, f'nor one of none: {said.strip()}')
    begin = time.monotonic()
    for number in range(32):
        dp.call('device.create', name=f'm{number}', **{'class': 'block'}, memory=MIB, bus='vm1')
        dp.call('device.create', name=f'r{number}', **{'class': 'rng'}, bus='vm1')
    lab.check(time.monotonic() - begin < 20, f'64 more in {(time.monotonic() - begin) * 1000:.0f} ms')
    for number in range(32):
        dp.call('device.delete', name=f'm{number}')
        dp.call('device.detach', name=f'r{number}')
        dp.call('device.delete', name=f'r{number}')
    lab.check(ctl(dp, 'device', 'delete', 'x')[0] == 0 and not os.path.exists(at('x.sock')), 'its socket goes with it')
    saved = at('saved.conf')
    lab.check(ctl(dp, 'save', saved)[0] == 0, 'saved')
    status, _, said = vbusdp.run('--config', saved, '--check-config')
    lab.check(status == 0, f'and good {said.strip()}')


def blk(*words, data=None, status=0):
    """vbus-blk, a frontend of its own: what it writes to stdout."""
    argv = [BLK, '--no-huge', '-m', '64', '--file-prefix', f'blk{os.getpid()}', '--no-pci', '--log-level', 'error', '-l', '0',
            '-a', f'vbus:blk,socket={at("vm1.sock")},wait=10000', '--', *words]
    done = subprocess.run(argv, input=data if data is not None else b'', capture_output=True, timeout=120,
                          env=vbusdp.environment(), check=False)
    if done.returncode != status:
        lab.fail(f'vbus-blk {" ".join(words)}: status {done.returncode}: {done.stderr.decode()}')
    return done.stdout if status == 0 else done.stderr.decode()


def disks(dp):
    """Another process drives them through the socket, as a guest would."""
    lab.check(b'capacity 4194304' in blk('disk0', 'info') and b'sector 4096' in blk('disk1', 'info'), 'two disks')
    data = os.urandom(3 * MIB + 4096)
    blk('disk0', 'write', '8192', data=data)
    lab.check(blk('disk0', 'read', '8192', str(len(data))) == data, 'what is read is what was written')
    with open(at('disk0.img'), 'rb') as file:
        lab.check(file.read()[8192:8192 + len(data)] == data, 'and it is in the file')
    blk('disk1', 'write', '0', data=data[:MIB])
    lab.check(blk('disk1', 'read', '0', str(MIB)) == data[:MIB], 'a disk of memory lives from one frontend to the next')
    lab.check('out of range' in blk('disk1', 'read', str(MIB), '4096', status=1), 'an error arrives')
    with open(at('disk0.img'), 'r+b') as file:
        file.truncate(8 * MIB)
    deadline = time.monotonic() + 5
    while b'capacity 8388608' not in blk('disk0', 'info') and time.monotonic() < deadline:
        time.sleep(0.1)
    lab.check(b'capacity 8388608' in blk('disk0', 'info'), 'a file that grew')
    before = os.stat(at('disk0.img')).st_blocks
    blk('disk0', 'discard', '0', str(8 * MIB))
    lab.check(os.stat(at('disk0.img')).st_blocks < before / 2, 'discard gives space back')
    resource.prlimit(dp.process.pid, resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
    said = blk('disk0', 'write', str(4 * MIB), data=data[:65536], status=1)
    lab.check('No space' in said and dp.alive(), f'beyond the largest file that it may write: {said.strip().splitlines()[-1]}')
    resource.prlimit(dp.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # SIGKILL after a flush: what was flushed is there.
    blk('disk0', 'write', '0', data=data[:MIB])
    return data[:MIB]


def console(dp):
    with open(at('typed'), 'w+', encoding='utf-8') as typed:
        for name in 'tty0', 'tty1':
            typed.seek(0)
            lab.check(ctl(dp, 'console', 'vm1', name, stdin=typed)[0] == 0, f'console of {name}')
    for words, why in (('vm1', 'disk0'), 'neither pty nor listen'), (('vm1', 'tty9'), 'no device'), (('vm2', 'tty0'), 'no device'):
        status, _, said = ctl(dp, 'console', *words)
        lab.check(status == 1 and why in said, f'no console of {" ".join(words)}: {said.strip()}')


def main():
    with open(at('disk0.img'), 'wb') as file:
        file.truncate(4 * MIB)
    dp = vbusdp.VbusDp(FOLDER, CONFIG)
    configured(dp)
    console(dp)
    live(dp)
    flushed = disks(dp)
    # What a SIGKILL leaves behind is in nobody's way.
    dp.process.send_signal(signal.SIGKILL)
    dp.process.wait()
    lab.check(os.path.lexists(at('tty1.sock')) and os.path.lexists(at('vm1.tty')), 'killed')
    dp = vbusdp.VbusDp(FOLDER, CONFIG)
    configured(dp)
    lab.check(blk('disk0', 'read', '0', str(len(flushed))) == flushed, 'what was flushed is there')
    dp.stop()
    lab.check(not os.path.lexists(at('tty1.sock')) and not os.path.lexists(at('vm1.tty')), 'an end without a trace')


main()
