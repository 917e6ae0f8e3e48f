#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""vbus-dp and its configuration: errors with their line, the difference at SIGHUP, an end without a trace."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

FOLDER = lab.scratch()

GOOD = '''
bus vm1 { socket = {folder}/vm1.sock  devices = { a, b } }
bus vm2 { socket = {folder}/vm2.sock }
device a { class = venet  switch = br0  mac = 02:00:00:00:00:01 }
device b { class = venet  patch = c }
device c { class = venet  bus = vm2 }
device d { class = venet  switch = br0 }
switch br0 { }
'''

# text, line, a pattern for the reason
BAD = [
    ('mode = busy\ncolour = red\n', 2, "unknown section or key 'colour'"),
    ('/* two\n   lines */\ndevice a {\n class = venet\n speed = 9\n}\n', 5, "device a: unknown key 'speed'"),
    ('device a { class = venet }\ndevice a { class = venet }\n', 2, 'device a: given twice, first in line 1'),
    ('device a {\n class = venet\n mtu = 1500\n mtu = 9000\n}\n', 4, 'device a: mtu: given twice'),
    ('device a { class = venet mtu = 64 }\n', 1, 'device a: mtu: .*68 to 9600'),
    ('device a { class = serial }\n', 1, 'device a: pty: class serial needs one of'),
    ('bus b { connector = window }\n', 1, 'bus b: window: missing'),
    ('bus b { connector = window window = /dev/shm/w side = c }\n', 1, 'bus b: side: .* neither a nor b'),
    ('bus b { connector = window window = /dev/shm/w size = 5 }\n', 1, 'bus b: size: .* multiple of'),
    ('bus b { socket = /nonexistent/b.sock }\n', 1, 'bus b: socket: .*/nonexistent: No such file'),
    ('bus b { connector = null devices = {\n x\n} }\n', 2, "bus b: devices: there is no device 'x'"),
    ('device a {\n class = venet\n switch = s }\n', 3, "device a: switch: there is no switch 's'"),
    ('device a { class = venet patch = a }\n', 1, 'device a: patch: .*itself'),
    ('bus b {\n connector = null\n', 1, 'the .* not closed'),
]


def one_line(text):
    return text.endswith('\n') and text.count('\n') == 1


def check_config():
    path = os.path.join(FOLDER, 'check.conf')
    for text, line, reason in BAD:
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        for more in (['--check-config'], []):  # it does not come to EAL without it either
            status, out, err = vbusdp.run('--config', path, *more)
            good = status == 1 and out == '' and one_line(err) and re.match(rf'{re.escape(path)}:{line}: {reason}', err)
            lab.check(good, f'{more} line {line}: {err.strip()!r} (status {status})')
    with open(path, 'w', encoding='ascii') as file:
        file.write(GOOD.replace('{folder}', FOLDER))
    lab.check(vbusdp.run('--config', path, '--check-config') == (0, '', ''), 'a good one: silence')
    sample = os.path.join(lab.TOP, 'config', 'vbus-dp.conf')
    lab.check(vbusdp.run('--config', sample, '--check-config') == (0, '', ''), 'the sample: silence')
    status, out, err = vbusdp.run('--config', os.path.join(FOLDER, 'none.conf'), '--check-config')
    lab.check(status == 1 and out == '' and one_line(err) and 'none.conf:0: No such file' in err, err.strip())


def arguments():
    for given, word in ((['--bogus'], '--bogus'), ([], '--config'), (['--config'], '--config'),
                        (['--config', 'x', 'y'], "y"), (['--config', 'x', '--control', ''], '--control')):
        status, out, err = vbusdp.run(*given)
        lab.check(status == 1 and out == '' and one_line(err) and word in err, f'{given}: {err.strip()}')
    status, out, err = vbusdp.run('--help')
    lab.check(status == 0 and '--check-config' in out and err == '', '--help')
    status, out, err = vbusdp.run('--version')
    lab.check(status == 0 and re.match(r'vbus-dp [\d.]+, DPDK ', out), out.strip())


def entries(folder):
    return {name for name in os.listdir(folder) if name.endswith(('.sock', '.ctl'))}


