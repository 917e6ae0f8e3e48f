#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""200 devices come and go on a link while frames bounce over it in both directions.

One device stays and carries traffic all the time; another is added by the backend (port attach),
appears at the frontend by itself, is started, carries traffic in every tenth cycle, and is dropped
by the backend (port detach), in those cycles while the frontend still forwards on it.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

CYCLES = 30 if link.SANITIZED else 200
LOOP = ['--port-topology=loop', '--total-num-mbufs=4096', '--no-flush-rx']
HOT = 'vbus:vm1.hot'


def bounce(south, north, south_ports, north_ports):
    """(Re)start: what the frontend sends first goes back and forth until somebody stops."""
    for pmd, ports in ((south, south_ports), (north, north_ports)):
        pmd.command('stop')
        pmd.command('set portlist ' + ','.join(str(port) for port in ports))
    south.command('start')
    north.command('start tx_first 4')


def forward(pmd, ports):
    """Forward on these ports alone: testpmd wants to forward on every one that it attaches. What
    bounces waits in the rings meanwhile."""
    pmd.command('stop')
    pmd.command('set portlist ' + ','.join(str(port) for port in ports))
    pmd.command('start')


def received(pmd, port):
    return pmd.stats(port)['rx_packets']


def flows(pmd, port, what):
    before = received(pmd, port)
    lab.until(lambda: received(pmd, port) > before + 1000, 10, what)


def add(south, path):
    south.command(f'port attach net_vbus9,iface={path},name=hot')
    port = link.ports(south)['net_vbus9']
    south.command(f'port start {port}')
    forward(south, [0])
    return port


def cycle(number, south, north, path):
    with_traffic = number % 10 == 0
    hot_south = add(south, path)
    north_ports = link.wait_ports(north, [HOT])
    north.command(f'port attach {HOT}')
    hot_north = north_ports[HOT]
    north.command(f'port start {hot_north}')
    forward(north, [0])
    north.wait_link(hot_north)
    if with_traffic:
        bounce(south, north, [0, hot_south], [0, hot_north])
        flows(north, hot_north, f'cycle {number}: traffic on the new device')
        forward(south, [0])
    seen = len(north.output)
    south.command(f'port stop {hot_south}')
    south.command(f'port detach {hot_south}')
    if link.ports(south) != {'net_vbus0': 0}:
        south.give_up(f'cycle {number}: the backend still has the port')
    lab.until(lambda: link.ports(north) == {'vbus:vm1.eth0': 0}, 10,
              f'cycle {number}: the frontend gave the dropped port back', step=0.05)
    if with_traffic:
        # testpmd answers the removal of a port in use in another thread, which starts forwarding anew.
        # Two threads at that would hang it: let it finish.
        north.wait_output('TX offloads=', 10, seen)
        north.drain(0.3)
        bounce(south, north, [0], [0])


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)
    south = link.south(folder, path, app=LOOP)
    north = link.north(folder, path, app=LOOP)
    for pmd in (south, north):
        pmd.wait_link()
    bounce(south, north, [0], [0])
    for number in range(CYCLES):
        before = received(north, 0)
        cycle(number, south, north, path)
        lab.until(lambda: received(north, 0) > before + 100, 10, f'cycle {number}: the device that stays has traffic')
        if number % 25 == 24:
            print(f'    {number + 1} cycles', flush=True)
    lab.check(south.link_up() and north.link_up(),
              f'{CYCLES} cycles of add and drop, the device that stayed carried traffic through all of them')
    for pmd in (south, north):
        pmd.command('stop')
    for pmd in (north, south):
        pmd.command('port stop 0')
        free, total = link.pool(pmd)
        lab.check(free == total, f'{pmd.name}: {free} of {total} mbufs are back in the pool')
        pmd.quit()


main()
