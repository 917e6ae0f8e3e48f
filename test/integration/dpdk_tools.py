#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""DPDK's own tools know the driver, and secondary processes use its ports.

  pmdinfo    dpdk-pmdinfo.py finds driver, parameters and PCI ids in the plugins
  devbind    vbus-devbind lists a bridge that lspci (played) shows
  trace      the control edges are in a CTF trace
  procinfo   dpdk-proc-info shows both ends' ports and statistics, as the primary has them
  secondary  a secondary testpmd receives and sends on a port of the primary: every frame, unchanged, while
             the primary stops and starts the port, the peer restarts, and the secondary goes; dpdk-pdump then
             has the same frames, both directions, in its captures
(dpdk-dumpcap: dumpcap.py)
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import dpdktool  # noqa: E402
import hugepages  # noqa: E402
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended
MEMORY = 256
FRAMES = 200  # fewer than a ring holds: testpmd drops what does not fit
NORTH = 'vbus:vm1.eth0'
LSPCI = """Slot:\t0000:00:04.0
Class:\tBridge [0680]
Vendor:\tIBM [11da]
Device:\tvbus [2000]
Driver:\tvfio-pci
Module:\tvbus_pcibridge

Slot:\t0000:00:05.0
Class:\tBridge [0680]
Vendor:\tOther [1234]
Device:\tother [2000]
"""


def run(*argv, env=None):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env)
    if done.returncode != 0:
        lab.fail(f'{" ".join(argv)}: status {done.returncode}: {done.stdout}{done.stderr}')
    return done.stdout


def tool(name):
    """Is it there? Said when not."""
    if shutil.which(name) is None:
        print(f'no {name}: left out')
        return False
    return True


def pmdinfo():
    if not tool('dpdk-pmdinfo.py'):
        return
    if subprocess.run([python_of(), '-c', 'import elftools'], capture_output=True, check=False).returncode != 0:
        print('no python3-pyelftools: dpdk-pmdinfo.py cannot run, left out')
        return
    found = {}
    for name in ('net', 'bus'):
        plugin = os.path.join(lab.PLUGINS, f'librte_{name}_vbus.so')
        for driver in json.loads(run('dpdk-pmdinfo.py', plugin)):
            found[driver['name']] = driver
    lab.check(set(found) == {'net_vbus', 'vbus_pci'}, f'dpdk-pmdinfo.py finds {sorted(found)}')
    keys = re.findall(r'(\w+)=<', found['net_vbus']['params'])
    lab.check({'iface', 'null', 'window', 'mac', 'queues', 'ring'} <= set(keys), f'net_vbus takes {" ".join(keys)}')
    ids = found['vbus_pci']['pci_ids'][0]
    lab.check((ids['vendor'], ids['device']) == ('11da', '2000'), 'vbus_pci takes 11da:2000')


def python_of():
    """The interpreter that the tool asks for."""
    with open(shutil.which('dpdk-pmdinfo.py'), encoding='utf-8') as file:
        words = file.readline()[2:].split()
    return shutil.which(words[-1]) or sys.executable


def devbind():
    if not tool('dpdk-devbind.py'):
        return
    folder = lab.scratch()
    fake = os.path.join(folder, 'lspci')
    with open(fake, 'w', encoding='ascii') as file:
        file.write(f"#!/bin/sh\ncat <<'E'\n{LSPCI}E\n")
    os.chmod(fake, 0o755)
    env = dict(os.environ, PATH=folder + ':' + os.environ['PATH'])
    text = run(os.path.join(lab.TOP, 'scripts', 'vbus-devbind'), '--status-dev', 'misc', env=env)
    lab.check("0000:00:04.0 'vbus 2000' drv=vfio-pci" in text and '0000:00:05.0' not in text,
              'vbus-devbind lists the bridge, bound to vfio-pci, and nothing else of its class')


