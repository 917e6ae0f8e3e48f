#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The distribution's OVN over two hosts, which are namespaces here: an OVS with DPDK, an ovn-controller and a
"wire" (veth) each, the databases on the first; vbus ports as ports of one logical switch, stock testpmd as peers.

  tunnel     a peer on each host, ping through Geneve
  restart    a peer is killed and comes back
  acl        a rule of OVN's stops the ping, and no more when it is gone
  move       a logical port goes to the other host with its peer
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import netns  # noqa: E402
import ovs  # noqa: E402
import testpmd as lab  # noqa: E402

WIRE = '192.168.213.'
SCHEMAS = '/usr/share/ovn'
MTU = 1442  # a wire of 1500 without Geneve's headers
MACS = {'web0': '02:00:00:00:00:01', 'web1': '02:00:00:00:00:02'}


class Host(ovs.Ovs):
    """OVS with DPDK, whose bridge br0 has the wire and the host's address."""

    def __init__(self, folder, number):
        self.folder = os.path.join(folder, f'host{number}')
        os.mkdir(self.folder, 0o700)
        self.name, self.address = f'host{number}', f'{WIRE}{number}'
        super().__init__(self.folder, netns.Namespace(self.name, 10 + number), ovs.eal_arguments(self.folder))
        self.env['OVN_RUNDIR'] = self.env['OVN_LOGDIR'] = self.env['OVN_DBDIR'] = self.folder

    def up(self, wire):
        self.space.exec('ip', 'link', 'set', wire, 'up')
        self.vsctl('add-port', 'br0', wire)
        self.space.exec('ip', 'address', 'add', f'{self.address}/24', 'dev', 'br0')
        self.space.exec('ip', 'link', 'set', 'br0', 'up')

    def join(self, central):
        self.vsctl('set', 'Open_vSwitch', '.', f'external_ids:system-id={self.name}',
                   f'external_ids:ovn-remote=tcp:{central}:6642', 'external_ids:ovn-encap-type=geneve',
                   f'external_ids:ovn-encap-ip={self.address}', 'external_ids:ovn-bridge-datapath-type=netdev')
        self.daemon('ovn-controller', f'unix:{self.folder}/db.sock', f'--log-file={self.folder}/controller.log')

    def port(self, name, path):
        """OVN's, since its interface carries the name."""
        self.add(name, f'net_vbus_{name},iface={path},name={name},mac={MACS[name]}', 'br-int',
                 f'external_ids:iface-id={name}')


class Central:
    """The two databases and northd, on a host."""

    def __init__(self, host):
        self.host, self.folder = host, host.folder
        for which, more in (('nb', []), ('sb', ['--remote=db:OVN_Southbound,SB_Global,connections'])):
            database = f'{self.folder}/{which}.db'
            host.tool('ovsdb-tool', 'create', database, f'{SCHEMAS}/ovn-{which}.ovsschema')
            host.daemon('ovsdb-server', f'--remote=punix:{self.folder}/{which}.sock', *more, database)
            lab.until(lambda which=which: os.path.exists(f'{self.folder}/{which}.sock'), 20, f'the {which} database serves')
        self.sb('init')
        self.sb('set-connection', 'ptcp:6642')
        host.daemon('ovn-northd', f'--ovnnb-db=unix:{self.folder}/nb.sock', f'--ovnsb-db=unix:{self.folder}/sb.sock',
                    f'--log-file={self.folder}/northd.log')

    def nb(self, *argv):
        return self.host.tool('ovn-nbctl', f'--db=unix:{self.folder}/nb.sock', '--timeout=50', *argv)

    def sb(self, *argv):
        return self.host.tool('ovn-sbctl', f'--db=unix:{self.folder}/sb.sock', '--timeout=50', *argv)

    def wait_bound(self, name, host):
        def there():
            chassis = self.sb('--bare', '--columns=chassis', 'find', 'Port_Binding', f'logical_port={name}').strip()
            return chassis and self.sb('get', 'Chassis', chassis, 'name').strip().strip('"') == host.name
        lab.until(there, 40, f'{name} is bound to {host.name}', step=0.2)
        lab.until(lambda: 'up' in self.nb('lsp-get-up', name), 40, f'{name} is up', step=0.2)
        self.nb('--wait=hv', 'sync')  # until every host's flows say so


