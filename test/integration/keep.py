#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""A backend forwards frames that stay in the frontend's memory (keep=), from port to port and back.

They go round; the frontend is killed under them and comes back, the backend likewise; at the end every mbuf of
those that are left is back in its pool.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

NAMES = ['eth0', 'eth1']
APP = ['--total-num-mbufs=4096', '--no-flush-rx', '--txpkts=1000']
KILLS = 3


def kept(south):
    return sum(south.xstats(port)['rx_q0_packets_kept'] for port in (0, 1))


def flow(south, north, what):
    for pmd in (south, north):
        pmd.command('stop')
    for pmd in (south, north):
        for port in (0, 1):
            pmd.wait_link(port)
    before = north.stats()['rx_packets'], kept(south)
    south.command('start')
    north.command('start tx_first 4')
    lab.until(lambda: north.stats()['rx_packets'] > before[0] + 5000 and kept(south) > before[1] + 5000, 30, what)


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)

    def start_south():
        return link.south(folder, path, NAMES, app=APP, vdev=',keep=500')

    def start_north():
        return link.north(folder, path, app=APP)

    south, north = start_south(), start_north()
    flow(south, north, 'frames that stay in the frontend\'s memory go round')
    for number in range(KILLS):
        north.kill()
        for port in (0, 1):
            south.wait_link(port, up=False)
        north = start_north()
        flow(south, north, f'frontend killed {number + 1} times')
    for number in range(KILLS):
        south.kill()
        for port in (0, 1):
            north.wait_link(port, up=False)
        south = start_south()
        flow(south, north, f'backend killed {number + 1} times')
    for pmd in (south, north):
        pmd.command('stop')
    for pmd in (north, south):
        pmd.command('port stop all')
        free, total = link.pool(pmd)
        lab.check(free == total, f'{pmd.name} has {free} of {total} mbufs back')
    south.quit()
    north.quit()


main()