def trace():
    folder = lab.scratch()
    pmd = lab.Testpmd(folder, 'traced', ['--trace=pmd.net.vbus.*', f'--trace-dir={folder}', '--vdev',
                                         'net_vbus0,null=loop,name=eth0', '-a', 'vbus:l0,null=loop'], link.QUIET)
    port = link.wait_ports(pmd, ['vbus:l0.eth0'])['vbus:l0.eth0']
    pmd.wait_link(port)
    pmd.command('stop')
    pmd.command(f'port stop {port}')
    pmd.quit()
    files = glob.glob(os.path.join(folder, '*', '*'))  # a folder per process
    text = b''
    for path in files:
        with open(path, 'rb') as file:
            text += file.read() if os.path.basename(path) == 'metadata' else b''
    names = set(re.findall(r'name = "(pmd\.net\.vbus\.[a-z.]+)"', text.decode(errors='replace')))
    lab.check(names == {'pmd.net.vbus.' + what for what in ('probe', 'link', 'session.up', 'session.down', 'device')},
              f'the trace knows {sorted(names)}')
    data = b''
    for path in files:
        if os.path.basename(path) != 'metadata':
            with open(path, 'rb') as file:
                data += file.read()
    lab.check(b'vbus:l0.eth0\0' in data and b'net_vbus0\0' in data, 'both probes are in the trace')


def secondary(folder, prefix, name):
    """testpmd beside the primary of that prefix."""
    return lab.Testpmd(folder, name, ['--proc-type=secondary'], link.QUIET, prefix=prefix, huge=True, memory=MEMORY)


def proc_info(prefix, *what):
    env = dict(os.environ)
    return run('dpdk-proc-info', '--file-prefix', prefix, '-d', lab.PLUGINS, '--', *what, env=env)


def frames_through(south, folder, content, turn):
    """Send them from the south's file; what comes back into another file."""
    source, sink = (os.path.join(folder, f'{way}{turn}.pcap') for way in ('in', 'out'))
    pcap.write(source, content)
    south.command(f'port attach net_pcap{turn},rx_pcap={source},tx_pcap={sink}')
    other = link.wait_ports(south, [f'net_pcap{turn}'])[f'net_pcap{turn}']
    south.command(f'port start {other}')
    south.command(f'set portlist {south.vbus},{other}')
    south.command('start')
    lab.until(lambda: os.path.exists(sink) and os.path.getsize(sink) >= pcap.size(content), 30,
              f'all frames of turn {turn} came back')
    south.command('stop')
    south.command(f'port stop {other}')
    south.command(f'port close {other}')
    difference = pcap.difference(content, pcap.read(sink))
    lab.check(difference is None, f'turn {turn}: {len(content)} frames came back as they went' if difference is None
              else f'turn {turn}: {difference}')


class Pdump(dpdktool.Tool):
    """dpdk-pdump of a port, each direction into a file of its own."""

    def __init__(self, folder, prefix, port):
        self.files = {way: os.path.join(folder, f'pdump.{way}.pcap') for way in ('rx', 'tx')}
        files = ','.join(f'{way}-dev={path}' for way, path in self.files.items())
        # Kinds of mempools are numbered alike in both processes then: hugepages.py.
        super().__init__(['dpdk-pdump', '--file-prefix', prefix, '-d', lab.PLUGINS, '--', '--pdump',
                          f'device_id={port},queue=*,{files}'], os.path.join(folder, 'pdump.log'), 'core (',
                         hugepages.linked_pools('dpdk-testpmd'))

    def stop(self, content):
        """When the files hold these frames: nobody sends others."""
        for path in self.files.values():
            lab.until(lambda path=path: os.path.exists(path) and os.path.getsize(path) >= pcap.size(content), 30,
                      f'dpdk-pdump wrote {os.path.basename(path)}')
        self.interrupt()
        for way, path in self.files.items():
            difference = pcap.difference(content, pcap.read(path))
            lab.check(difference is None, f'dpdk-pdump: {len(content)} frames {way} are in its file'
                      if difference is None else f'dpdk-pdump, {way}: {difference}')


