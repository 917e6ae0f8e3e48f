#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Every bad argument of either end gives one line that names key and reason, no port and no crash.

Typed as a hot-plug at one prompt (the process must go on, and a good port must come up after each)
and, for some, given at the start of a process.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

FOLDER = lab.scratch()
PATH = link.socket_path(FOLDER)
PLAIN = os.path.join(FOLDER, 'plain')
with open(PLAIN, 'w', encoding='ascii') as file:
    file.write('not a socket\n')
LOCKED = os.path.join(FOLDER, 'locked')
os.mkdir(LOCKED, 0o555)
# Root may write in a read-only folder; nobody may make a socket in sysfs.
FORBIDDEN = '/sys/kernel/vbus.sock' if os.geteuid() == 0 else f'{LOCKED}/vbus.sock'
LONG = os.path.join(FOLDER, 'x' * (108 - len(FOLDER) - 1))  # 108 bytes: one too many

# arguments, the key the line has to name, a pattern for the reason
SOUTH = [
    ('', 'iface', 'exactly one'),
    ('name=a', 'iface', 'exactly one'),
    (f'iface={PATH},null=b', 'null', 'exactly one'),
    (f'iface={PATH},window=/dev/shm/w', 'window', 'exactly one'),
    ('window=/sys/kernel/w', 'window', '.'),
    (f'window={PLAIN}', 'window', 'tmpfs'),
    ('window=/dev/shm/w,side=c', 'side', 'neither'),
    ('window=/dev/shm/w,size=many', 'size', 'number'),
    (f'iface={PATH},side=a', 'side', 'only a window'),
    (f'iface={PATH},colour=red', 'colour', 'unknown key'),
    (f'iface={PATH},iface={PATH}', 'iface', 'twice'),
    ('iface=', 'iface', 'no value'),
    ('iface', 'iface', 'no value'),
    (f'iface={LONG}', 'iface', '107'),
    (f'iface={FOLDER}/none/vm1.sock', 'iface', 'no such directory'),
    (f'iface={PLAIN}/vm1.sock', 'iface', '[Nn]ot a directory|no such directory'),
    (f'iface={PLAIN}', 'iface', 'not a socket'),
    (f'iface={FOLDER}', 'iface', 'not a socket'),
    (f'iface={FORBIDDEN}', 'iface', '[Pp]ermi|[Rr]ead-only'),
    (f'iface={PATH},mac=', 'mac', 'no value'),
    (f'iface={PATH},mac=02:00:00', 'mac', 'not an address'),
    (f'iface={PATH},mac=zz:00:00:00:00:01', 'mac', 'not an address'),
    (f'iface={PATH},mac=00:00:00:00:00:00', 'mac', 'zero'),
    (f'iface={PATH},mac=01:00:5e:00:00:01', 'mac', 'multicast'),
    (f'iface={PATH},queues=0', 'queues', 'number'),
    (f'iface={PATH},queues=-1', 'queues', 'number'),
    (f'iface={PATH},queues=two', 'queues', 'number'),
    (f'iface={PATH},queues=17', 'queues', 'at most 16'),
    (f'iface={PATH},speed=fast', 'speed', 'speed of a link'),
    (f'iface={PATH},speed=12345', 'speed', 'speed of a link'),
    (f'iface={PATH},name=', 'name', 'no value'),
    (f'iface={PATH},name=a.b', 'name', '1 to 24'),
    (f'iface={PATH},name={"n" * 25}', 'name', '1 to 24'),
    (f'iface={PATH},bus=a/b', 'bus', '1 to 24'),
    (f'iface={FOLDER}/+.sock', 'iface', 'bus=NAME'),
    ('null=', 'null', 'no value'),
    ('null=a.b', 'null', '1 to 24'),
    ('null=b,bus=c', 'bus', 'null'),
]
# With a good port there: what collides with it.
COLLIDE = [
    ('iface={path},name=good', 'name', 'that name'),
    ('iface={path},bus=other', 'bus', 'already'),
    ('iface={other},bus=vm1', 'bus', 'already'),
    ('null=vm1', 'null', 'another connector'),
]
NORTH = [
    ('', 'socket', '.'),
    (',socket=', 'socket', '.'),
    (f',socket={PATH},null=b', 'null', '.'),
    (f',window={PLAIN}', 'plain', 'tmpfs'),
    (',window=/dev/shm/w,side=c', 'side', 'neither'),
    (f',socket={PATH},side=a', 'side', 'only a window'),
    (',window=/dev/shm/w,size=x', 'size', 'number'),
    (f',socket={PATH},colour=red', 'colour', '.'),
    (f',socket={LONG}', 'socket', '107|long'),
    (f',socket={PATH},wait=soon', 'wait', '.'),
    (',null=a.b', 'null', '.'),
]


