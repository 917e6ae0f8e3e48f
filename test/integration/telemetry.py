#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""What DPDK's telemetry socket says of a link, from both sides, compared with what testpmd counts."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

LOOP = ['--port-topology=loop', '--total-num-mbufs=4096', '--no-flush-rx']
COMMANDS = ('/vbus/list', '/vbus/bus', '/vbus/device', '/vbus/link')


def ask(pmd, command):
    """The answer under its own name: None when there is none."""
    answer = link.telemetry(pmd, command)
    text = json.dumps(answer)
    if command != '/':
        print(f'    {pmd.name} {command}: {text[:300]}{"..." if len(text) > 300 else ""}')
    return list(answer.values())[0]


def before_the_peer(south):
    bus = ask(south, '/vbus/bus,vm1')
    lab.check(bus['name'] == 'vm1' and bus['connector'] == 'vfio-user' and bus['devices'] == ['eth0', 'eth1'],
              'the bus without a peer: its name, connector and devices')
    lab.check(ask(south, '/vbus/device,vm1/eth0')['open'] == 0, 'its device is not open')


def of_south(south):
    lab.check(ask(south, '/vbus/list')['objects'] ==
              ['bus,vm1', 'link,vm1', 'device,vm1/eth0', 'device,vm1/eth1'], 'the backend lists all it has')
    for number, name in enumerate(('eth0', 'eth1')):
        device = ask(south, f'/vbus/device,vm1/{name}')
        stats = south.stats(number)
        lab.check(device['class'] == 'venet' and device['open'] == 1 and device['link'] == 'up',
                  f'{name} is open and up')
        lab.check(device['rx_packets'] == stats['rx_packets'] > 0 and device['tx_bytes'] == stats['tx_bytes'] > 0,
                  f'{name}: {stats["rx_packets"]} packets, {stats["tx_bytes"]} bytes, as testpmd says')
        drops = {key: value for key, value in device.items() if 'drop' in key}
        lab.check(len(drops) >= 8 and not any(drops.values()), f'{name}: {len(drops)} reasons to drop, none was met')
    side = ask(south, '/vbus/link,vm1')['south']
    lab.check(side['sessions'] == 1 and side['open_devices'] == 2 and side['failed_calls'] == 0
              and side['mapped_bytes'] > 0, 'the link from the south: one session, two devices, no failed call')


def of_north(north):
    lab.check(ask(north, '/vbus/list')['objects'] == ['link,vm1'], 'the frontend lists its link')
    side = ask(north, '/vbus/link,vm1')['north']
    lab.check(side['state'] == 'up' and side['nb_devices_bound'] == 2 and side['nb_devadd_events'] == 2
              and side['nb_bad_events'] == 0, 'the link from the north: up, two devices announced and bound')


def what_is_not_there(pmd):
    for wrong in ('/vbus/bus,nobody', '/vbus/device,nobody', '/vbus/link,nobody', '/vbus/bus', '/vbus/list,junk',
                  '/vbus/device,vm1/', '/vbus/bus,' + 'x' * 200):
        lab.check(not ask(pmd, wrong) and pmd.alive(), f'{wrong[:40]}: no answer, no harm')


def memory(pmd):
    """DPDK's own commands, which every program with a vbus port has: pools and heaps."""
    pool = ask(pmd, '/mempool/info,mb_pool_0')
    lab.check('mb_pool_0' in ask(pmd, '/mempool/list') and pool['size'] == 4096, f'{pmd.name}: its pool of mbufs')
    lab.check(int(ask(pmd, '/eal/heap_info,0')['Alloc_count']) > 0, f'{pmd.name}: its heap')


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)
    south = link.south(folder, path, ['eth0', 'eth1'], app=LOOP)
    before_the_peer(south)
    north = link.north(folder, path, app=LOOP)
    for pmd in (south, north):
        for port in (0, 1):
            pmd.wait_link(port)
    south.command('start')
    north.command('start tx_first 4')
    lab.until(lambda: min(north.stats(port)['rx_packets'] for port in (0, 1)) > 1000, 10, 'traffic')
    for pmd in (south, north):
        pmd.command('stop')
        known = ask(pmd, '/')
        lab.check(all(command in known for command in COMMANDS), f'{pmd.name} has {" ".join(COMMANDS)}')
    of_south(south)
    of_north(north)
    memory(north)
    what_is_not_there(south)
    what_is_not_there(north)
    north.quit()
    south.quit()


main()
