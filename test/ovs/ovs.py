#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The distribution's Open vSwitch with DPDK, vbus ports as type=dpdk, stock testpmd as peers.

Its own database, folders and network namespaces; the plugins are found as they are installed.
  backend    two ports of OVS serve sockets, two peers come, talk through the bridge, die and come back
  exact      frames of 60 to 1,500 bytes, both directions, equal in content and order
  deletion   a port that is deleted goes from its peer, and comes back when it is added again
  frontend   a port of OVS is a device of somebody else's backend
"""
import atexit
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import netns  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

FRAMES = 200  # fewer than a ring holds: a switch does not wait for a slow port
HEADER = bytes.fromhex('020000000002' '020000000001' '88b5')  # one flow: OVS keeps order within each
MAC = '02:00:00:00:00:77'
SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
DAEMON = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'


class Ovs:
    """ovsdb-server and ovs-vswitchd of the test's own, ended by their handles."""

    def __init__(self, folder, space, eal):
        self.space = space
        self.env = dict(os.environ, OVS_RUNDIR=folder, OVS_LOGDIR=folder, OVS_DBDIR=folder, OVS_SYSCONFDIR=folder)
        self.log = os.path.join(folder, 'vswitchd.log')
        database, socket = os.path.join(folder, 'conf.db'), os.path.join(folder, 'db.sock')
        self.tool('ovsdb-tool', 'create', database, SCHEMA)
        self.database = self.daemon('ovsdb-server', f'--remote=punix:{socket}', database)
        lab.until(lambda: os.path.exists(socket), 20, 'ovsdb-server serves')
        self.vsctl('--no-wait', 'init')
        self.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:dpdk-init=true',
                   'other_config:dpdk-lcore-mask=0x1', 'other_config:pmd-cpu-mask=0x2',
                   'other_config:per-port-memory=true',  # else a pool of 262,144 mbufs, 800 MB
                   f'other_config:dpdk-extra="{eal}"')
        self.switch = self.daemon(DAEMON, f'unix:{socket}', f'--log-file={self.log}')
        self.vsctl('add-br', 'br0', '--', 'set', 'Bridge', 'br0', 'datapath_type=netdev')
        lab.check(self.vsctl('get', 'Open_vSwitch', '.', 'dpdk_initialized').strip() == 'true',
                  'OVS has initialized DPDK ' + self.vsctl('get', 'Open_vSwitch', '.', 'dpdk_version').strip())

    def daemon(self, *argv):
        child = subprocess.Popen(['ip', 'netns', 'exec', self.space.name, *argv], env=self.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.end, child)
        return child

    @staticmethod
    def end(child):
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()

    def tool(self, *argv):
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            self.give_up(f'{" ".join(argv)}: {done.stdout}{done.stderr}')
        return done.stdout

    def vsctl(self, *argv):
        return self.tool('ovs-vsctl', '--timeout=30', *argv)

    def give_up(self, why):
        tail = ''
        if os.path.exists(self.log):
            with open(self.log, encoding='utf-8', errors='replace') as log:
                lines = [line for line in log if '|coverage|' not in line and '|timeval|' not in line]
                tail = ''.join('    | ' + line for line in lines[-40:])
        lab.fail(f'{why}\n{tail}')

    def add(self, port, devargs, bridge='br0', *columns):
        self.vsctl('add-port', bridge, port, '--', 'set', 'Interface', port, 'type=dpdk',
                   f'options:dpdk-devargs="{devargs}"', *columns)
        error = self.get(port, 'error')
        if error not in ('[]', ''):
            self.give_up(f'{port}: {error}')

    def get(self, port, column):
        return self.vsctl('get', 'Interface', port, column).strip()

    def count(self, port, name):
        return int(self.vsctl('get', 'Interface', port, f'statistics:{name}').strip())

    def wait_link(self, port, state):
        lab.until(lambda: self.get(port, 'link_state') == state, 20, f'OVS sees the link of {port} {state}')

    def alive(self):
        return self.switch.poll() is None

    def flows(self, *rules):
        self.tool('ovs-ofctl', 'del-flows', 'br0')
        for rule in rules:
            self.tool('ovs-ofctl', 'add-flow', 'br0', rule)