def lines_of(text, name):
    """What the driver itself said of this device (EAL says more by itself)."""
    return [line for line in text.splitlines()
            if re.search(rf'(^|\s){re.escape(name)}:\s', line) and not line.startswith(('EAL:', 'testpmd>'))
            and 'vdev_probe' not in line]


def expect(text, name, key, reason, what):
    lines = lines_of(text, name)
    good = len(lines) == 1 and key in lines[0] and re.search(reason, lines[0])
    lab.check(good, f'{what}: {lines[0] if len(lines) == 1 else lines or text}')


def attach(pmd, text):
    return pmd.command(f'port attach {text}')


def south_at_the_prompt():
    pmd = lab.Testpmd(FOLDER, 'south', [], link.QUIET)
    for arguments, key, reason in SOUTH:
        name = 'net_vbus7'
        expect(attach(pmd, f'{name},{arguments}'), name, key, reason, f'south {arguments[:60]!r}')
        lab.check(pmd.alive() and not link.ports(pmd), 'no port, process goes on')
    attach(pmd, f'net_vbus0,iface={PATH},name=good')
    lab.check(link.ports(pmd) == {'net_vbus0': 0} and os.path.exists(PATH), 'a good port after all that')
    for arguments, key, reason in COLLIDE:
        filled = arguments.format(path=PATH, other=link.socket_path(FOLDER, 'other'))
        expect(attach(pmd, f'net_vbus8,{filled}'), 'net_vbus8', key, reason, f'south, beside a good port, {filled!r}')
        lab.check(link.ports(pmd) == {'net_vbus0': 0}, 'the good port alone')
    attach(pmd, f'net_vbus1,iface={PATH},name=second')
    lab.check(set(link.ports(pmd)) == {'net_vbus0', 'net_vbus1'}, 'a second device on the same socket')
    other = lab.Testpmd(FOLDER, 'rival', ['--vdev', f'net_vbus0,iface={PATH}'], link.QUIET)
    expect(other.output, 'net_vbus0', 'iface', '.', 'a second process on the same path')
    lab.check(not link.ports(other), 'it has no port')
    other.quit()
    lab.check(os.path.exists(PATH), 'and left the socket of the first alone')
    pmd.quit()
    lab.check(not os.path.exists(PATH), 'the socket went with its server')


def at_the_start():
    for arguments, key, reason in (SOUTH[5], SOUTH[9], SOUTH[23]):
        pmd = lab.Testpmd(FOLDER, 'south-start', ['--vdev', f'net_vbus0,{arguments}'], link.QUIET)
        expect(pmd.output, 'net_vbus0', key, reason, f'south at start {arguments[:60]!r}')
        lab.check(not link.ports(pmd), 'no port')
        pmd.quit()


def north_at_the_prompt():
    pmd = lab.Testpmd(FOLDER, 'north', [], link.QUIET)
    for arguments, key, reason in NORTH:
        text = attach(pmd, f'vbus:bad{arguments}')
        lines = [line for line in text.splitlines() if key in line and re.search(reason, line)
                 and not line.startswith(('EAL:', 'testpmd', 'port attach'))]
        lab.check(len(lines) == 1, f'north {arguments[:60]!r}: {lines[0] if len(lines) == 1 else lines or text}')
        lab.check(pmd.alive() and not link.ports(pmd), 'no port, process goes on')
    pmd.quit()


south_at_the_prompt()
at_the_start()
north_at_the_prompt()
