#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Frames go in at one testpmd and come out of the other, equal in content and order.

A capture of 10,000 frames of 60 to 9,000 bytes per device and direction, both directions at once;
linear (a frame is one mbuf) and scatter-gather (chains of small mbufs), one and two devices, over a
socket and in one process (null); on the ring for pollers, and once each on the rings of version 2, and with large
frames that stay in the frontend's memory (keep=).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

COUNT = 2500 if link.SANITIZED else 10000
LIMIT = 150
JUMBO = ['--max-pkt-len=9018', '--no-flush-rx']
# A capture that finds no mbuf loses the frame: more of them than all rings together can hold.
SHAPES = {'linear': ['--mbuf-size=9728', '--total-num-mbufs=6000'],
          'scatter-gather': ['--mbuf-size=2176', '--total-num-mbufs=30000']}


class Stream:
    """One direction of one device: what goes in, and the file where it has to come out."""

    def __init__(self, folder, name, seed):
        self.name = name
        self.frames = pcap.frames(COUNT, seed)
        stem = os.path.join(folder, name.replace(' ', '-'))
        self.source = stem + '.in.pcap'
        self.sink = stem + '.out.pcap'
        pcap.write(self.source, self.frames)
        self.size = pcap.size(self.frames)

    def done(self):
        return os.path.exists(self.sink) and os.path.getsize(self.sink) >= self.size

    def verify(self, what):
        difference = pcap.difference(self.frames, pcap.read(self.sink))
        lab.check(difference is None, f'{what}, {self.name}: {len(self.frames)} frames equal in content and order'
                  + (f' ({difference})' if difference else ''))


def capture(number, stream_in, stream_out):
    return ['--vdev', f'net_pcap{number},rx_pcap={stream_in.source},tx_pcap={stream_out.sink}']


def application(shape, streams):
    """testpmd's arguments: a worker for each stream (link.patient() says why)."""
    return {'app': JUMBO + SHAPES[shape] + [f'--nb-cores={streams}'], 'workers': streams}


def forward(pmd, shape, pairs):
    """Forward between the ports of each pair, a vbus port and a capture."""
    ids = link.wait_ports(pmd, [name for pair in pairs for name in pair])
    if shape == 'scatter-gather':
        for name, _ in pairs:
            link.offloads(pmd, ids[name], rx=['scatter'], tx=['multi_segs'])
    pmd.command('set portlist ' + ','.join(str(ids[name]) for pair in pairs for name in pair))
    link.patient(pmd)
    for pair in pairs:
        for name in pair:
            pmd.wait_link(ids[name])
    return ids


def finish(what, pmds, streams, vbus_ports):
    for pmd in pmds:
        pmd.command('start')

    def arrived():
        for pmd in pmds:
            pmd.drain()
        return all(stream.done() for stream in streams)
    try:
        seconds = lab.until(arrived, LIMIT, f'{what}: all frames arrived')
    except SystemExit:
        for pmd in pmds:
            pmd.command('stop')
            for port in vbus_ports[pmd]:
                print(pmd.name, {key: value for key, value in pmd.xstats(port).items() if value})
        raise
    for pmd in pmds:
        pmd.command('stop')
    for stream in streams:
        stream.verify(what)
    print(f'    {seconds:.1f} s', flush=True)
    for pmd in pmds:
        for port in vbus_ports[pmd]:
            counters = pmd.xstats(port)
            chains = [counters[f'{way}_q0_multi_segment_packets'] for way in ('rx', 'tx')]
            lab.check(all(chains) if 'gather' in what else not any(chains),
                      f'{what}: {pmd.name} port {port} passed {chains} chains')
            lab.check((counters.get('rx_q0_packets_kept', 0) > 0) == (pmd.name == 'south' and 'keep=' in what),
                      f'{what}: {pmd.name} port {port} kept {counters.get("rx_q0_packets_kept", 0)} frames')
            drops = {key: value for key, value in counters.items() if '_drop_' in key and value}
            lab.check(not drops, f'{what}: {pmd.name} port {port} dropped nothing' + (f' {drops}' if drops else ''))
        pmd.quit()


def over_socket(shape, devices, ring='poll', keep=0):
    folder = lab.scratch()
    path = link.socket_path(folder)
    names = [f'eth{number}' for number in range(devices)]
    ups = [Stream(folder, f'north to south {name}', 2 * n + 1) for n, name in enumerate(names)]
    downs = [Stream(folder, f'south to north {name}', 2 * n + 2) for n, name in enumerate(names)]
    south_eal, north_eal = [], []
    for number in range(devices):
        south_eal += capture(number, downs[number], ups[number])
        north_eal += capture(number, ups[number], downs[number])
        north_eal += ['-a', f'vbus:vm1.{names[number]},ring={ring}']
    south = link.south(folder, path, names, south_eal, vdev=f',keep={keep}' if keep else '', **application(shape, 2 * devices))
    north = link.north(folder, path, north_eal, **application(shape, 2 * devices))
    north_ids = forward(north, shape, [(f'vbus:vm1.{name}', f'net_pcap{n}') for n, name in enumerate(names)])
    south_ids = forward(south, shape, [(f'net_vbus{n}', f'net_pcap{n}') for n in range(devices)])
    finish(f'socket, {shape}, {devices} device(s), ring={ring}{f", keep={keep}" if keep else ""}', [south, north], ups + downs,
           {north: [north_ids[f'vbus:vm1.{name}'] for name in names],
            south: [south_ids[f'net_vbus{n}'] for n in range(devices)]})


def in_one_process(shape, devices):
    folder = lab.scratch()
    names = [f'eth{number}' for number in range(devices)]
    ups = [Stream(folder, f'north to south {name}', 2 * n + 1) for n, name in enumerate(names)]
    downs = [Stream(folder, f'south to north {name}', 2 * n + 2) for n, name in enumerate(names)]
    eal, pairs = ['-a', 'vbus:l0,null=loop'], []
    for number, name in enumerate(names):
        eal += ['--vdev', f'net_vbus{number},null=loop,name={name}']
        eal += capture(2 * number, ups[number], downs[number])
        eal += capture(2 * number + 1, downs[number], ups[number])
        pairs += [(f'vbus:l0.{name}', f'net_pcap{2 * number}'), (f'net_vbus{number}', f'net_pcap{2 * number + 1}')]
    arguments = application(shape, 4 * devices)
    arguments['app'] += link.QUIET
    pmd = lab.Testpmd(folder, 'null', eal, **arguments)
    ids = forward(pmd, shape, pairs)
    finish(f'null, {shape}, {devices} device(s)', [pmd], ups + downs, {pmd: [ids[pair[0]] for pair in pairs]})


for shape_name in SHAPES:
    for nb_devices in (1, 2):
        over_socket(shape_name, nb_devices)
    over_socket(shape_name, 1, 'v2')
    over_socket(shape_name, 1, keep=500)
    in_one_process(shape_name, 2 if shape_name == 'linear' else 1)
