#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Two vbus-dp over a window with interrupts (a server of ivshmem), both asleep: each is woken by the other's.

One serves a device that the other has as its uplink, and each switches a testpmd to it. Nothing is timed: frames that
find everybody asleep are told of by an interrupt, which is counted, in both directions. The server goes and takes the
interrupts with it, not the link; a new one, with other memory, is found when a side comes anew.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import ivshmem  # noqa: E402
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402
from windowlink import window_path  # noqa: E402

SIZE = 16 << 20
UPLINK = 'vbus:w.far'
NEAR = '''mode = adaptive
bus side {{ connector = window window = ivshmem:{sock} side = a devices = {{ far }} }}
device far {{ class = venet switch = br }}
switch br {{ ageing = 100000 }}
bus peer {{ socket = {{folder}}/a.sock devices = {{ eth0 }} }}
device eth0 {{ class = venet switch = br }}
'''
FAR = '''mode = adaptive
switch br {{ ports = {{ '{uplink}' }} }}
bus peer {{ socket = {{folder}}/b.sock devices = {{ eth0 }} }}
device eth0 {{ class = venet switch = br }}
'''


def north(dp):
    return link.telemetry(dp, '/vbus/link,w')['/vbus/link']['north']


def counts(dps):
    """Interrupts that came, of the one who serves and of the one who is served."""
    return {'a': link.telemetry(dps['a'], '/vbus/bus,side')['/vbus/bus']['window_interrupts'],
            'b': north(dps['b'])['nb_window_interrupts']}


def received(pmd):
    return pmd.stats(0)['rx_packets']


def woken(dps, pmds, what, interrupts=True):
    """Single frames each way. One that is sent to somebody who happens to be awake needs no interrupt: sent again."""
    for sender, receiver in ('ab', 'ba'):
        before = counts(dps)

        def told():
            frames = received(pmds[receiver])
            pmds[sender].command('stop')
            pmds[sender].command('start tx_first 1')
            lab.until(lambda: received(pmds[receiver]) > frames, 20, f'{what}: frames from {sender} arrive')
            return not interrupts or counts(dps)[receiver] > before[receiver]
        lab.until(told, 30, f'{what}: {receiver} is interrupted when {sender} sends', step=0.1)
        came = counts(dps)[receiver] - before[receiver]
        print(f'ok: {what}: frames from {sender} arrive, {receiver} was interrupted {came} times', flush=True)


def start(folder, letter, config, sock):
    eal = ['-d', lab.PLUGINS, '-a', f'vbus:w,window=ivshmem:{sock},side=b,wait=30000'] if letter == 'b' else []
    return vbusdp.VbusDp(folder, config, eal=eal)


def main():
    folder, path = lab.scratch(), window_path()
    sock = os.path.join(folder, 'i.sock')
    os.truncate(path, SIZE)
    server = ivshmem.Server(sock, path)
    configs = {'a': NEAR.format(sock=sock), 'b': FAR.format(uplink=UPLINK)}
    dps = {letter: start(folder, letter, configs[letter], sock) for letter in 'ab'}
    pmds = {letter: link.north(folder, os.path.join(folder, f'{letter}.sock'), name=letter, wait=30000,
                               app=['--total-num-mbufs=4096', '--no-flush-rx', '--txd=64']) for letter in 'ab'}
    for pmd in pmds.values():
        pmd.wait_link()
        pmd.command('set fwd rxonly')
        pmd.command('start')
    woken(dps, pmds, 'both asleep')
    server.close()
    os.unlink(sock)
    woken(dps, pmds, 'the server is gone', interrupts=False)
    fresh = window_path()
    os.truncate(fresh, SIZE)
    ivshmem.Server(sock, fresh)
    dps['a'].kill()
    dps['a'] = start(folder, 'a', configs['a'], sock)
    lab.until(lambda: north(dps['b'])['nb_connects'] > 1 and north(dps['b'])['state'] == 'up', 30, 'a new session')
    pmds['a'].wait_link(timeout=30)
    woken(dps, pmds, 'another server, other memory')
    for pmd in pmds.values():
        pmd.command('stop')
        pmd.quit()
    for dp in dps.values():
        dp.stop()


main()
