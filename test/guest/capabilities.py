#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The backend serves drivers that ask for less: every combination of what venet's driver can do without
(scatter-gather, large receive, event queue, descriptors in a pool), with a bridge driver that negotiates
what it knows and one that negotiates nothing at all. Each: ping and TCP both ways.

    capabilities.py [KERNEL]
"""
import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import testpmd as lab  # noqa: E402

PARAMETERS = ('sg', 'l4ro', 'eventq', 'pmtd')
# The bridge's part: all combinations with what it knows; with nothing the two ends of each.
BRIDGES = {'': list(itertools.product((1, 0), repeat=len(PARAMETERS))),
           'caps=0': [(1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 0)]}


def check_parameters(machine, options):
    """They took effect: a driver without scatter-gather cannot offer segmentation."""
    text = machine.run('ethtool -k eth0')
    lab.check(('tcp-segmentation-offload: on' in text) == bool(options['sg']),
              f'segmentation offload is {"on" if options["sg"] else "off"}')


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel((sys.argv[1:] or ['6.12'])[0])
    host = guestnet.Host(guest_lab)
    machine = guestnet.boot(guest_lab, kernel, host)
    near = guestnet.Near(machine)
    for bridge, combinations in BRIDGES.items():
        machine.run(f'rmmod vbus_venet vbus_pcibridge 2>/dev/null; modprobe vbus_pcibridge {bridge}')
        for combination in combinations:
            options = dict(zip(PARAMETERS, combination))
            words = ' '.join(f'{key}={value}' for key, value in options.items())
            machine.run(f'rmmod vbus_venet 2>/dev/null; modprobe vbus_venet {words}')
            machine.wait_path('/sys/class/net/eth0')
            near.up()
            near.carrier()
            check_parameters(machine, options)
            near.ping(host.far.address, 1)
            got, _ = near.ping(host.far.address, 3)
            lab.check(got == 3, f'{bridge} {words}: pings come back')
            rates = [near.iperf(host.far, 1, reverse) for reverse in (False, True)]
            lab.check(min(rates) > 0.002, f'{bridge} {words}: TCP {rates[0]:.2f} Gbit/s from the guest, {rates[1]:.2f} to it')
    machine.check_log(kernel.name)
    guestnet.clean_up(host, machine)


main()