def tap_peer(folder, name, path, space, mac=None, mtu=1500):
    """A peer that hands its namespace the device: a TAP port, and what OVS serves."""
    tap = f'net_tap0,iface={space.tap}' + (f',mac={mac}' if mac else '')
    pmd = link.north(folder, path, eal=['--vdev', tap], name=name, link=name,
                     app=['--total-num-mbufs=8192', '--no-flush-rx'], netns=space.name, wait=5000)
    start_peer(pmd, f'vbus:{name}.{name}', 'net_tap0')
    space.up(mtu)
    return pmd


def start_peer(pmd, *names):
    pmd.ids = link.wait_ports(pmd, names)
    for name in names:
        pmd.wait_link(pmd.ids[name])
    lab.check('forwarding' in pmd.command('start'), f'{pmd.name} forwards')


def talk(what, here, there):
    for space in (here, there):  # a TAP that was made anew has another address
        space.exec('ip', 'neigh', 'flush', 'all')
    netns.ping(here, there, 3)  # neighbour discovery
    got, mean = netns.ping(here, there)
    lab.check(got == 10, f'{what}: ping through the bridge, {got} of 10 came back, mean {mean} ms')


def backend(ovs, folder, paths, spaces):
    for name, path in paths.items():
        ovs.add(name, f'net_vbus_{name},iface={path},name={name}')
        ovs.wait_link(name, 'down')
    lab.check(ovs.alive(), 'two ports, and no peer yet: the links are down')
    peers = {name: tap_peer(folder, name, paths[name], spaces[name]) for name in paths}
    for name in paths:
        ovs.wait_link(name, 'up')
    talk('first', spaces['web0'], spaces['web1'])
    peers['web1'].kill()
    ovs.wait_link('web1', 'down')
    lab.check(ovs.alive(), 'a peer was killed: OVS runs, its link is down')
    peers['web1'] = tap_peer(folder, 'web1', paths['web1'], spaces['web1'])
    ovs.wait_link('web1', 'up')
    talk('after the restart of a peer', spaces['web0'], spaces['web1'])
    for peer in peers.values():
        peer.command('stop')
        peer.quit()


def exact(ovs, folder, paths):
    ovs.flows('in_port=web0,actions=output:web1', 'in_port=web1,actions=output:web0')
    want = {name: pcap.frames(FRAMES, seed, longest=1500) for seed, name in enumerate(paths)}
    want = {name: [HEADER + frame[14:] for frame in frames if len(frame) <= 1514] for name, frames in want.items()}
    peers, sinks = {}, {}
    before = {name: ovs.count(name, 'rx_packets') for name in paths}
    for name, path in paths.items():
        source, sinks[name] = (os.path.join(folder, f'{name}.{way}.pcap') for way in ('in', 'out'))
        pcap.write(source, want[name])
        peers[name] = link.north(folder, path, eal=['--vdev', f'net_pcap0,rx_pcap={source},tx_pcap={sinks[name]}'],
                                 app=['--total-num-mbufs=8192', '--no-flush-rx'], name=name, link=name, wait=5000)
    for name in paths:
        ovs.wait_link(name, 'up')
    for name, peer in peers.items():
        link.wait_ports(peer, [f'vbus:{name}.{name}', 'net_pcap0'])
        link.patient(peer)
        peer.command('start')
    others = dict(zip(paths, reversed(list(paths))))

    def arrived():
        for peer in peers.values():
            peer.drain()
        return all(os.path.exists(sinks[name]) and os.path.getsize(sinks[name]) >= pcap.size(want[others[name]])
                   for name in paths)
    lab.until(arrived, 60, 'all frames arrived')
    for name, peer in peers.items():
        peer.command('stop')
        difference = pcap.difference(want[others[name]], pcap.read(sinks[name]))
        lab.check(difference is None, f'{others[name]} to {name}: {len(want[others[name]])} frames equal in content '
                  f'and order{f" ({difference})" if difference else ""}')
        peer.quit()
    # OVS copies its ports' counters into the database every few seconds.
    lab.until(lambda: all(ovs.count(name, 'rx_packets') - before[name] >= len(want[name]) for name in paths), 30,
              "OVS's counters know them", step=0.2)
    ovs.flows('actions=normal')