def client(name):
    """A peer that says nothing: the bus's session."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(os.path.join(FOLDER, name))
    return sock


def hung_up(sock):
    """Did the server close? Nothing is ever sent to us otherwise."""
    sock.settimeout(0.3)
    try:
        return sock.recv(1) == b''
    except socket.timeout:
        return False
    except ConnectionResetError:
        return True


def failing_starts():
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.path.join(FOLDER, 'vm2.sock'))
    listener.listen()
    for text, line, reason in ((GOOD, 3, 'bus vm2: socket: .*vm2.sock'),
                               (GOOD.replace('br0 { }', 'br0 { ports = {\nnosuch0 } }'), 9,
                                'switch br0: ports: .*nosuch0')):
        dp = vbusdp.VbusDp(FOLDER, text, start=False)
        status = dp.wait()
        last = dp.text().splitlines()[-1]
        lab.check(status == 1 and re.match(rf'{re.escape(dp.config)}:{line}: {reason}', last), f'start: {last}')
        lab.check(entries(FOLDER) == {'vm2.sock'}, 'it left nothing, and the other server its socket')
        dp.forget()
    listener.close()
    os.unlink(os.path.join(FOLDER, 'vm2.sock'))


def devices(dp):
    return {row['name']: row for row in dp.call('device.list')['devices']}


def device(dp, name):
    return devices(dp).get(name)


def reloads(dp):
    sockets = {'vm1.sock', 'vm2.sock', os.path.basename(dp.control)}
    lab.check(entries(FOLDER) == sockets, f'{sockets} are there')
    inode = os.stat(os.path.join(FOLDER, 'vm1.sock')).st_ino
    one, two = client('vm1.sock'), client('vm2.sock')

    said = dp.reload(GOOD)
    lab.check('serving what' in said and said.count('\n') == 2 and not hung_up(one) and not hung_up(two),
              'the same file: nothing happens')

    said = dp.reload(GOOD.replace('mac = 02:00:00:00:00:01', 'mac = 02:00:00:00:00:01 mtu = 9000')
                     .replace('d { class = venet  switch = br0', 'd { class = venet  switch = br1')
                     + 'switch br1 { ageing = 5 }\nbus vm3 { socket = {folder}/vm3.sock devices = { e } }\n'
                     'device e { class = venet switch = br1 }\n')
    lab.check(entries(FOLDER) == sockets | {'vm3.sock'} and not hung_up(one) and not hung_up(two),
              f'a bus, a device and a switch more; {said.strip()}')
    lab.check(device(dp, 'a')['mtu'] == 9000 and device(dp, 'd')['switch'] == 'br1' and device(dp, 'e')['bus'] == 'vm3',
              'another MTU, another switch, a new device')

    for text, reason in (('colour = red\n' + GOOD, ":1: unknown section or key 'colour'"),
                         (GOOD.replace('{folder}/vm2.sock', '/dev/null'), ':3: bus vm2: socket: /dev/null')):
        said = dp.reload(text)
        lab.check(reason in said and entries(FOLDER) == sockets | {'vm3.sock'} and device(dp, 'e') is not None
                  and not hung_up(one) and not hung_up(two), f'a wrong file changes nothing: {said.splitlines()[-1]}')

    taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    taken.bind(os.path.join(FOLDER, 'taken.sock'))
    taken.listen()
    said = dp.reload(GOOD.replace('vm2.sock', 'taken.sock'))
    lab.check(re.search(r':3: bus vm2: socket: .*taken.sock', said) and hung_up(two) and not hung_up(one),
              f'a socket that is not free: {said.splitlines()[-1]}')
    two = client('vm2.sock')
    lab.check(not hung_up(two), 'the bus is back at its old socket')
    taken.close()
    os.unlink(os.path.join(FOLDER, 'taken.sock'))

    dp.reload(GOOD.replace('{folder}/vm2.sock', '{folder}/other.sock'))
    lab.check(entries(FOLDER) == (sockets | {'other.sock'}) - {'vm2.sock'} and hung_up(two) and not hung_up(one),
              'a bus moves to another socket')
    lab.check(device(dp, 'c')['bus'] == 'vm2' and device(dp, 'e') is None, 'its device is on it, what was added is gone')

    dp.reload('bus vm1 { socket = {folder}/vm1.sock }\ndevice c { class = venet bus = vm1 }\n')
    lab.check(entries(FOLDER) == sockets - {'vm2.sock'} and not hung_up(one) and
              os.stat(os.path.join(FOLDER, 'vm1.sock')).st_ino == inode, 'all but one bus gone, and that one untouched')
    lab.check(list(devices(dp)) == ['c'] and device(dp, 'c')['bus'] == 'vm1'
              and dp.call('switch.list')['total'] == 0, 'one device is left, on another bus')
    dp.reload('mode = adaptive\nidle = 200\nbus vm1 { socket = {folder}/vm1.sock }\n')
    top = dp.call('config.get')
    lab.check((top['mode'], top['idle']) == ('adaptive', 200), f'mode and idle change at SIGHUP: {top}')
    lab.until(lambda: dp.call('lcore.list')['lcores'][0]['sleeps'] > 0, 10, 'its lcores sleep')
    dp.reload(GOOD)
    lab.check(entries(FOLDER) == sockets and len(devices(dp)) == 4, 'and all of it again')
    return one


def serve(lcores):
    dp = vbusdp.VbusDp(FOLDER, GOOD, lcores=lcores)
    one = reloads(dp)
    dp.stop()
    lab.check(hung_up(one) and entries(FOLDER) == set(), f'{lcores}: SIGTERM leaves no socket')


def notifications():
    path = os.path.join(FOLDER, 'notify')
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    manager.settimeout(20)
    # No WATCHDOG_PID: the tests cannot know it before the process is there.
    dp = vbusdp.VbusDp(FOLDER, GOOD, env={'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '200000'})
    heard = []

    def hear(word):
        deadline = time.monotonic() + 20
        while not any(text.startswith(word) for text in heard):
            if time.monotonic() > deadline:
                lab.fail(f'no {word!r} within 20 s: {heard}')
            heard.append(manager.recv(4096).decode())
        heard.clear()
    hear('READY=1')
    hear('WATCHDOG=1')
    hear('WATCHDOG=1')
    dp.reload(GOOD)
    hear('RELOADING=1\nMONOTONIC_USEC=')
    hear('READY=1')
    dp.stop(signal.SIGINT)
    hear('STOPPING=1')
    print('ok: ready, watchdog, reloading, ready, stopping', flush=True)
    manager.close()


def hugepage_files(prefix):
    with open('/proc/mounts', encoding='utf-8') as mounts:
        folders = [line.split()[1] for line in mounts if line.split()[2] == 'hugetlbfs']
    return [name for folder in folders for name in os.listdir(folder) if name.startswith(prefix)]


def hugepages():
    with open('/proc/meminfo', encoding='utf-8') as info:
        free = int(re.search(r'HugePages_Free:\s+(\d+)', info.read()).group(1))
    if os.geteuid() != 0 or free < 160:
        print(f'note: {free} hugepages are free: their files are not looked at', flush=True)
        return
    dp = vbusdp.VbusDp(FOLDER, GOOD, huge=True)
    lab.check(hugepage_files(dp.prefix), f'{len(hugepage_files(dp.prefix))} files in hugetlbfs while it runs')
    dp.stop()
    lab.check(not hugepage_files(dp.prefix) and entries(FOLDER) == set(), 'SIGTERM leaves no hugepage file')


def many():
    text = 'switch br0 {}\n' + ''.join(
        f'bus vm{bus} {{ socket = {{folder}}/vm{bus}.sock devices = {{ '
        + ', '.join(f'd{bus}-{n}' for n in range(250)) + ' } }\n' for bus in range(4))
    text += ''.join(f'device d{bus}-{n} {{ class = venet switch = br0 }}\n' for bus in range(4) for n in range(250))
    begin = time.monotonic()
    dp = vbusdp.VbusDp(FOLDER, text, memory=512)
    lab.check(re.search('1000 devices', dp.text()), f'1000 devices after {time.monotonic() - begin:.1f} s')
    begin = time.monotonic()
    dp.stop()
    lab.check(entries(FOLDER) == set(), f'and gone after {time.monotonic() - begin:.1f} s')


def units():
    analyze = shutil.which('systemd-analyze')
    if analyze is None:
        print('note: no systemd-analyze, the units are not verified', flush=True)
        return
    for name in ('vbus-dp.service', 'vbus-hugepages.service', 'vbus-metrics.service'):
        with open(os.path.join(lab.TOP, 'config', name), encoding='utf-8') as file:
            # Manuals and programs are not installed where the tests run.
            text = re.sub(r'^Documentation=.*\n', '', file.read(), flags=re.M)
            text = re.sub(r'(?<==)/usr/s?bin/(vbus-dp|vbusctl|dpdk-hugepages.py)', '/bin/true', text)
        copy = os.path.join(FOLDER, name)
        with open(copy, 'w', encoding='utf-8') as file:
            file.write(text)
        done = subprocess.run([analyze, 'verify', copy], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if name in line]
        lab.check(not said, f'{name} is a good unit {said}')


def manuals():
    folder = os.path.join(lab.TOP, 'doc', 'man')
    if shutil.which('man') is None:
        print('note: no man, the manuals are not formatted', flush=True)
        return
    for name in sorted(os.listdir(folder)):
        done = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', os.path.join(folder, name)],
                              capture_output=True, text=True, check=False)
        lab.check(done.returncode == 0 and done.stderr == '' and len(done.stdout) > 1000,
                  f'{name} is a good manual {done.stderr}')


check_config()
arguments()
units()
manuals()
failing_starts()
serve('0@0-1,1@0-1')
serve('0@0-1')
notifications()
hugepages()
many()
