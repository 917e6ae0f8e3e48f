#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A PCI function that has nothing but a mapped BAR: testpmd in the guest consumes and serves through it.

The function is QEMU's ivshmem-plain, whose BAR 2 is a file of the host: it has no registers, no interrupt, and its
device reaches no memory of the guest. Frames of 60 to 1,514 bytes go from the host through the guest and back, equal
in content and order, on the link that the host serves; the one that the guest serves is up beside it.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestdpdk  # noqa: E402
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402

COUNT = 2000
SIZE = 16 << 20
FIND = 'for d in /sys/bus/pci/devices/*; do [ "$(cat $d/device)" != 0x1110 ] || basename $d; done'


def tmpfs(folder):
    """The lab's folder may be on a disk; a window is not."""
    where = os.path.join(folder, 'shm')
    os.mkdir(where)
    subprocess.run(['mount', '-t', 'tmpfs', 'none', where], check=True)
    lab.atexit.register(lambda: subprocess.run(['umount', '-l', where], check=False))
    return where


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    folder = guest_lab.folder()
    kernel = guest_lab.kernel('6.12')
    path = os.path.join(tmpfs(folder), 'w')
    frames = pcap.frames(COUNT, 11, longest=1514)
    source, sink = (os.path.join(folder, f'{name}.pcap') for name in ('in', 'out'))
    pcap.write(source, frames)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, {}, more=[guestdpdk.part(guest_lab)]))
    devices = ['-object', f'memory-backend-file,id=w,mem-path={guest_lab.inside(path)},size={SIZE},share=on',
               '-device', 'ivshmem-plain,memdev=w']
    machine = guest.Guest(guest_lab, kernel, folder, initrd, devices, smp=2, memory=512)
    function = machine.run(FIND).split()[-1]
    host = ['--vdev', f'net_vbus0,window={path},side=a,size={SIZE},bus=serve,name=eth0',
            '-a', f'vbus:w,window={path},side=a,wait=0',
            '--vdev', f'net_pcap0,rx_pcap={source},tx_pcap={sink}']
    south = lab.Testpmd(folder, 'south', host, link.QUIET + ['--no-flush-rx', '--nb-cores=2'], workers=2)
    window = f'window=pci:{function},side=b'
    pmd = guestdpdk.GuestTestpmd(machine, eal=['--no-huge', '-m', '192', '--no-pci', '-a', f'vbus:g,{window},wait=10000',
                                               '--vdev', f'net_vbus0,{window},bus=mine,name=eth1'])
    ids = link.wait_ports(pmd, ['vbus:g.eth0', 'net_vbus0'], 30)
    pmd.wait_link(ids['vbus:g.eth0'])
    # testpmd forwards only when all of its ports are started.
    mine = link.wait_ports(south, ['vbus:w.eth1'], 30)['vbus:w.eth1']
    south.command('port attach vbus:w.eth1')
    south.command('port start all')
    south.wait_link(mine, timeout=30)
    guestdpdk.there_and_back(south, pmd, ids['vbus:g.eth0'], frames, sink, 'served by the host')
    lab.check(pmd.link_up(ids['net_vbus0']), 'what the guest serves has a link as well')
    pmd.quit()
    machine.check_log('window')
    machine.power_off()
    south.quit()


main()
