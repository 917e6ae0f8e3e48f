#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What is far is written and never read: two processes over a window in the test mode in which each
instruction that touches the far half traps, is counted, and waits 1 us when it reads.

Frames go round on both links, and not one far read is counted while they do; the counters do count.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402
from windowlink import all_stats, bounce, settle, side, window_path  # noqa: E402

FRAMES = 3000


def counters(pmds):
    """{letter: its far accesses}"""
    return {letter: link.telemetry(pmd, '/vbus/distance')['/vbus/distance'] for letter, pmd in pmds.items()}


def received(pmd, ids):
    return sum(port['rx_packets'] for port in all_stats(pmd, ids))


def main():
    os.environ['VBUS_WINDOW_DISTANCE'] = '1000'
    folder = lab.scratch()
    path = window_path()
    app = ['--no-flush-rx', '--total-num-mbufs=4096', '--rxd=128', '--txd=128']
    pmds = {letter: side(folder, path, letter, app=app) for letter in 'ba'}
    ids = settle(pmds)
    bounce(pmds, ids, 'traffic on both links')
    first = counters(pmds)
    before = received(pmds['a'], ids['a'])
    lab.until(lambda: received(pmds['a'], ids['a']) > before + FRAMES, 60, f'{FRAMES} frames more')
    second = counters(pmds)
    for letter in pmds:
        reads, writes = (second[letter][name] - first[letter][name] for name in ('nb_far_reads', 'nb_far_writes'))
        lab.check(first[letter]['delay_ns'] == 1000 and first[letter]['nb_far_writes'] > 1000,
                  f'side {letter}: the mode is on, {first[letter]["nb_far_reads"]} far reads to set up')
        lab.check(reads == 0 and writes > FRAMES,
                  f'side {letter}: {reads} far reads, {writes} far writes in the steady state, last read at '
                  f'0x{second[letter]["last_far_read"]:x}')
    for pmd in pmds.values():
        pmd.quit()


main()