def deletion(ovs, folder, paths):
    name, path = 'web1', paths['web1']
    peer = link.north(folder, path, name=name, link=name, wait=5000)
    link.wait_ports(peer, [f'vbus:{name}.{name}'])
    ovs.wait_link(name, 'up')
    ovs.vsctl('del-port', 'br0', name)
    lab.until(lambda: not peer.link_up(0) or not link.ports(peer), 30, 'the peer sees the device go')
    lab.check(ovs.alive() and not os.path.exists(path), 'a port was deleted: its socket is gone, OVS runs')
    ovs.add(name, f'net_vbus_{name},iface={path},name={name}')
    ovs.wait_link('web0', 'down')  # nobody there since the last part
    peer.quit()
    again = link.north(folder, path, name=name, link=name, wait=5000)
    again.wait_link(link.wait_ports(again, [f'vbus:{name}.{name}'])[f'vbus:{name}.{name}'])
    ovs.wait_link(name, 'up')
    lab.check(ovs.alive(), 'it was added again, and its peer is there again')
    again.quit()


def frontend(ovs, folder, path):
    """OVS at the other end: the link came by dpdk-extra, its device is the port."""
    south = lab.Testpmd(folder, 'south', ['--vdev', f'net_vbus0,iface={path},name=eth0,mac={MAC}'], link.QUIET)
    # By its address: DPDK 22.11 finds devices by name on a few buses alone. Until it is there OVS knows no such device.
    ovs.vsctl('add-port', 'br0', 'up0', '--', 'set', 'Interface', 'up0', 'type=dpdk',
              f'options:dpdk-devargs="class=eth,mac={MAC}"')

    def taken():
        if ovs.get('up0', 'error') in ('[]', ''):
            return True
        ovs.vsctl('set', 'Interface', 'up0', 'type=dpdk', f'external_ids:asked={time.monotonic()}')
        return False
    began = time.monotonic()
    while not taken():
        if time.monotonic() - began > 20:
            ovs.give_up('OVS does not take the device')
        time.sleep(0.5)
    ovs.wait_link('up0', 'up')
    ovs.flows('in_port=up0,actions=in_port')
    south.command('set burst 32')
    south.command('start tx_first')
    lab.until(lambda: south.stats(0)['rx_packets'] >= 1000, 30, 'frames go round through OVS', step=0.2)
    south.command('stop')
    lab.check(ovs.alive(), "a device of somebody else's backend is a port of OVS, frames go round")
    south.kill()
    ovs.wait_link('up0', 'down')
    lab.check(ovs.alive(), 'that backend was killed: OVS runs, the link is down')


def eal_arguments(folder):
    """For an OVS whose runtime files are its own."""
    # --legacy-mem, since OVS adds --in-memory otherwise, which --no-huge does not go with.
    memory = '-m 512' if os.environ.get('VBUS_OVS_HUGE') else '--no-huge --legacy-mem -m 512'
    return f'{memory} --no-pci --file-prefix vbusovs{os.getpid()}{os.path.basename(folder)}'


def main():
    lab.need_root()
    if not os.path.exists(DAEMON):
        lab.skip('openvswitch-switch-dpdk is not installed')
    folder = lab.scratch()
    os.chmod(folder, 0o700)
    spaces = {'web0': netns.Namespace('web0', 1), 'web1': netns.Namespace('web1', 2)}
    paths = {name: link.socket_path(folder, name) for name in spaces}
    upper = link.socket_path(folder, 'up')
    ovs = Ovs(folder, netns.Namespace('ovs', 3), f'{eal_arguments(folder)} -a vbus:up,socket={upper},wait=0')
    if sys.argv[1:] != ['frontend']:
        backend(ovs, folder, paths, spaces)
        exact(ovs, folder, paths)
        deletion(ovs, folder, paths)
    frontend(ovs, folder, upper)
    ovs.vsctl('del-br', 'br0')
    lab.check(ovs.alive(), 'the bridge was deleted, OVS runs')
    for child in (ovs.switch, ovs.database):
        child.terminate()
        lab.check(child.wait(30) in (0, -signal.SIGTERM), 'it ends when asked to')


if __name__ == '__main__':
    main()
