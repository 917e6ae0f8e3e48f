#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Uplinks of vbus-dp that are unplugged while they carry traffic, and come back.

The uplinks are ports of our own PMD: the other end of their link, a testpmd, drops and adds devices.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

MODES = ('busy', 'adaptive')
GONE, STAYS = 'vbus:up.eth1', 'vbus:up.eth0'
CONFIG = '''mode = {mode}
switch br0 {{ ports = {{ '{gone}', '{stays}' }} }}
bus vm1 {{ socket = {{folder}}/vm1.sock devices = {{ web0 }} }}
device web0 {{ class = venet mac = 02:00:00:00:00:01 switch = br0 }}
'''


def port(dp, name):
    return dp.call('device.stats', name=name)['devices'][0]


def flows(dp, names, what):
    """Frames that the peer floods leave by each of these."""
    before = {name: port(dp, name)['port']['tx_packets'] for name in names}
    lab.until(lambda: all(port(dp, name)['port']['tx_packets'] > before[name] + 200 for name in names), 20, what)


def far_end(folder, path):
    """Where the uplinks lead to."""
    pmd = link.south(folder, path, devices=('eth0', 'eth1'), app=['--total-num-mbufs=4096'])
    pmd.command('set fwd rxonly')
    pmd.command('start')
    return pmd


def pull(far, number, vdev):
    far.command('stop')
    far.command(f'port stop {number}')
    far.command(f'port detach {number}')
    lab.check(vdev not in link.ports(far), f'{vdev} is pulled')
    far.command('start')


def plug(far, path, vdev):
    far.command('stop')
    far.command(f'port attach {vdev},iface={path},name=eth1')
    far.command(f'port start {link.ports(far)[vdev]}')
    far.command('start')


def run(mode):
    folder = lab.scratch()
    path = os.path.join(folder, 'up.sock')
    far = far_end(folder, path)
    config = CONFIG.format(mode=mode, gone=GONE, stays=STAYS)
    dp = vbusdp.VbusDp(folder, config, eal=['-d', lab.PLUGINS, '-a', f'vbus:up,socket={path}'])
    peer = link.north(folder, os.path.join(folder, 'vm1.sock'), app=['--total-num-mbufs=4096'])
    peer.wait_link()
    peer.command('set fwd txonly')
    peer.command('start')
    flows(dp, (GONE, STAYS), f'{mode}: frames leave by both uplinks')

    pull(far, 1, 'net_vbus1')
    dp.wait_log(f'uplink {GONE} is gone')
    lab.until(lambda: port(dp, GONE).get('gone'), 10, f'{mode}: it is known to be gone')
    last = port(dp, GONE)['port']
    lab.check(last['tx_packets'] > 0, f"{mode}: its counters stay: {last['tx_packets']} frames")
    flows(dp, (STAYS,), f'{mode}: the other uplink carries on')
    lab.check(port(dp, GONE)['port'] == last and dp.text().count('is gone') == 1, f'{mode}: it is out of the switch')
    dp.reload(config)
    dp.call('device.set', name='web0', mtu=1400)
    flows(dp, (STAYS,), f'{mode}: changes of others do not need it')
    lab.check(sorted(dp.call('switch.list')['switches'][0]['ports']) == [STAYS, GONE], f'{mode}: it is still named')

    plug(far, path, 'net_vbus2')
    lab.until(lambda: dp.reload(config) and not port(dp, GONE).get('gone'), 20,
              f'{mode}: plugged again and SIGHUP: it is a port again', step=0.5)
    flows(dp, (GONE, STAYS), f'{mode}: frames leave by both again')
    far.command('stop')
    far.quit()
    lab.check(port(dp, STAYS)['class'] == 'uplink', f'{mode}: the far end may die')
    dp.call('switch.set', name='br0', ports=[])
    lab.check(dp.call('device.stats')['total'] == 1, f'{mode}: uplinks are deleted, gone or not')
    peer.command('stop')
    peer.quit()
    dp.stop()
    print(f'ok: {mode}', flush=True)


for one in MODES:
    run(one)
