#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Kernel traffic through vbus-dp: two network namespaces on one of its switches.

ping, iperf3 TCP and a 100 MB HTTP download whose checksum must match, each way:
  uplinks   both namespaces are TAP uplinks of the switch
  device    one is an uplink, the other the TAP of a peer that forwards to its device (testpmd io)
  offload   as before, and the peer leaves checksums and segmentation to its device (testpmd's csum
            engine sets the flags), MTU 9000 in the namespaces: the uplink gets complete frames
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import netns  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

SECONDS = int(os.environ.get('VBUS_IPERF_SECONDS', '3'))
MEGABYTES = 100
SEGMENT = 1400
UPLINKS = 'switch br0 { ports = { net_tap0, net_tap1 } }\n'
DEVICE = '''
bus vm1 { socket = {folder}/vm1.sock  devices = { eth0 } }
device eth0 { class = venet  switch = br0  mtu = 9000 }
switch br0 { ports = { net_tap0 } }
'''


def move(namespace):
    """vbus-dp makes its TAPs where it runs; this one goes to the namespace."""
    netns.run('ip', 'link', 'set', namespace.tap, 'netns', namespace.name)


def uplinks(folder, one, two):
    """A TAP that leaves for a namespace stays the uplink's."""
    dp = vbusdp.VbusDp(folder, UPLINKS, lcores='0@0-1,1@0-1', eal=['--vdev', f'net_tap0,iface={one.tap}',
                                                                  '--vdev', f'net_tap1,iface={two.tap}'])
    for namespace in (one, two):
        move(namespace)
        namespace.up(1500)
    return dp, None


def device(folder, one, two, offload=False):
    """The second namespace is behind a peer of the bus."""
    dp = vbusdp.VbusDp(folder, DEVICE, lcores='0@0-1,1@0-1', eal=['--vdev', f'net_tap0,iface={one.tap}'])
    move(one)
    north = link.north(folder, os.path.join(folder, 'vm1.sock'), eal=['--vdev', f'net_tap0,iface={two.tap}'],
                       app=['--mbuf-size=9728', '--total-num-mbufs=8192', '--no-flush-rx'], netns=two.name)
    ids = link.wait_ports(north, ['vbus:vm1.eth0', 'net_tap0'])
    north.vbus = ids['vbus:vm1.eth0']
    if offload:
        link.offloads(north, north.vbus, tx=['ipv4_cksum', 'tcp_cksum', 'udp_cksum', 'tcp_tso', 'multi_segs'])
        north.command('set fwd csum')
        north.command('port stop all')
        north.command(f'port config mtu {north.vbus} 9000')
        for port in ids.values():
            north.command(f'csum mac-swap off {port}')
        north.command(f'tso set {SEGMENT} {north.vbus}')
        north.command('port start all')
    north.wait_link(north.vbus)
    lab.check('forwarding' in north.command('start'), 'the peer forwards')
    for namespace in (one, two):
        # What the uplink sends must fit it: the kernel at the peer's side alone makes large frames.
        namespace.up(9000 if offload and namespace is two else 1500)
    return dp, north


def traffic(shape, folder, one, two):
    """What the kernel says of the way between the namespaces."""
    netns.ping(one, two, 3)  # neighbour discovery, and the switch learns
    got, mean = netns.ping(one, two)
    lab.check(got == 10, f'{shape}: ping, {got} of 10 came back, mean {mean} ms')
    for reverse in (False, True):
        rate, again = netns.iperf(one, two, SECONDS, reverse)
        lab.check(rate > 0, f'{shape}: {SECONDS} s of TCP {"back" if reverse else "there"}: {rate:.2f} Gbit/s, '
                  f'{again} retransmissions')
    for here, there, way in ((one, two, 'back'), (two, one, 'there')):
        same, rate = netns.download(here, there, folder, MEGABYTES)
        lab.check(same, f'{shape}: {MEGABYTES} MB over HTTP {way}, the checksum matches, {rate} MB/s')


def show(dp, north, shape):
    """The switch saw both sides; the device completed and segmented what the peer left to it."""
    rows = {row['name']: row for row in dp.call('device.stats')['devices']}
    for name, row in rows.items():
        print(f'    {name}: { {key: value for key, value in row["port"].items() if value} }', flush=True)
        lab.check(row['port']['rx_packets'] and row['port']['tx_packets'], f'{shape}: {name} carried both directions')
        lab.check(row['port']['drop_offload_packets'] == 0, f'{shape}: {name} dropped no offload')
    if north:
        counters = north.xstats(north.vbus)
        work = [counters['tx_q0_tso_packets'], counters['tx_q0_checksum_offload_packets']]
        lab.check(all(work) if shape == 'offload' else not any(work),
                  f'{shape}: the peer left {work[0]} large frames and {work[1]} checksums to its device')


SHAPES = {'uplinks': uplinks, 'device': device,
          'offload': lambda folder, one, two: device(folder, one, two, offload=True)}


def main():
    lab.need_root()
    if not os.path.exists('/dev/net/tun'):
        lab.skip('no /dev/net/tun')
    for tool in ('ip', 'ping', 'iperf3'):
        if shutil.which(tool) is None:
            lab.skip(f'{tool} is not installed')
    for shape in sys.argv[1:] or SHAPES:
        folder = lab.scratch()
        one, two = netns.Namespace('one', 1), netns.Namespace('two', 2)
        dp, north = SHAPES[shape](folder, one, two)
        traffic(shape, folder, one, two)
        show(dp, north, shape)
        if north:
            north.quit()
        dp.stop()
        for namespace in (one, two):
            netns.run('ip', 'netns', 'del', namespace.name)


main()
