#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Kernel traffic through a link: two network namespaces with TAP ports, bridged by two testpmd.

ping, 10 s of iperf3 TCP and a 100 MB HTTP download whose checksum must match:
  plain      frames as they are, MTU 1500
  offload    checksums and TSO left to the link (testpmd's csum engine sets the flags), MTU 9000 in
             the namespaces, segments of 1400: whoever receives gets complete frames
  accepted   as before, and the receiving side takes unfinished checksums and large frames itself
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import netns  # noqa: E402
import testpmd as lab  # noqa: E402

SECONDS = int(os.environ.get('VBUS_IPERF_SECONDS', '10'))
MEGABYTES = 100
APPLICATION = ['--mbuf-size=9728', '--total-num-mbufs=8192', '--no-flush-rx']
SEGMENT = 1400


def set_offloads(pmd, vbus, tap, accepted):
    """Leave checksums and segmentation on the vbus port to the link."""
    link.offloads(pmd, vbus, rx=['tcp_cksum', 'udp_cksum', 'tcp_lro'] if accepted else [],
                  tx=['ipv4_cksum', 'tcp_cksum', 'udp_cksum', 'tcp_tso', 'multi_segs'])
    if accepted:  # large frames go on to the TAP, which segments them for its device
        link.offloads(pmd, tap, tx=['ipv4_cksum', 'tcp_cksum', 'udp_cksum', 'tcp_tso', 'multi_segs'])
    pmd.command('set fwd csum')
    pmd.command('port stop all')
    pmd.command(f'port config mtu {vbus} 9000')
    for port in (vbus, tap):
        pmd.command(f'csum mac-swap off {port}')
    for port in (vbus, tap) if accepted else (vbus,):
        pmd.command(f'tso set {SEGMENT} {port}')
    pmd.command('port start all')


def bridge(shape, folder, backend, frontend):
    """Start both sides between their TAPs."""
    path = link.socket_path(folder)
    south = link.south(folder, path, eal=['--vdev', f'net_tap0,iface={backend.tap}'], app=APPLICATION,
                       netns=backend.name)
    north = link.north(folder, path, eal=['--vdev', f'net_tap0,iface={frontend.tap}'], app=APPLICATION,
                       netns=frontend.name)
    for pmd, name in ((south, 'net_vbus0'), (north, 'vbus:vm1.eth0')):
        ids = link.wait_ports(pmd, [name, 'net_tap0'])
        pmd.vbus = ids[name]
        if shape != 'plain':
            set_offloads(pmd, ids[name], ids['net_tap0'], shape == 'accepted')
    for pmd in (south, north):
        pmd.wait_link(pmd.vbus)
        lab.check('forwarding' in pmd.command('start'), f'{shape}: {pmd.name} forwards')
    mtu = 1500 if shape == 'plain' else 9000
    backend.up(mtu)
    frontend.up(mtu)
    return south, north


def traffic(shape, folder, backend, frontend):
    """What the kernel says of the way between the namespaces."""
    netns.ping(frontend, backend, 3)  # neighbour discovery
    got, mean = netns.ping(frontend, backend)
    lab.check(got == 10, f'{shape}: ping, {got} of 10 came back, mean {mean} ms')
    for reverse, way in ((False, 'frontend to backend'), (True, 'backend to frontend')):
        rate, again = netns.iperf(frontend, backend, SECONDS, reverse)
        lab.check(rate > 0.02, f'{shape}: {SECONDS} s of TCP {way}: {rate:.2f} Gbit/s, {again} retransmissions')
    for here, there, way in ((frontend, backend, 'from the backend'), (backend, frontend, 'from the frontend')):
        same, rate = netns.download(here, there, folder, MEGABYTES)
        lab.check(same, f'{shape}: {MEGABYTES} MB over HTTP {way}, the checksum matches, {rate} MB/s')


# Counters that prove who segmented and who did not: {shape: {side: (those that moved, those that did not)}}
SOUTH_WORK = ['rx_q0_packets_segmented', 'tx_q0_packets_segmented', 'rx_q0_checksums_completed']
NORTH_WORK = ['tx_q0_tso_packets', 'tx_q0_checksum_offload_packets']
PROOF = {
    'plain': {'south': ([], SOUTH_WORK), 'north': ([], NORTH_WORK + ['rx_q0_lro_packets'])},
    'offload': {'south': (SOUTH_WORK, []), 'north': (NORTH_WORK, ['rx_q0_lro_packets'])},
    'accepted': {'south': ([], SOUTH_WORK), 'north': (NORTH_WORK + ['rx_q0_lro_packets'], [])},
}


def show(pmd, shape):
    """Proof that offloads were at work, or were not."""
    counters = {key: value for key, value in pmd.xstats(pmd.vbus).items() if value}
    print(f'    {pmd.name}: {counters}', flush=True)
    bad = {key: value for key, value in counters.items() if '_drop_' in key and 'link_down' not in key}
    lab.check(not bad, f'{shape}: {pmd.name} dropped no frame' + (f' {bad}' if bad else ''))
    moved, idle = PROOF[shape][pmd.name]
    lab.check(all(counters.get(name) for name in moved) and not any(counters.get(name) for name in idle),
              f'{shape}: {pmd.name} did {" ".join(moved) or "nothing"} and not {" ".join(idle) or "anything else"}')


def main():
    lab.need_root()
    if not os.path.exists('/dev/net/tun'):
        lab.skip('no /dev/net/tun')
    for tool in ('ip', 'ping', 'iperf3'):
        if shutil.which(tool) is None:
            lab.skip(f'{tool} is not installed')
    for shape in sys.argv[1:] or ('plain', 'offload', 'accepted'):
        folder = lab.scratch()
        backend, frontend = netns.Namespace('back', 1), netns.Namespace('front', 2)
        south, north = bridge(shape, folder, backend, frontend)
        traffic(shape, folder, backend, frontend)
        for pmd in (south, north):
            pmd.command('stop')
            show(pmd, shape)
        for pmd in (north, south):
            pmd.quit()
        for side in (backend, frontend):
            netns.run('ip', 'netns', 'del', side.name)


main()
