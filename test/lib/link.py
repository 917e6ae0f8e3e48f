# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Both ends of a link, each a stock testpmd, as the integration tests need them."""
import json
import os
import re
import socket
import time

import testpmd as lab

# testpmd waits nine seconds for links otherwise, makes pools for the largest of machines, and prints
# events into its prompt.
QUIET = ['--disable-link-check', '--total-num-mbufs=8192', '--mask-event=intr_lsc', '--mask-event=intr_rmv']
SANITIZED = bool(lab.sanitizer_env())


def socket_path(folder, name='vm1'):
    return os.path.join(folder, f'{name}.sock')


def south(folder, path, devices=('eth0',), eal=(), app=(), name='south', vdev='', **more):
    """A backend that serves the devices on one socket; vdev: more arguments of each port."""
    ports = [part for number, device in enumerate(devices)
             for part in ('--vdev', f'net_vbus{number},iface={path},name={device}{vdev}')]
    return lab.Testpmd(folder, name, ports + list(eal), QUIET + list(app), **more)


def north(folder, path, eal=(), app=(), name='north', link='vm1', wait=None, **more):
    """A frontend of the link."""
    argument = f'vbus:{link},socket={path}' + (f',wait={wait}' if wait is not None else '')
    return lab.Testpmd(folder, name, ['-a', argument] + list(eal), QUIET + list(app), **more)


def ports(pmd):
    """{device name: port id}"""
    text = pmd.command('show port summary all')
    return {name: int(port) for port, name in
            re.findall(r'^(\d+)\s+(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\s+(\S+)', text, re.M)}


def wait_ports(pmd, names, timeout=10):
    """Wait until the process has all of these ports; {name: id}."""
    found = {}

    def there():
        found.clear()
        found.update(ports(pmd))
        return set(names) <= set(found)
    lab.until(there, timeout, f'{pmd.name} has {sorted(names)}', step=0.05)
    return found


def pool(pmd, name='mb_pool_0'):
    """(mbufs that nobody holds, all mbufs) of a pool."""
    text = pmd.command(f'dump_mempool {name}')
    if 'populated_size' not in text:
        text = pmd.command(f'dump mempool {name}')  # its name since DPDK 25.11
    total = int(re.search(r'^\s*populated_size=(\d+)', text, re.M).group(1))
    common = int(re.search(r'common_pool_count=(\d+)', text).group(1))
    cached = int(re.search(r'total_cache_count=(\d+)', text).group(1))
    return common + cached, total


def receive(pmd, sock, limit, timeout=10):
    """A message of the process, which is blocked as long as nobody reads what it logs."""
    deadline = time.monotonic() + timeout
    sock.settimeout(0.05)
    while True:
        try:
            return sock.recv(limit)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            pmd.drain()


def telemetry(pmd, command):
    """Ask the process's telemetry socket."""
    path = os.path.join(lab.runtime_folder(pmd.prefix), 'dpdk_telemetry.v2')
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(path)
        limit = json.loads(receive(pmd, sock, 1024))['max_output_len']
        sock.send(command.encode())
        return json.loads(receive(pmd, sock, limit))


def patient(pmd):
    """Forwarding that waits for room instead of dropping: nothing may get lost in testpmd itself.

    A waiting stream blocks its worker: give each stream one (Testpmd's workers and --nb-cores), or
    both directions wait for each other.
    """
    pmd.command('set fwd io retry')
    pmd.command('set burst tx delay 20 retry 200000')


def offloads(pmd, port, rx=(), tx=()):
    """Switch a port's offloads on at the prompt (testpmd's options would ask them of every port)."""
    pmd.command(f'port stop {port}')
    for name in rx:
        pmd.command(f'port config {port} rx_offload {name} on')
    for name in tx:
        pmd.command(f'port config {port} tx_offload {name} on')
    text = pmd.command(f'port start {port}')
    lab.check('Fail' not in text, f'{pmd.name} port {port} starts with {" ".join([*rx, *tx])}')
