#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Two processes over a window of shared memory, each serving the other at the same time.

Frames of 60 to 1,518 bytes are equal in content and order on both links and in both directions; each
side is killed and replaced a number of times (VBUS_WINDOW_KILLS), also in the other order of start,
and traffic goes on; arguments that cannot be are refused with their names.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

KILLS = int(os.environ.get('VBUS_WINDOW_KILLS', '4'))
COUNT = 1000 if link.SANITIZED else 4000
SIZE = 16 << 20
NAMES = {'a': 'b', 'b': 'a'}


def window_path():
    """A file of tmpfs: the link's memory."""
    fd, path = tempfile.mkstemp(prefix='vbus-window.', dir='/dev/shm')
    os.close(fd)
    lab.atexit.register(lambda: os.path.exists(path) and os.unlink(path))
    return path


def side(folder, path, letter, eal=(), app=()):
    """One end: it serves net_vbus0, which the other side sees as vbus:w.ethA or .ethB."""
    eal = ['--vdev', f'net_vbus0,window={path},side={letter},size={SIZE},bus=serve,name=eth{letter.upper()}',
           '-a', f'vbus:w,window={path},side={letter},size={SIZE},wait=0'] + list(eal)
    return lab.Testpmd(folder, f'side-{letter}', eal, link.QUIET + list(app), workers=4)


def served(letter):
    return f'vbus:w.eth{NAMES[letter].upper()}'


def settle(pmds):
    """Both ports of both sides are there and up; {letter: {name: port id}}."""
    ids = {}
    for letter, pmd in pmds.items():
        ids[letter] = link.wait_ports(pmd, ['net_vbus0', served(letter)], 30)
        # testpmd forwards on a port that came by an event only after this.
        if f'Configuring Port {ids[letter][served(letter)]} ' not in pmd.output:
            pmd.command(f'port attach {served(letter)}')
    for pmd in pmds.values():
        pmd.command('port start all')
    for letter, pmd in pmds.items():
        for name in ('net_vbus0', served(letter)):
            pmd.wait_link(ids[letter][name], timeout=30)
    return ids


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
        pmds[letter] = side(folder, path, letter, eal, ['--no-flush-rx', '--nb-cores=4'])
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
    for pmd in pmds.values():
        pmd.quit()


def bounce(pmds, ids, what):
    """Frames go round on both links, many times."""
    for letter, pmd in pmds.items():
        pmd.command('stop')
        pmd.command(f'set portlist {ids[letter]["net_vbus0"]},{ids[letter][served(letter)]}')
        pmd.command('set fwd io')
    pmds['b'].command('start')
    before = sum(port['rx_packets'] for port in all_stats(pmds['a'], ids['a']))
    pmds['a'].command('start tx_first 4')

    def goes_on():
        return sum(port['rx_packets'] for port in all_stats(pmds['a'], ids['a'])) > before + 2000
    lab.until(goes_on, 20, what)


def all_stats(pmd, ids):
    return [pmd.stats(ids[name]) for name in ids if 'vbus' in name]


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
