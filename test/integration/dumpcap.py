#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The distribution's own dpdk-dumpcap, a secondary process, beside programs with vbus in them.

Each case captures a port while known frames go over it, both directions; all frames must be in the
file, with their direction, and the program must go on as before.
  south   net_vbusN in testpmd
  north   vbus:LINK.DEVICE in testpmd
  uplink  an uplink (net_tap) of vbus-dp; its devices are no DPDK ports: `vbusctl capture` is for these

dumpcap takes no -d: where the plugins are not installed it gets the PMD by LD_PRELOAD. Hugepages are
the only memory that processes of DPDK share.

Mempools name their kind by a number, given in the order in which a process loads the drivers of
mempools. Debian's testpmd is linked to one of them, so its numbers are not dumpcap's, and a capture
breaks testpmd whatever its ports are; dumpcap gets that driver by LD_PRELOAD, too. vbus-dp loads them
all as dumpcap does.
"""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import dpdktool  # noqa: E402
import hugepages  # noqa: E402
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended
FRAMES = 300
MEMORY = 256
ETHER_TYPE = b'\x88\xb5'
PLUGIN = os.path.join(lab.PLUGINS, 'librte_net_vbus.so')
IN, OUT = 'in', 'out'
KEEP = ['--no-flush-rx', '--rxd=1024', '--txd=1024']


def make_frames(seed):
    """Frames of a type that nobody else sends."""
    return [body[:12] + ETHER_TYPE + body[14:] for body in pcap.frames(FRAMES, seed, longest=1514)]


def check_quietly(condition, what):
    if not condition:
        lab.fail(what)


def read_pcapng(path):
    """[(direction, frame)] of the enhanced packet blocks."""
    with open(path, 'rb') as file:
        data = file.read()
    at, found = 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from('<II', data, at)
        if length < 12 or at + length > len(data):
            lab.fail(f'{path}: a block of {length} bytes at {at}')
        if kind == 6:
            captured, original = struct.unpack_from('<II', data, at + 20)
            check_quietly(captured == original, f'{path}: a frame of {original} bytes is cut to {captured}')
            found.append((direction(data[at + 28 + (captured + 3 & ~3):at + length - 4]),
                          data[at + 28:at + 28 + captured]))
        at += length
    return found


def direction(options):
    """Of epb_flags among the options of a block."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from('<HH', options, at)
        if code == 2:
            return {1: IN, 2: OUT}.get(struct.unpack_from('<I', options, at + 4)[0] & 3)
        if code == 0:
            break
        at += 4 + (length + 3 & ~3)
    return None


class Dumpcap(dpdktool.Tool):
    """A capture of one port of the program with that file prefix."""

    def __init__(self, folder, prefix, port, preload=()):
        self.port = port
        self.path = os.path.join(folder, f'{port.replace(":", "-")}.pcapng')
        if os.path.exists(self.path):
            os.unlink(self.path)  # dumpcap writes over what is there
        super().__init__(['dpdk-dumpcap', '--file-prefix', prefix, '-i', port, '-w', self.path], self.path + '.log',
                         'Packets captured', preload)

    def stop(self, frames=0):
        """When it has seen that many; what it wrote, our frames only."""
        lab.until(lambda: int(re.findall(r'\d+', self.text().split('Packets captured:')[-1])[-1]) >= frames, 10,
                  f'dumpcap of {self.port} has seen {frames} frames')
        self.interrupt()
        return [(way, frame) for way, frame in read_pcapng(self.path) if frame[12:14] == ETHER_TYPE]


def compare(what, captured, expected):
    """expected: {direction: frames}"""
    for way, frames in expected.items():
        got = [frame for direct, frame in captured if direct == way]
        difference = pcap.difference(frames, got)
        lab.check(difference is None, f'{what}: {len(frames)} frames {way} are in the capture' if difference is None
                  else f'{what}, {way}: {difference}')


