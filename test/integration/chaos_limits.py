#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Thousands come and go, on the sockets of buses and on the control socket; then there is no descriptor left. Nothing
leaks, what is refused is refused with its cause, the log stays short, and frames of two peers go on, each right.

VBUS_CHAOS_CONNECTS=10000 for the long form.
"""
import json
import os
import resource
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import chaos  # noqa: E402
import link  # noqa: E402
import rawpeer  # noqa: E402
import testpmd as lab  # noqa: E402

CONNECTS = int(os.environ.get('VBUS_CHAOS_CONNECTS', '200' if link.SANITIZED else '1000'))


def connects(rig):
    """In five ways, from nothing sent to a device that is up."""
    def nothing():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(rig.path('c'))
        sock.close()

    def version():
        wire = rawpeer.Wire(rig.path('c'))
        try:
            wire.version()
        finally:
            wire.close()

    def half():
        wire = rawpeer.Wire(rig.path('c'))
        try:
            wire.version()
            wire.share()
            wire.sock.send(struct.pack('<HHIII', 1, rawpeer.WRITE, 40, 0, 0)[:11])
        finally:
            wire.close()

    def up():
        rig.peer('c').close()

    def control():
        rig.dp.call('bus.list')
    ways = (nothing, version, half, up, control)
    for number in range(CONNECTS):
        try:
            ways[number % len(ways)]()
        except ConnectionError:
            pass  # the one before it was not gone yet
        rig.pump()
        if number == CONNECTS // 10:
            rig.exchange()
            fds, rss = rig.settle_fds(0, timeout=0.5), rig.rss()
    rig.exchange()
    lab.check(rig.settle_fds(fds) <= fds, f'{CONNECTS} connects: {rig.fds()} descriptors are open, {fds} were')
    grown = rig.rss() - rss
    lab.check(link.SANITIZED or grown < 8192, f'{grown} kB more memory')
    lines = rig.log_lines()
    lab.check(lines < 100 + CONNECTS // 5, f'{lines} lines of log')


def descriptors(rig):
    """As many as it has now and one or two more, and somebody comes."""
    pid = rig.dp.process.pid
    fds = rig.settle_fds(0, timeout=0.5)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    refusals = set()
    for spare in range(6):
        highest = max(int(name) for name in os.listdir(f'/proc/{pid}/fd'))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, before[1]))
        held = []
        for _ in range(3):
            try:
                held.append(rawpeer.Peer(rig.path('c'), timeout=5))
            except (OSError, rawpeer.Refused) as reason:
                refusals.add(str(reason))
            rig.pump()
        for number in range(8):
            try:
                answer = rig.dp.ask('bus.create', name=f'new{number}', socket=f'{rig.folder}/new{number}.sock')
                if 'error' in answer:
                    refusals.add(answer['error']['message'])
            except (OSError, ValueError) as reason:
                refusals.add(f'control socket: {reason}')
        rig.flows(50, 'without descriptors')
        for peer in held:
            peer.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for number in range(8):
            rig.dp.ask('bus.delete', name=f'new{number}')
        rig.exchange()
    print('    ' + json.dumps(sorted(refusals)))
    lab.check(any('open files' in reason for reason in refusals), 'without descriptors: refused, with the cause')
    lab.check(rig.settle_fds(fds) <= fds, f'{rig.fds()} descriptors are open again, {fds} were')


def flood(rig):
    """A hundred thousand faults (fewer under a sanitizer) give a short log."""
    want = 2000 if link.SANITIZED else 100000
    lines, begin = rig.log_lines(), time.monotonic()
    peer = rig.peer('c')
    before = rig.row('bus', 'c')['failed_calls']
    message = (struct.pack('<HHIII', 1, rawpeer.WRITE, 48, 0, 0) + struct.pack('<QII', 0, rawpeer.BAR0, 16)
               + struct.pack('<IIQ', 77, 5, 3) + struct.pack('<HHIII', 2, rawpeer.READ, 32, 0, 0)
               + struct.pack('<QII', 0, rawpeer.BAR0, 4))
    done = 0
    while done < want:
        peer.sock.sendall(message * 50)
        for _ in range(100):
            peer.reply()
        done += 50
        rig.pump()
    seconds = time.monotonic() - begin
    failed = rig.row('bus', 'c')['failed_calls'] - before
    peer.close()
    lines = rig.log_lines() - lines
    lab.check(failed >= want, f'{failed} calls failed, and were counted')
    lab.check(lines < 50 + 15 * seconds, f'{lines} lines of log in {seconds:.0f} s')


def main():
    rig = chaos.Rig()
    rig.connect()
    connects(rig)
    descriptors(rig)
    flood(rig)
    rig.exchange()
    lab.check(all(stream.received > 1000 for stream in rig.streams), f'{rig.exact()} frames of the others, all right')
    rig.disconnect()
    rig.dp.stop()


main()
