#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""Either side is killed (SIGKILL) 50 times under traffic; the other keeps its port and goes on.
So it does when a side leaves by the front door, 5 times each.

The link is up within 200 ms of the new process being ready (its prompt), frames flow again in both
directions, and at the end every mbuf of the survivor is back in its pool.
"""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402

KILLS = int(os.environ.get('VBUS_KILLS', '50'))
QUITS = 5
LIMIT = 0.2
LOOP = ['--port-topology=loop', '--total-num-mbufs=4096', '--no-flush-rx']


def received(pmd):
    return pmd.stats()['rx_packets']


def flow(south, north, what):
    """Frames bounce: seeded by the frontend, they must come back many times."""
    for pmd in (south, north):
        pmd.command('stop')
    south.command('start')
    before = received(north)
    north.command('start tx_first 4')
    lab.until(lambda: received(north) > before + 2000, 10, what)


def attached(survivor, newcomer, number):
    """Seconds from the newcomer's prompt to a link that is up on both sides.

    Counted is when it was last asked for and found down: the answer takes as long as the machine is busy,
    and longer when a log line cuts testpmd's prompt in two.
    """
    begin = asked = time.monotonic()
    down = 0.0
    for pmd in (newcomer, survivor):
        while not pmd.link_up():
            down = asked - begin
            if down > 10:
                pmd.give_up(f'kill {number}: no link 10 s after the prompt')
            time.sleep(0.002)
            asked = time.monotonic()
        asked = time.monotonic()
    names = link.ports(survivor)
    if list(names.values()) != [0]:
        lab.fail(f'kill {number}: the survivor has ports {names}')
    return down


def rounds(what, survivor, start, order):
    """Kill and replace the other side; order(newcomer) gives (south, north)."""
    times = []
    other = start()
    attached(survivor, other, 0)
    for number in range(1, KILLS + QUITS + 1):
        flow(*order(other), f'{what} gone {number - 1} times: traffic flows')
        if number <= KILLS:
            other.kill()
        else:
            other.quit()
        survivor.wait_link(up=False)
        other = start()
        times.append(attached(survivor, other, number))
        if number % 10 == 0:
            print(f'    {what} gone {number} times', flush=True)
    flow(*order(other), f'{what}: traffic after the last')
    print(f'    re-attach: median {statistics.median(times) * 1000:.0f} ms, '
          f'longest {max(times) * 1000:.0f} ms after the prompt')
    late = sum(seconds > LIMIT for seconds in times)
    if late:  # the limit is for a machine that does nothing else; beside other work it may be missed
        print(f'    {late} of {len(times)} came up later than that; the load of the machine is '
              f'{os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs')
    lab.check(max(times) <= LIMIT,
              f'{what} killed {KILLS} times, ended {QUITS} times, link up within {LIMIT * 1000:.0f} ms each time')
    for pmd in (other, survivor):
        pmd.command('stop')
        pmd.command('port stop 0')
        free, total = link.pool(pmd)
        lab.check(free == total, f'{what} killed: {pmd.name} has {free} of {total} mbufs back')
    other.quit()


def main():
    folder = lab.scratch()
    path = link.socket_path(folder)

    def start_south():
        return link.south(folder, path, app=LOOP)

    def start_north():
        return link.north(folder, path, app=LOOP)

    survivor = link.north(folder, path, app=LOOP, wait=0)
    # A frontend without a backend has no port yet: the first backend brings it.
    first = start_south()
    link.wait_ports(survivor, ['vbus:vm1.eth0'])
    survivor.quit()
    survivor = start_north()
    first.kill()
    rounds('backend', survivor, start_south, lambda other: (other, survivor))
    survivor.quit()
    survivor_south = start_south()
    rounds('frontend', survivor_south, start_north, lambda other: (survivor_south, other))
    survivor_south.quit()


main()
