#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Several queue pairs: every number of north's pairs against every number of queues that south polls.

North sends many flows on all its queues and south, which forwards, returns them. What one end has sent the
other has received, on the queues that it must be; frames to north are spread over its queues. A north that asks
for more pairs than there are is refused, one of version 2 rings gets one. Over a window the rings are placed ones.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402
from windowlink import window_path  # noqa: E402

FRAMES = 2000 if link.SANITIZED else 20000
MOST = 4


def queues(pmd, count):
    """The number of queues of either kind, set anew, and the port started; the answers."""
    return ''.join(map(pmd.command, ('port stop 0', f'port config all rxq {count}', f'port config all txq {count}',
                                     'port start 0')))


def counted(pmd, way):
    """Packets by queue."""
    found = {int(match.group(1)): value for key, value in pmd.xstats(0).items()
             if (match := re.fullmatch(rf'{way}_q(\d+)_packets', key))}
    return [found[number] for number in sorted(found)]


def case(south, north, polled, pairs):
    what = f'{polled} polled, {pairs} pairs'
    for pmd, count in ((south, polled), (north, pairs)):
        text = queues(pmd, count)
        lab.check('ail' not in text, f'{what}: {pmd.name} starts')
    for pmd in (south, north):
        pmd.wait_link(0)
        pmd.command('clear port xstats 0')
    south.command('set fwd io')
    south.command('start')
    north.command('set fwd flowgen')
    north.command('start')

    def all_used():
        south.drain()
        return sum(counted(north, 'rx')) > FRAMES and all(counted(north, 'rx')) and all(counted(north, 'tx'))
    lab.until(all_used, 60, f'{what}: frames come back on all queues of north', step=0.1)
    north.command('stop')
    north.command('set fwd rxonly')
    north.command('start')

    def same():
        return (sum(counted(south, 'rx')) == sum(counted(north, 'tx'))
                and sum(counted(north, 'rx')) == sum(counted(south, 'tx')))
    lab.until(same, 30, f'{what}: what was sent was received', step=0.1)
    used = [number for number, packets in enumerate(counted(south, 'rx')) if packets]
    lab.check(used == list(range(min(polled, pairs))), f'{what}: south received on queues {used}')
    drops = {key: value for pmd in (south, north) for key, value in pmd.xstats(0).items() if '_drop_' in key and value}
    lab.check(not drops, f'{what}: nothing dropped {drops or ""}')
    for pmd in (north, south):
        pmd.command('stop')


def over_window(folder):
    """The same where each pair has placed rings."""
    window = f'window={window_path()},size={32 << 20}'
    south = lab.Testpmd(folder, 'south-w', ['--vdev', f'net_vbus0,{window},bus=vm1,name=eth0,queues={MOST}'],
                        link.QUIET, workers=1)
    north = lab.Testpmd(folder, 'north-w', ['-a', f'vbus:vm1,{window}'], link.QUIET, workers=1)
    link.wait_ports(north, ['vbus:vm1.eth0'])
    for polled, pairs in ((1, 4), (4, 4)):
        case(south, north, polled, pairs)
        stats = north.xstats(0)
        lab.check(all(stats[f'{way}_q{pairs - 1}_packets_copied'] == stats[f'{way}_q{pairs - 1}_packets']
                      for way in ('rx', 'tx')), f'window: {pairs} pairs of placed rings')
    north.quit()
    south.quit()


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)
    south = link.south(folder, path, eal=(), workers=1, devices=(f'eth0,queues={MOST}',))
    north = link.north(folder, path, workers=1)
    link.wait_ports(north, ['vbus:vm1.eth0'])
    for polled, pairs in ((1, 1), (1, 4), (4, 4), (2, 3), (4, 1), (3, 2)):
        case(south, north, polled, pairs)
    text = queues(north, MOST + 1)
    lab.check(re.search(r'ail|nvalid|rror', text) is not None, 'more queues than there are pairs: refused')
    north.quit()
    north = link.north(folder, path, name='north2', eal=['-a', 'vbus:vm1.eth0,ring=v2'])
    link.wait_ports(north, ['vbus:vm1.eth0'])
    text = north.command('show port info 0')
    lab.check('Max possible RX queues: 1' in text, 'version 2 rings: one queue')
    north.wait_link(0)
    north.quit()
    south.quit()
    over_window(folder)


main()
