#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""A thousand devices come to vbus-dp and go by its control socket, while two peers run traffic.

The devices are ports of the switch that carries the traffic, and come and go on the bus of a third
peer. Its PMD finds room for 31 of them; its link sees them all, and tells of them by telemetry.
Each round creates, attaches, detaches and deletes all of them.
"""
import os
import re
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

# With lcores of their own the control side gets less of a small machine's CPUs: fewer devices, the same changes.
SHAPES = (('main lcore', '0@0-1', 100 if link.SANITIZED else 1000, 20),
          ('two more lcores', '0@0-1,1@0-1,2@0-1', 20 if link.SANITIZED else 200, 20))
ROUNDS = 3
VISIBLE_MS = 50
LEFTOVER_KB = 1  # per device: one that stays behind has many times that, an event in the bus's log less
# AddressSanitizer keeps what is freed, up to 256 MB.
LITTLE_QUARANTINE = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', 'abort_on_error=1:detect_leaks=0')
                     + ':quarantine_size_mb=1:thread_local_quarantine_size_kb=64'} if link.SANITIZED else None
MAC = {'a': '02:00:00:00:00:01', 'b': '02:00:00:00:00:02'}
SENDER_DROPS = ('drop_no_switch_packets', 'drop_same_port_packets', 'drop_short_packets')
RECEIVER_DROPS = ('drop_tx_full_packets', 'drop_handover_full_packets', 'drop_mtu_packets', 'drop_link_down_packets',
                  'drop_offload_packets')
CONFIG = 'switch br0 {}\nbus c { socket = {folder}/c.sock }\n' + ''.join(
    f'bus {name} {{ socket = {{folder}}/{name}.sock devices = {{ {name} }} }}\n'
    f'device {name} {{ class = venet mac = {MAC[name]} switch = br0 }}\n' for name in 'ab')


def peer(folder, name, **more):
    return link.north(folder, os.path.join(folder, f'{name}.sock'), name=name, link=name, memory=256, wait=5000, **more)


def rss(dp):
    with open(f'/proc/{dp.process.pid}/status', encoding='utf-8') as status:
        return int(re.search(r'VmRSS:\s+(\d+) kB', status.read()).group(1))


def third_link(third):
    return link.telemetry(third, '/vbus/link,c')['/vbus/link']['north']


def present(third):
    return int(third_link(third)['nb_devices_present'])


def traffic(folder):
    """Frames that go round between two peers: what is lost once is missing ever after."""
    pmds = {name: peer(folder, name, app=['--port-topology=loop', '--total-num-mbufs=4096', '--no-flush-rx'])
            for name in 'ab'}
    for name, other in ('ab', 'ba'):
        pmds[name].wait_link()
        pmds[name].command(f'set eth-peer 0 {MAC[other]}')
        pmds[name].command('set fwd mac')
        pmds[name].command('set burst tx delay 20 retry 200000')
    pmds['b'].command('start')
    pmds['a'].command('start tx_first 2')
    return pmds


def counters(dp):
    return {name: dp.call('device.stats', name=name)['devices'][0]['port'] for name in 'ab'}


def flowing(dp, what):
    before = counters(dp)
    lab.until(lambda: all(counters(dp)[name]['rx_packets'] > before[name]['rx_packets'] + 100 for name in 'ab'), 30,
              f'{what}: traffic in both directions')


def change(dp, third, method, want, **params):
    """One change; milliseconds from its request until the peer's link shows it."""
    begin = time.monotonic()
    dp.call(method, **params)
    while present(third) != want:
        if time.monotonic() - begin > 20:
            lab.fail(f'{method}: the peer sees {present(third)} devices instead of {want}')
    return (time.monotonic() - begin) * 1000


