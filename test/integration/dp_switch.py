#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""vbus-dp's switches, seen from outside: three peers on br0 and one on br1, each a stock testpmd.

In each step every peer sends the frames of a capture and records what comes; the records must be
what a learning switch makes of it, frame by frame, and the counters of vbus-dp must agree. All that
one peer receives in a step fits into its ring, so that nothing depends on who runs when.
"""
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

PAIR = 100  # frames from one peer to another in a step
ROUNDS = 3
AGEING = 2
PEERS = ('a', 'b', 'c', 'd')
BROADCAST = b'\xff' * 6
MULTICAST = b'\x01\x00\x5e\x01\x02\x03'
NOBODY = b'\x02\xee\x00\x00\x00\x01'
MAC = {name: bytes([2, 0, 0, 0, 0, number + 1]) for number, name in enumerate(PEERS)}
DROPS = ('drop_no_switch_packets', 'drop_tx_full_packets', 'drop_handover_full_packets', 'drop_mtu_packets',
         'drop_link_down_packets', 'drop_short_packets', 'drop_offload_packets')

CONFIG = 'mode = adaptive\nswitch br0 { ageing = 100000 }\nswitch br1 { ageing = 100000 }\n' + ''.join(
    f'bus {name} {{ socket = {{folder}}/{name}.sock devices = {{ {name} }} }}\n'
    f'device {name} {{ class = venet mtu = 9000 mac = {MAC[name].hex(":")} switch = {"br1" if name == "d" else "br0"} }}\n'
    for name in PEERS)


class Peer:
    """A frontend with one device, and a capture for each step."""

    def __init__(self, folder, name):
        self.folder, self.name, self.port = folder, name, f'vbus:{name}.{name}'
        app = ['--max-pkt-len=9018', '--no-flush-rx', '--mbuf-size=9728', '--total-num-mbufs=4096']
        self.pmd = link.north(folder, os.path.join(folder, f'{name}.sock'), name=name, link=name, app=app, memory=256)
        self.id = link.wait_ports(self.pmd, [self.port])[self.port]
        self.pmd.wait_link(self.id)
        link.patient(self.pmd)
        self.sink = None

    def start(self, step, frames):
        stem = os.path.join(self.folder, f'{self.name}{step}')
        self.sink = stem + '.out.pcap'
        pcap.write(stem + '.in.pcap', frames)
        capture = f'net_pcap{step}'
        self.pmd.command(f'port attach {capture},rx_pcap={stem}.in.pcap,tx_pcap={self.sink}')
        there = link.wait_ports(self.pmd, [capture])[capture]
        self.pmd.command('port start all')
        self.pmd.command(f'set portlist {self.id},{there}')
        text = self.pmd.command('start')
        if 'forwarding' not in text:
            self.pmd.give_up(f'step {step}: it does not forward: {text}')

    def size(self):
        self.pmd.drain()
        return os.path.getsize(self.sink) if os.path.exists(self.sink) else 0

    def stop(self):
        self.pmd.command('stop')
        return pcap.read(self.sink) if self.size() else []  # its header comes with its first frame


class Lab:
    """vbus-dp and its peers."""

    def __init__(self):
        self.folder = lab.scratch()
        self.dp = vbusdp.VbusDp(self.folder, CONFIG, lcores='0@0-1,1@0-1,2@0-1')
        self.peers = {name: Peer(self.folder, name) for name in PEERS}
        self.steps = 0

    def counters(self):
        return {row['name']: row['port'] for row in self.dp.call('device.stats')['devices']}

    def switch(self, name):
        return self.dp.call('switch.list', name=name)['switches'][0]

    def table(self, name):
        return {row['mac']: row['port'] for row in self.dp.call('switch.fdb', name=name)['addresses']}

    def step(self, what, sent, expected):
        """sent: {peer: frames}; expected: {peer: {sender: frames}}, whose order counts per sender."""
        self.steps += 1
        before = self.counters()
        want = {name: [frame for part in expected.get(name, {}).values() for frame in part] for name in PEERS}
        for name in PEERS:
            self.peers[name].start(self.steps, sent.get(name, []))

        def moved(name, key):
            return now[name][key] - before[name][key]

        def through():
            nonlocal now
            now = self.counters()
            return (all(moved(name, 'rx_packets') >= len(sent.get(name, [])) for name in PEERS) and
                    all(self.peers[name].size() >= pcap.size(want[name]) for name in PEERS if want[name]))
        now = before
        try:
            lab.until(through, 60, what)
        except SystemExit:
            for name in PEERS:
                print(f'    {name}: {self.peers[name].size()} of {pcap.size(want[name])} bytes', {
                    key: moved(name, key) for key in now[name] if moved(name, key)}, flush=True)
            raise
        time.sleep(0.1)  # what should not come would come now
        got = {name: self.peers[name].stop() for name in PEERS}
        now = self.counters()
        for name in PEERS:
            self.compare(what, name, expected.get(name, {}), got[name])
            lab.check(moved(name, 'rx_packets') == len(sent.get(name, [])) and
                      moved(name, 'tx_packets') == len(want[name]) and not any(moved(name, drop) for drop in DROPS),
                      f'{what}: vbus-dp counts the same at {name}, and no drop')
        return {name: {key: moved(name, key) for key in now[name]} for name in PEERS}

    def teach(self, what, sent, expected, learned):
        """A step until learned(): lcores that meet a new address at once leave it to its next frame."""
        for _ in range(5):
            moved = self.step(what, sent, expected)
            if learned():
                print(f'ok: {what}: learned', flush=True)
                return moved
        lab.fail(f'{what}: not learned: br0 {self.table("br0")}, br1 {self.table("br1")}')
        return None

    def compare(self, what, name, parts, got):
        rest = list(got)
        for sender, frames in parts.items():
            mine = [frame for frame in got if self.sender(frame) == sender]
            rest = [frame for frame in rest if self.sender(frame) != sender]
            difference = pcap.difference(frames, mine)
            if difference:
                lab.fail(f'{what}: from {sender} to {name}: {difference}')
        lab.check(not rest, f'{what}: {name} received {len(got)} frames, equal in content and order per sender'
                  + (f'; {len(rest)} that it should not, the first {rest[0][:32].hex()}' if rest else ''))

    @staticmethod
    def sender(frame):
        """Who sent it, whatever source address it bears."""
        return chr(frame[14])

    def quit(self):
        for name in PEERS:
            self.peers[name].pmd.quit()
        self.dp.stop()


def frames(sender, destination, count, seed, source=None, longest=9014):
    """Frames that all differ and tell who sent them."""
    out = []
    for number, frame in enumerate(pcap.frames(count, seed, longest=longest)):
        kind = b'\x81\x00' if number % 4 == 3 else b'\x88\xb5'
        head = destination + (source or MAC[sender]) + kind + sender.encode() + struct.pack('<IH', number, seed)
        out.append(head + frame[len(head):])
    return out


def merge(parts):
    """One after the other of each part, as a sender with many conversations does."""
    return [frame for group in zip(*parts) for frame in group]


def announce(net):
    """Broadcasts: to all others of the switch, to nobody else, and not back."""
    sent = {name: frames(name, BROADCAST, 20, 10 + n) for n, name in enumerate(PEERS)}
    moved = net.teach('broadcast', sent, {name: {other: sent[other] for other in 'abc' if other != name}
                                          for name in 'abc'},
                      lambda: net.table('br0') == {MAC[name].hex(':'): name for name in 'abc'} and
                      net.table('br1') == {MAC['d'].hex(':'): 'd'})
    lab.check(all(moved[name]['flooded_packets'] == 20 for name in PEERS), 'all of them were flooded')


def exchange(net, number):
    """Everybody talks to everybody; d, on the other switch, too, and is not heard."""
    sent, expected = {}, {name: {} for name in PEERS}
    for n, name in enumerate(PEERS):
        parts = {other: frames(name, MAC[other], PAIR, 1000 + 100 * number + 10 * n + m)
                 for m, other in enumerate(PEERS) if other != name and (name == 'd' or other != 'd')}
        sent[name] = merge(parts.values())
        if name != 'd':
            for other, part in parts.items():
                expected[other][name] = part
    moved = net.step(f'unicast, round {number}', sent, expected)
    lab.check(not any(moved[name]['flooded_packets'] for name in 'abc'), 'learned addresses are not flooded')
    lab.check(moved['d']['flooded_packets'] == len(sent['d']), 'd shouted into an empty switch')


def flood(net):
    """Unknown destinations and multicast go to all others; what is for its own port goes nowhere."""
    for what, address in (('unknown destination', NOBODY), ('multicast', MULTICAST), ('address on another switch', MAC['d'])):
        sent = {'a': frames('a', address, PAIR, 7)}
        moved = net.step(what, sent, {'b': {'a': sent['a']}, 'c': {'a': sent['a']}})
        lab.check(moved['a']['flooded_packets'] == PAIR, f'{what}: flooded')
    moved = net.step('to its own port', {'a': frames('a', MAC['a'], PAIR, 8)}, {})
    lab.check(moved['a']['drop_same_port_packets'] == PAIR, 'to its own port: dropped and counted')


def move(net):
    """An address is where it was heard last."""
    roamer = b'\x02\x77\x00\x00\x00\x01'
    before = net.switch('br0')['moved']
    for n, name in enumerate('bcb'):
        sent = {name: frames(name, MAC['a'], 1, 20 + n, source=roamer)}
        net.teach(f'an address comes up at {name}', sent, {'a': sent},
                  lambda name=name: net.table('br0').get(roamer.hex(':')) == name)
        sent = {'a': frames('a', roamer, PAIR, 30 + n)}
        net.step(f'and is reached at {name} alone', sent, {name: sent})
    lab.check(net.switch('br0')['moved'] == before + 2, 'it moved twice')


def change(net):
    """b and c move to the other switch while they are open; the addresses of a moved port go with it."""
    for name in 'bc':
        net.dp.call('device.set', name=name, switch='br1')
    lab.check(net.table('br0') == {MAC['a'].hex(':'): 'a'}, 'br0 forgot the ports that left')
    sent = {name: frames(name, BROADCAST, 20, 40 + n) for n, name in enumerate(PEERS)}
    net.step('after a change of switch', sent, {name: {other: sent[other] for other in 'bcd' if other != name}
                                                for name in 'bcd'})


def age(net):
    """An address that is not heard of any more is forgotten, and flooded again."""
    before = net.switch('br1')['learned']
    net.dp.call('switch.set', name='br1', ageing=AGEING)
    lab.check(before > 0 and net.switch('br1')['learned'] == before, f'another ageing time, the same table: {before} learned')
    sent = {'b': frames('b', BROADCAST, 20, 50)}
    net.teach('before ageing', sent, {'c': sent, 'd': sent}, lambda: net.table('br1').get(MAC['b'].hex(':')) == 'b')
    seconds = lab.until(lambda: net.switch('br1')['addresses'] == 0, 60, 'br1 forgets', step=0.1)
    row = net.switch('br1')
    lab.check(row['aged'] == row['learned'] and net.table('br1') == {},
              f'addresses learned, and forgotten within {seconds:.1f} s (ageing {AGEING} s)')
    sent = {'d': frames('d', MAC['b'], PAIR, 51)}
    moved = net.step('after ageing', sent, {'b': sent, 'c': sent})
    lab.check(moved['d']['flooded_packets'] == PAIR, 'after ageing: flooded')
    lab.check(net.table('br0') == {MAC['a'].hex(':'): 'a'}, 'the other switch keeps its own')


def main():
    net = Lab()
    announce(net)
    for number in range(ROUNDS):
        exchange(net, number)
    flood(net)
    move(net)
    change(net)
    age(net)
    net.quit()


main()
