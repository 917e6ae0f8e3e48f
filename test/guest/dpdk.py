#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A stock testpmd inside of a guest has the venet ports of the function that it was given: by vfio-pci in
a guest with an IOMMU, by uio_pci_generic in one without.

    dpdk.py [vfio|uio]...

The link comes up; frames of 60 to 9,000 bytes go from the host through the guest and back, equal in content
and order; a device is added and taken away while testpmd runs; testpmd is ended and started again. At last the
function is gone while testpmd forwards (the backend dies, reads are all ones): the link goes down with the next call,
testpmd lives and ends as always.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestdpdk  # noqa: E402
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

KERNEL = {'vfio': '6.12', 'uio': '6.1'}
COUNT = 2000
MEMORY = 768


def south_side(folder, path):
    """The backend, and where its captures are."""
    frames = pcap.frames(COUNT, 7)
    source, sink = (os.path.join(folder, f'{name}.pcap') for name in ('in', 'out'))
    pcap.write(source, frames)
    south = link.south(folder, path, eal=['--vdev', f'net_pcap0,rx_pcap={source},tx_pcap={sink}'], workers=2,
                       app=['--max-pkt-len=9018', '--no-flush-rx', '--mbuf-size=9728', '--total-num-mbufs=6000',
                            '--nb-cores=2'])
    return south, frames, sink


def inside(machine):
    """testpmd in the guest, its port as chains of small mbufs; (testpmd, port, the link's name)."""
    pmd = guestdpdk.GuestTestpmd(machine, app=['--mbuf-size=2176', '--max-pkt-len=9018'])
    ports = link.ports(pmd)
    lab.check(len(ports) == 1 and list(ports)[0].endswith('.eth0'), f'testpmd in the guest has {list(ports)}')
    name, port = list(ports.items())[0]
    pmd.wait_link(port)
    return pmd, port, name.split('.')[0]


def add_and_drop(south, pmd, path, link_name, how):
    """While testpmd in the guest runs."""
    name = f'{link_name}.hot1'
    south.command(f'port attach net_vbus1,iface={path},name=hot1')
    port = link.wait_ports(pmd, [name], 20)[name]
    mine = link.wait_ports(south, ['net_vbus1'])['net_vbus1']
    pmd.command(f'port attach {name}')
    pmd.command(f'port start {port}')
    south.command(f'port start {mine}')
    pmd.wait_link(port)
    lab.check(True is pmd.link_up(port), f'{how}: a device that is added has a link')
    for text in (f'port stop {mine}', f'port close {mine}', 'device detach net_vbus1'):
        south.command(text)
    lab.until(lambda: name not in link.ports(pmd), 30, f'{how}: it goes', step=0.2)


def pulled_out(south, pmd, port, how):
    """What a function is like that was taken out of its slot, from the first call on that finds it so."""
    pmd.command('start')
    south.kill()
    pmd.command('stop')
    for text in (f'port stop {port}', f'port start {port}'):
        pmd.command(text, 60)
    pmd.wait_link(port, up=False, timeout=60)
    lab.check('vbus:' in pmd.command('show port summary all'), f'{how}: without its function the port stays, its link is down')
    pmd.quit()


def one(guest_lab, how):
    begin = lab.time.monotonic()
    folder = guest_lab.folder()
    kernel = guest_lab.kernel(KERNEL[how])
    path = link.socket_path(folder)
    south, frames, sink = south_side(folder, path)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, {}, more=[guestdpdk.part(guest_lab)]))
    machine = guest.Guest(guest_lab, kernel, folder, initrd, guest.vfio_user(guest_lab.inside(path)), smp=2,
                          memory=MEMORY, iommu=how == 'vfio')
    print(f'    {how}: kernel {kernel.version}, function {guestdpdk.bind(machine, how)}', flush=True)
    pmd, port, name = inside(machine)
    guestdpdk.there_and_back(south, pmd, port, frames, sink, how,
                             ('rx_offload scatter on', 'tx_offload multi_segs on'))
    add_and_drop(south, pmd, path, name, how)
    pmd.quit()
    pmd, port, name = inside(machine)
    lab.check(pmd.link_up(port), f'{how}: started again, it has a link again')
    pulled_out(south, pmd, port, how)
    machine.check_log(how)
    machine.kill()  # QEMU would abort when it resets a function without its backend
    print(f'    {how}: {lab.time.monotonic() - begin:.0f} s', flush=True)


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    for how in sys.argv[1:] or KERNEL:
        one(guest_lab, how)


main()
