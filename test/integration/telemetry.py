#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""What DPDK's telemetry socket says of a link, from both sides, beside what testpmd itself says."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

LOOP = ['--port-topology=loop', '--total-num-mbufs=4096', '--no-flush-rx']


def ask(pmd, command):
    answer = link.telemetry(pmd, command)
    print(f'    {pmd.name} {command}: {json.dumps(answer)[:400]}')
    return list(answer.values())[0]


def mentions(answer, word):
    return word in json.dumps(answer)


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)
    south = link.south(folder, path, ['eth0', 'eth1'], app=LOOP)
    north = link.north(folder, path, app=LOOP)
    for pmd in (south, north):
        for port in (0, 1):
            pmd.wait_link(port)
    south.command('start')
    north.command('start tx_first 4')
    lab.until(lambda: north.stats(0)['rx_packets'] > 1000, 10, 'traffic')
    for pmd in (south, north):
        pmd.command('stop')
        commands = ask(pmd, '/')
        lab.check(all(f'/vbus/{name}' in commands for name in ('list', 'bus', 'device', 'link')),
                  f'{pmd.name} has the four commands')
    lab.check(mentions(ask(south, '/vbus/list'), 'vm1'), 'the backend lists its bus')
    bus = ask(south, '/vbus/bus,vm1')
    lab.check(bus is not None and mentions(bus, 'eth0') or mentions(bus, '2'), 'the bus tells of its devices')
    device = ask(south, '/vbus/device,vm1/eth0')
    if device is None:
        device = ask(south, '/vbus/device,eth0')
    lab.check(device is not None, 'the device tells of itself')
    lab.check(mentions(ask(north, '/vbus/list'), 'vm1'), 'the frontend lists its link')
    lab.check(mentions(ask(north, '/vbus/link,vm1'), 'eth0') or ask(north, '/vbus/link,vm1') is not None,
              'the link tells of itself')
    for wrong in ('/vbus/bus,nobody', '/vbus/device,nobody', '/vbus/link,nobody', '/vbus/bus', '/vbus/list,junk'):
        answer = ask(south, wrong)
        lab.check(south.alive() and (not answer or wrong.endswith('junk')), f'{wrong}: no answer, no harm')
    north.quit()
    south.quit()


main()