def wire(hosts):
    """Both ends of a cable."""
    ends = [f'vw{number}x{os.getpid() % 10000}' for number in range(2)]
    netns.run('ip', 'link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1])
    for host, end in zip(hosts, ends):
        netns.run('ip', 'link', 'set', end, 'netns', host.space.name)
        host.up(end)
    lab.until(lambda: '1 received' in hosts[0].space.exec('ping', '-n', '-c', '1', '-W', '1', hosts[1].address, check=False),
              40, 'the hosts reach each other through their bridges')


def talk(what, spaces):
    """Ten pings and ten answers, in one of three tries: neighbours are learned on either side of the tunnel, and OVS has
    a queue that a busy machine fills."""
    for _ in range(3):
        netns.ping(spaces['web0'], spaces['web1'], 3)
        got, mean = netns.ping(spaces['web0'], spaces['web1'])
        if got == 10:
            break
    lab.check(got == 10, f'{what}: ping, {got} of 10 came back, mean {mean} ms')


def tunnelled(host):
    """Frames that the host sent to the others."""
    port = host.vsctl('--bare', '--columns=name', 'find', 'Interface', 'type=geneve').split()
    return sum(host.count(name, 'tx_packets') for name in port)


def main():
    lab.need_root()
    if not os.path.exists(ovs.DAEMON) or not os.path.exists(f'{SCHEMAS}/ovn-nb.ovsschema'):
        lab.skip('openvswitch-switch-dpdk or ovn-central is not installed')
    folder = lab.scratch()
    os.chmod(folder, 0o700)
    hosts = [Host(folder, number) for number in (1, 2)]
    wire(hosts)
    central = Central(hosts[0])
    for host in hosts:
        host.join(hosts[0].address)
    lab.until(lambda: len(central.sb('--bare', '--columns=name', 'list', 'Chassis').split()) == 2, 40,
              'both hosts are chassis', step=0.2)
    for host in hosts:
        lab.until(lambda host=host: 'br-int' in host.vsctl('list-br'), 40, f'{host.name} has br-int', step=0.2)
        lab.check(host.vsctl('get', 'Bridge', 'br-int', 'datapath_type').strip() == 'netdev',
                  f'{host.name}: the bridge of OVN is one of DPDK')

    spaces = {'web0': netns.Namespace('web0', 1), 'web1': netns.Namespace('web1', 2)}
    paths = {name: link.socket_path(folder, name) for name in spaces}
    central.nb('ls-add', 'net0')
    peers = {}

    def come(name):
        peers[name] = ovs.tap_peer(folder, name, paths[name], spaces[name], MACS[name], MTU)
    for host, name in zip(hosts, spaces):
        central.nb('lsp-add', 'net0', name)
        central.nb('lsp-set-addresses', name, f'{MACS[name]} {spaces[name].address}')
        central.nb('lsp-set-port-security', name, f'{MACS[name]} {spaces[name].address}')
        host.port(name, paths[name])
        come(name)
        central.wait_bound(name, host)
    talk('tunnel', spaces)
    lab.until(lambda: all(tunnelled(host) >= 10 for host in hosts), 30, 'both tunnels counted the frames', step=0.5)

    peers['web1'].kill()
    hosts[1].wait_link('web1', 'down')
    come('web1')
    hosts[1].wait_link('web1', 'up')
    talk('after the restart of a peer', spaces)

    central.nb('--wait=hv', 'acl-add', 'net0', 'to-lport', '1000', 'outport == "web1" && icmp4', 'drop')
    got, _ = netns.ping(spaces['web0'], spaces['web1'], 3)
    lab.check(got == 0, f'an access list of OVN drops the ping, {got} of 3 came back')
    central.nb('--wait=hv', 'acl-del', 'net0')
    talk('without it', spaces)

    peers['web1'].quit()
    hosts[1].vsctl('del-port', 'br-int', 'web1')
    hosts[0].port('web1', paths['web1'])
    come('web1')
    central.wait_bound('web1', hosts[0])
    talk('web1 moved to the host of web0', spaces)
    for peer in peers.values():
        peer.quit()
    lab.check(all(host.alive() for host in hosts), 'both OVS run')


main()