def pmd_ports():
    """Frames from a file into one testpmd, over the link, out of the other into a file; both ways."""
    folder = lab.scratch()
    path = link.socket_path(folder)
    frames = {'up': make_frames(1), 'down': make_frames(2)}
    for way, content in frames.items():
        pcap.write(os.path.join(folder, f'{way}.in'), content)
    south, north = (side(folder, path, app=KEEP, huge=True, memory=MEMORY) for side in (link.south, link.north))
    names = {south: 'net_vbus0', north: 'vbus:vm1.eth0'}
    for pmd, name in names.items():
        pmd.vbus = link.wait_ports(pmd, [name])[name]
        pmd.wait_link(pmd.vbus)
    preload = [PLUGIN, *hugepages.linked_pools('dpdk-testpmd')]
    captures = [Dumpcap(folder, pmd.prefix, name, preload) for pmd, name in names.items()]
    for pmd, come, go in ((south, 'down', 'up'), (north, 'up', 'down')):
        # Attached only now: what a file holds is sent at once.
        pmd.command(f'port attach net_pcap0,rx_pcap={folder}/{come}.in,tx_pcap={folder}/{go}.out')
        other = link.wait_ports(pmd, ['net_pcap0'])['net_pcap0']
        pmd.command('port start all')
        pmd.command(f'set portlist {pmd.vbus},{other}')
        pmd.command('start')
    for way, content in frames.items():
        out = os.path.join(folder, f'{way}.out')
        lab.until(lambda out=out, content=content: os.path.exists(out) and os.path.getsize(out) >= pcap.size(content),
                  30, f'all frames {way} came out')
    for capture, come, go in ((captures[0], 'up', 'down'), (captures[1], 'down', 'up')):
        compare(capture.port, capture.stop(2 * FRAMES), {IN: frames[come], OUT: frames[go]})
    for pmd in (south, north):
        lab.check(pmd.link_up(pmd.vbus), f'{pmd.name}: the link is still up')
        pmd.command('stop')
    # A second one, after the first has gone; and a program that ends meanwhile.
    again = Dumpcap(folder, north.prefix, names[north], preload)
    lab.check(again.stop() == [], f'{names[north]}: a second capture starts and ends')
    for pmd in (north, south):
        pmd.quit()


def uplink():
    """Frames of the kernel come in by a TAP, those of a peer go out of it."""
    if not os.path.exists('/dev/net/tun'):
        print('no /dev/net/tun: no uplink')
        return
    folder = lab.scratch()
    tap = f'vcap{os.getpid() % 100000}'
    dp = vbusdp.VbusDp(folder, 'bus vm1 { socket = {folder}/vm1.sock  devices = { eth0 } }\n'
                       'device eth0 { class = venet  switch = br0 }\nswitch br0 { ports = { net_tap0 } }\n',
                       eal=['--vdev', f'net_tap0,iface={tap}'], memory=MEMORY, huge=True)
    frames = {IN: make_frames(3), OUT: make_frames(4)}
    pcap.write(os.path.join(folder, 'out.in'), frames[OUT])
    north = link.north(folder, link.socket_path(folder), eal=[
        '--vdev', f'net_pcap0,rx_pcap={folder}/out.in,tx_pcap={folder}/in.out'], app=KEEP, huge=True, memory=MEMORY)
    subprocess.run(['ip', 'link', 'set', tap, 'up'], check=True)
    vbus = link.wait_ports(north, ['vbus:vm1.eth0'])['vbus:vm1.eth0']
    north.wait_link(vbus)
    capture = Dumpcap(folder, dp.prefix, 'net_tap0')
    north.command('start')
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((tap, 0))
        for number, frame in enumerate(frames[IN]):
            raw.send(frame)
            if number % 50 == 49:
                time.sleep(0.05)  # a TAP holds 500 frames
    out = os.path.join(folder, 'in.out')
    lab.until(lambda: os.path.exists(out) and sum(frame[12:14] == ETHER_TYPE for frame in pcap_so_far(out)) >= FRAMES,
              30, 'the frames of the kernel came out at the peer')
    compare('uplink', capture.stop(2 * FRAMES), frames)
    lab.check(dp.alive() and dp.call('device.list')['total'] == 1, 'vbus-dp goes on')
    north.quit()
    dp.stop()


def pcap_so_far(path):
    """Frames of a file that is still written."""
    try:
        return pcap.read(path)
    except (ValueError, struct.error):
        return []


CASES = {'pmd': pmd_ports, 'uplink': uplink}


def main():
    if shutil.which('dpdk-dumpcap') is None:
        lab.skip('dpdk-dumpcap is not installed')
    if link.SANITIZED:
        lab.skip('dpdk-dumpcap does not take a sanitized plugin')
    hugepages.need(3 * MEMORY)
    for name in sys.argv[1:] or CASES:
        print(f'-- {name}', flush=True)
        CASES[name]()


main()
