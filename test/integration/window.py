#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Two processes over a window of shared memory, each serving the other at the same time.

Frames of 60 to 1,518 bytes are equal in content and order on both links and in both directions, those that one side
serves copied by an engine (dmadev); each side is killed and replaced a number of times (VBUS_WINDOW_KILLS), also in
the other order of start, and the window's file is cut short under both of them: traffic goes on.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402
from windowlink import NAMES, bounce, served, settle, side, window_path  # noqa: E402

KILLS = int(os.environ.get('VBUS_WINDOW_KILLS', '4'))
ENGINE = 'dma_skeleton'  # DPDK's, a thread that copies
COUNT = 1000 if link.SANITIZED else 4000


def exact(folder, path):
    """Every frame that goes into one side comes out of the other, on two links at once."""
    flows = {}
    for seed, way in enumerate(('ab-link-a', 'ba-link-a', 'ab-link-b', 'ba-link-b')):
        stem = os.path.join(folder, way)
        frames = pcap.frames(COUNT, seed + 1, longest=1514)
        pcap.write(stem + '.in', frames)
        flows[way] = (frames, stem + '.in', stem + '.out')
    # net_pcap0 beside the port that is served, net_pcap1 beside the one that is consumed.
    pairs = {'a': [('ba-link-a', 'ab-link-a'), ('ba-link-b', 'ab-link-b')],
             'b': [('ab-link-b', 'ba-link-b'), ('ab-link-a', 'ba-link-a')]}
    pmds = {}
    for letter, ports in pairs.items():
        eal = []
        for number, (out, into) in enumerate(ports):
            eal += ['--vdev', f'net_pcap{number},rx_pcap={flows[into][1]},tx_pcap={flows[out][2]}']
        pmds[letter] = side(folder, path, letter, eal, ['--no-flush-rx', '--nb-cores=4'],
                            dma=ENGINE if letter == 'b' else None)
    ids = settle(pmds)
    for letter, pmd in pmds.items():
        names = ['net_vbus0', 'net_pcap0', served(letter), 'net_pcap1']
        ids[letter].update(link.ports(pmd))
        pmd.command('set portlist ' + ','.join(str(ids[letter][name]) for name in names))
        link.patient(pmd)
    for pmd in pmds.values():
        pmd.command('start')

    def arrived():
        for pmd in pmds.values():
            pmd.drain()
        return all(os.path.exists(out) and os.path.getsize(out) >= pcap.size(frames)
                   for frames, _, out in flows.values())
    lab.until(arrived, 120, 'all frames arrived')
    for pmd in pmds.values():
        pmd.command('stop')
    for way, (frames, _, out) in flows.items():
        difference = pcap.difference(frames, pcap.read(out))
        lab.check(difference is None, f'{way}: {len(frames)} frames equal in content and order'
                  + (f' ({difference})' if difference else ''))
    xstats = pmds['b'].xstats(ids['b']['net_vbus0'])
    copied, failed = (xstats[f'tx_q0_{name}'] for name in ('packets_copied_by_engine', 'engine_failures'))
    # On a busy machine the engine's thread may be late once; the processor copies then.
    lab.check(copied > COUNT // 2, f'side b: {copied} frames were copied by {ENGINE}, {failed} failures')
    for pmd in pmds.values():
        pmd.quit()


def gone(path, pmds, ids):
    """The window is cut short under the traffic (SIGBUS), and grows again: the links come back."""
    def connects(pmd):
        return link.telemetry(pmd, '/vbus/link,w')['/vbus/link']['north']['nb_connects']
    before = {letter: connects(pmd) for letter, pmd in pmds.items()}
    os.truncate(path, 0)
    # Each of the two links by its own count: one may be back before the other has seen that it is gone.
    lab.until(lambda: all(connects(pmd) > before[letter] for letter, pmd in pmds.items()), 20,
              'both links were lost with the window and made anew')
    again = settle(pmds)
    lab.check(again == ids, 'both sides kept their ports when the window was gone')
    bounce(pmds, again, 'the window was gone: traffic on both links')


def replaced(folder, path):
    """Either side is killed and comes again; the other keeps its ports."""
    pmds = {letter: side(folder, path, letter, app=['--no-flush-rx', '--total-num-mbufs=4096'])
            for letter in 'ba'}
    ids = settle(pmds)
    for number in range(KILLS + 1):
        bounce(pmds, ids, f'sides gone {number} times: traffic on both links')
        if number == KILLS:
            break
        letter = 'ab'[number % 2]
        other = NAMES[letter]
        pmds[letter].kill()
        pmds[other].wait_link(ids[other][served(other)], up=False, timeout=10)
        pmds[letter] = side(folder, path, letter, app=['--no-flush-rx', '--total-num-mbufs=4096'])
        again = settle(pmds)
        lab.check(again[other] == ids[other], f'side {other} kept its ports when side {letter} was killed')
        ids = again
    gone(path, pmds, ids)
    for letter, pmd in pmds.items():
        pmd.command('stop')
        pmd.command('port stop all')
        free, total = link.pool(pmd)
        lab.check(free == total, f'side {letter}: {free} of {total} mbufs are back')
        pmd.quit()


def main():
    folder = lab.scratch()
    exact(folder, window_path())
    replaced(folder, window_path())


main()