def visibility(dp, third, samples):
    """Of devices that the peer's PMD has room for, while the traffic runs."""
    times = {'device.attach': [], 'device.detach': []}
    dp.call('device.create', **{'name': 'seen', 'class': 'venet', 'switch': 'br0'})
    for _ in range(samples):
        times['device.attach'].append(change(dp, third, 'device.attach', 1, name='seen', bus='c'))
        times['device.detach'].append(change(dp, third, 'device.detach', 0, name='seen'))
    dp.call('device.delete', name='seen')
    for method, values in times.items():
        median = statistics.median(values)
        what = (f'{method}: the peer sees it after {median:.1f} ms (median of {len(values)}, '
                f'{min(values):.1f} to {max(values):.1f} ms)')
        if link.SANITIZED:
            print(f'    {what}', flush=True)
        else:
            lab.check(median < VISIBLE_MS, what)


def cycle(dp, third, number, count):
    names = [f'd{device}' for device in range(count)]
    begin = time.monotonic()
    for name in names:
        dp.call('device.create', **{'name': name, 'class': 'venet', 'switch': 'br0'})
    for name in names:
        dp.call('device.attach', name=name, bus='c')
        third.drain()
    lab.until(lambda: present(third) == count, 60, f'round {number}: the peer sees all devices')
    full = rss(dp)
    lab.check(dp.call('device.list', limit=1)['total'] == count + 2, f'round {number}: {count} devices more')
    flowing(dp, f'round {number}')
    for name in names:
        dp.call('device.detach', name=name)
        third.drain()
    lab.until(lambda: present(third) == 0, 60, f'round {number}: the peer sees none any more')
    for name in names:
        dp.call('device.delete', name=name)
    lab.check(dp.call('device.list', limit=1)['total'] == 2, f'round {number}: and gone, '
              f'{4 * count} changes in {time.monotonic() - begin:.1f} s, {full} kB with them, {rss(dp)} kB without')
    flowing(dp, f'round {number}')
    return rss(dp)


def settle(dp):
    """The counters after the last frame."""
    last = None
    for _ in range(100):
        now = counters(dp)
        if now == last:
            return now
        last = now
        time.sleep(0.1)
    lab.fail('the counters never come to rest')
    return None


def account(dp, pmds):
    """Every frame that went into vbus-dp came out at the other side, or is in a counter of drops."""
    for pmd in pmds.values():
        pmd.command('stop')
    now = settle(dp)
    stats = {name: pmds[name].stats() for name in pmds}
    for name, other in ('ab', 'ba'):
        lab.check(stats[name]['tx_packets'] == now[name]['rx_packets'],
                  f'{name} sent {stats[name]["tx_packets"]} frames, vbus-dp received {now[name]["rx_packets"]}')
        lost = now[name]['rx_packets'] - now[other]['tx_packets']
        counted = {f'{port} {key}': now[port][key] for port, keys in ((name, SENDER_DROPS), (other, RECEIVER_DROPS))
                   for key in keys if now[port][key]}
        lab.check(lost == sum(counted.values()), f'from {name} to {other}: {lost} lost, counted: {counted or "none"}')
        waiting = now[name]['tx_packets'] - stats[name]['rx_packets']
        lab.check(0 <= waiting <= 64, f'{name} took all that vbus-dp gave it but {waiting}, which wait in its ring')


def shape(what, lcores, count, samples):
    print(f'{what}:', flush=True)
    folder = lab.scratch()
    dp = vbusdp.VbusDp(folder, CONFIG, lcores=lcores, memory=768, env=LITTLE_QUARANTINE)
    pmds = traffic(folder)
    third = peer(folder, 'c')
    lab.until(lambda: third_link(third)['state'] == 'up', 20, 'the third link is up')
    flowing(dp, 'at first')
    visibility(dp, third, samples)
    memory = [cycle(dp, third, number, count) for number in range(ROUNDS)]
    lab.check(memory[-1] - memory[1] < (4096 if link.SANITIZED else max(256, LEFTOVER_KB * count)),
              f'memory is flat after the second round: {" ".join(map(str, memory))} kB')
    account(dp, pmds)
    for pmd in (third, *pmds.values()):
        pmd.quit()
    dp.stop()


def main():
    for arguments in SHAPES:
        shape(*arguments)


main()