def served(folder, path):
    south = link.south(folder, path, app=['--no-flush-rx', '--rxd=1024', '--txd=1024'], name='south')
    south.vbus = link.wait_ports(south, ['net_vbus0'])['net_vbus0']
    return south


def multi_process():
    """dpdk-proc-info, and a secondary that polls."""
    hugepages.need(MEMORY)
    folder = lab.scratch()
    path = link.socket_path(folder)
    south = served(folder, path)
    north = link.north(folder, path, huge=True, memory=MEMORY)
    north.vbus = link.wait_ports(north, [NORTH])[NORTH]
    north.wait_link(north.vbus)
    other = secondary(folder, north.prefix, 'secondary')
    lab.check(link.ports(other).get(NORTH) == north.vbus, 'the secondary has the port')
    lab.check(other.link_up(north.vbus), 'its link is up there')
    other.command('set fwd io')
    other.command('start')
    frames_through(south, folder, pcap.frames(FRAMES, 1, longest=1514), 0)

    north.command(f'port stop {north.vbus}')
    lab.check(other.alive(), 'the port is stopped under it')
    north.command(f'port start {north.vbus}')
    north.wait_link(north.vbus)
    frames_through(south, folder, pcap.frames(FRAMES, 2, longest=1514), 1)

    south.kill()
    north.wait_link(north.vbus, up=False)
    south = served(folder, path)
    north.wait_link(north.vbus)
    frames_through(south, folder, pcap.frames(FRAMES, 3, longest=1514), 2)

    mine, theirs = north.stats(north.vbus), other.stats(north.vbus)
    lab.check(mine == theirs and mine['rx_packets'] >= 3 * FRAMES, f'both count {mine["rx_packets"]} frames received')
    if tool('dpdk-proc-info'):
        text = proc_info(north.prefix, '--xstats', '--show-port')
        lab.check(f'rx_q0_packets: {mine["rx_packets"]}\n' in text, 'dpdk-proc-info: statistics of north')
        lab.check(NORTH in text, 'dpdk-proc-info: north\'s port')
    other.command('stop')
    other.quit()
    lab.check(north.link_up(north.vbus), 'the secondary is gone, the link is up')
    north.command('set fwd io')
    content = pcap.frames(FRAMES, 4, longest=1514)
    north.command('start')
    # Behind it: the ports of pdump's files are ports of the primary as well, and not to be forwarded to.
    pdump = Pdump(folder, north.prefix, NORTH) if tool('dpdk-pdump') else None
    frames_through(south, folder, content, 3)
    if pdump:
        pdump.stop(content)
    north.command('stop')
    for pmd in (north, south):
        pmd.quit()


def south_seen():
    """What only the primary can read is asked of it."""
    if not tool('dpdk-proc-info'):
        return
    hugepages.need(MEMORY)
    folder = lab.scratch()
    south = lab.Testpmd(folder, 'south', ['--vdev', f'net_vbus0,iface={link.socket_path(folder)},name=eth0'],
                        link.QUIET, huge=True, memory=MEMORY)
    text = proc_info(south.prefix, '--xstats', '--show-port')
    names = set(south.xstats(0))
    seen = set(re.findall(r'^(\w+): \d+$', text, re.M))
    lab.check(names and names <= seen, f'dpdk-proc-info: {len(names)} extended statistics of south, as the primary has them')
    lab.check('RX-packets: 0 ' in proc_info(south.prefix, '--stats'), 'dpdk-proc-info: basic ones, too')
    lab.check('net_vbus0' in text, 'dpdk-proc-info: south\'s port')
    south.quit()


CASES = {'pmdinfo': pmdinfo, 'devbind': devbind, 'trace': trace, 'south': south_seen, 'secondary': multi_process}


def main():
    for name in sys.argv[1:] or CASES:
        print(f'-- {name}', flush=True)
        if link.SANITIZED and name in ('pmdinfo', 'south', 'secondary'):
            print('with stock programs beside it, not in a sanitized build: left out')
            continue
        CASES[name]()


main()
