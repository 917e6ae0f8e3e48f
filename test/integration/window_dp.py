#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Two vbus-dp over one window file, each serving the other: network devices, a serial port and a disk.

The file has a part for each kind, and each part is a link in either direction, so consumers of all kinds run at
once: frames through the other side's switch, bytes both ways on its serial port, and what is written to its disk
are exact. Then each vbus-dp is killed and replaced (VBUS_WINDOW_KILLS times), and all three go on.
"""
import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402
from windowlink import NAMES  # noqa: E402

KILLS = int(os.environ.get('VBUS_WINDOW_KILLS', '1'))
FOLDER = lab.scratch()
PART = 8 << 20
KINDS = ('net', 'tty', 'disk')
DISK = 4 << 20
FRAMES = 300  # less than a ring: the switch drops what finds no room
BYTES = 1 << 18
APP = {name: os.path.join(lab.BUILD, 'app', name, name) for name in ('vbus-tty', 'vbus-blk')}


def at(name):
    return os.path.join(FOLDER, name)


def make_window():
    fd, path = tempfile.mkstemp(prefix='vbus-window.', dir='/dev/shm')
    os.truncate(fd, PART * len(KINDS))
    os.close(fd)
    lab.atexit.register(os.unlink, path)
    return path


WINDOW = make_window()


def part(kind):
    return f'{WINDOW}@{PART * KINDS.index(kind)}'


def config(letter):
    """What one side serves: two ports of a switch, a serial port, a disk."""
    devices = {'net': ['eth0', 'eth1'], 'tty': ['tty'], 'disk': ['disk']}
    text = 'mode = adaptive\nswitch br { ageing = 100000 }\n' + ''.join(
        f'bus {kind} {{ connector = window  window = {part(kind)}  size = {PART}  side = {letter}  '
        f'devices = {{ {", ".join(devices[kind])} }} }}\n' for kind in KINDS)
    return text + f'''
device eth0 {{ class = venet  switch = br }}
device eth1 {{ class = venet  switch = br }}
device tty {{ class = serial  listen = {{folder}}/tty.{letter} }}
device disk {{ class = block  file = {{folder}}/disk.{letter} }}
'''


def consumer(app, kind, letter, *words):
    """A frontend on this side, of what the other side serves."""
    argv = [APP[app], '--no-huge', '-m', '64', '--file-prefix', f'{app}{os.getpid()}.{letter}', '--no-pci', '--log-level',
            'error', '--lcores', '0@0-1', '-a', f'vbus:{kind},window={part(kind)},side={letter},size={PART},wait=30000',
            '--', kind, *words]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=vbusdp.environment(), start_new_session=True)


def run(process, data=b''):
    """Its output; that it fails ends the test."""
    lab.atexit.register(process.kill)
    out, err = process.communicate(data, timeout=120)
    if process.returncode != 0:
        lab.fail(f'{process.args}: {process.returncode}\n{err.decode(errors="replace")[-2000:]}')
    return out


def disks(results):
    """Each side writes the other's disk and reads it back; the file says the same."""
    for letter in 'ab':
        data = os.urandom(BYTES)
        run(consumer('vbus-blk', 'disk', letter, 'write', '65536'), data)
        back = run(consumer('vbus-blk', 'disk', letter, 'read', '65536', str(BYTES)))
        with open(at(f'disk.{NAMES[letter]}'), 'rb') as file:
            file.seek(65536)
            results[f'disk of {NAMES[letter]}'] = back == data and file.read(BYTES) == data


def ports(letter, results):
    """Bytes both ways on the other side's serial port."""
    up, down = os.urandom(BYTES), os.urandom(BYTES)
    tty = consumer('vbus-tty', 'tty', letter, '-n', str(BYTES))
    host = serialport.connect(at(f'tty.{NAMES[letter]}'))
    host.settimeout(120)
    sender = threading.Thread(target=host.sendall, args=(down,), daemon=True)
    sender.start()
    got = {}
    reader = threading.Thread(target=lambda: got.update(out=run(tty, up)), daemon=True)
    reader.start()
    host_got = b''
    while len(host_got) < BYTES:
        data = host.recv(65536)
        if not data:
            break
        host_got += data
    reader.join(120)
    sender.join(120)
    host.close()
    results[f'serial port of {NAMES[letter]}'] = host_got == up and got.get('out') == down


