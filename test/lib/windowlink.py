# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Two testpmds over a window of shared memory, each serving the other at the same time."""
import os
import tempfile

import link
import testpmd as lab

SIZE = 16 << 20
NAMES = {'a': 'b', 'b': 'a'}


def window_path():
    """A file of tmpfs: the link's memory."""
    fd, path = tempfile.mkstemp(prefix='vbus-window.', dir='/dev/shm')
    os.close(fd)
    lab.atexit.register(lambda: os.path.exists(path) and os.unlink(path))
    return path


def side(folder, path, letter, eal=(), app=(), dma=None):
    """One end: it serves net_vbus0, which the other side sees as vbus:w.ethA or .ethB. dma: an engine's vdev."""
    eal = ['--vdev', f'net_vbus0,window={path},side={letter},size={SIZE},bus=serve,name=eth{letter.upper()}'
           + (f',dma={dma}' if dma else ''),
           '-a', f'vbus:w,window={path},side={letter},size={SIZE},wait=0'] + list(eal)
    if dma:
        eal += ['--vdev', dma]
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