class Net:
    """testpmd on one side: a capture goes into the other side's eth0, comes out of its eth1, and is captured."""

    def __init__(self, letter):
        self.letter, self.out = letter, at(f'out.{letter}')
        self.frames = pcap.frames(FRAMES, ord(letter), longest=1514)
        pcap.write(at(f'in.{letter}'), self.frames)
        pcap.write(at('none'), [])
        eal = ['-a', f'vbus:net,window={part("net")},side={letter},size={PART},wait=30000',
               '--vdev', f'net_pcap0,rx_pcap={at(f"in.{letter}")},tx_pcap={at(f"back.{letter}")}',
               '--vdev', f'net_pcap1,rx_pcap={at("none")},tx_pcap={self.out}']
        self.pmd = lab.Testpmd(FOLDER, f'net-{letter}', eal, link.QUIET + ['--no-flush-rx', '--nb-cores=4'], workers=4,
                               memory=256)
        self.ids = link.wait_ports(self.pmd, ['vbus:net.eth0', 'vbus:net.eth1', 'net_pcap0', 'net_pcap1'], 30)
        self.up()

    def up(self):
        for name in 'eth0', 'eth1':
            self.pmd.wait_link(self.ids[f'vbus:net.{name}'], timeout=30)

    def exact(self, results):
        order = ('net_pcap0', 'vbus:net.eth0', 'vbus:net.eth1', 'net_pcap1')
        self.pmd.command('set portlist ' + ','.join(str(self.ids[name]) for name in order))
        link.patient(self.pmd)
        self.pmd.command('start')

        def arrived():
            self.pmd.drain()
            return os.path.exists(self.out) and os.path.getsize(self.out) >= pcap.size(self.frames)
        lab.until(arrived, 60, f'side {self.letter}: all frames arrived')
        self.pmd.command('stop')
        results[f'{FRAMES} frames through {NAMES[self.letter]}'] = (
            pcap.difference(self.frames, pcap.read(self.out)) is None)

    def round(self):
        """Frames go from eth0 to eth1 and back again."""
        pair = [self.ids[f'vbus:net.{name}'] for name in ('eth0', 'eth1')]
        self.pmd.command('stop')
        self.pmd.command(f'set portlist {pair[0]},{pair[1]}')
        self.pmd.command('set fwd io')
        before = sum(self.pmd.stats(port)['rx_packets'] for port in pair)
        self.pmd.command('start tx_first 1')
        lab.until(lambda: sum(self.pmd.stats(port)['rx_packets'] for port in pair) > before, 30,
                  f'side {self.letter}: frames go through the other side')
        self.pmd.command('stop')


def all_kinds(nets):
    results = {}
    threads = [threading.Thread(target=disks, args=(results,), daemon=True)]
    threads += [threading.Thread(target=ports, args=(letter, results), daemon=True) for letter in 'ab']
    for thread in threads:
        thread.start()
    for net in nets:
        net.exact(results)
    for thread in threads:
        thread.join(240)
    lab.check(len(results) == 6 and all(results.values()), f'exact: {results}')


def main():
    for letter in 'ab':
        with open(at(f'disk.{letter}'), 'wb') as file:
            file.truncate(DISK)
    dps = {letter: vbusdp.VbusDp(FOLDER, config(letter)) for letter in 'ab'}
    nets = [Net(letter) for letter in 'ab']
    all_kinds(nets)
    for number in range(2 * KILLS):
        letter = 'ab'[number % 2]
        dps[letter].kill()
        nets['ba'.index(letter)].pmd.wait_link(nets['ba'.index(letter)].ids['vbus:net.eth0'], up=False, timeout=20)
        dps[letter] = vbusdp.VbusDp(FOLDER, config(letter))
        for net in nets:
            net.up()
            net.round()
        results = {}
        disks(results)
        for other in 'ab':
            ports(other, results)
        if not all(results.values()) or len(results) != 4:
            lab.fail(f'killed {number + 1} times: {results}')
        print(f'    side {letter} killed, {number // 2 + 1} times', flush=True)
    lab.check(all(dp.alive() for dp in dps.values()), f'each side killed {KILLS} times: all three kinds go on, exact')
    for net in nets:
        net.pmd.quit()
    for dp in dps.values():
        dp.stop()


main()
