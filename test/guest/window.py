#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A PCI function that has nothing but a mapped BAR: testpmd in the guest finds it, consumes and serves through it.

    window.py [uio|vfio|map|mem]...

The function is 11da:2000 with a file of the host as BAR 2: it has no registers, no interrupt, and keeps none of the
guest's memory. The bus's scan makes a link of it, whether it is bound to uio_pci_generic or to vfio-pci. Then it is
named by a path, as on a board: map 0 of a UIO device (uio_netx makes one of the BAR), and /dev/mem at the BAR's
address. Frames of 60 to 1,514 bytes go from the host through the guest and back, equal in content and order, on the
link that the host serves; the one that the guest serves is up beside it.
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
import windowpci  # noqa: E402

COUNT = 2000
SIZE = 16 << 20


def tmpfs(folder):
    """The lab's folder may be on a disk; a window is not."""
    where = os.path.join(folder, 'shm')
    os.mkdir(where)
    subprocess.run(['mount', '-t', 'tmpfs', 'none', where], check=True)
    lab.atexit.register(lambda: subprocess.run(['umount', '-l', where], check=False))
    return where


def named(machine, how):
    """The window as a path: of the function in the hands of uio_netx, or of no driver."""
    function = guestdpdk.bind(machine, 'uio', pages=120)
    where = f'/sys/bus/pci/devices/{function}'
    machine.run(f'echo {function} >{where}/driver/unbind')
    if how == 'map':
        machine.run(f'modprobe uio_netx; echo netx >{where}/driver_override; echo {function} >/sys/bus/pci/drivers/netx/bind')
        return '/dev/uio0'
    machine.run(f'echo 1 >{where}/enable')
    return f'/dev/mem@{machine.run(f"sed -n 3p {where}/resource").split()[0]},size={SIZE}'


def one(machine, south, how, frames, sink):
    """The function in the hands of one driver."""
    if how in guestdpdk.DRIVERS:
        function = guestdpdk.bind(machine, how, pages=120)
        name, path = f'vbus:pci-{function.replace(":", "-").replace(".", "-")}', f'pci:{function}'
        eal = ['-a', f'{function},wait=10000']
    else:
        path, name = named(machine, how), 'vbus:w'
        eal = ['--no-pci', '-a', f'vbus:w,window={path},side=b,wait=10000']
    pmd = guestdpdk.GuestTestpmd(machine, eal=[*eal, '--vdev', f'net_vbus0,window={path},side=b,bus=mine,name=eth1'])
    name += '.eth0'
    ids = link.wait_ports(pmd, [name, 'net_vbus0'], 30)
    pmd.wait_link(ids[name])
    # testpmd forwards only when all of its ports are started.
    mine = link.wait_ports(south, ['vbus:w.eth1'], 30)['vbus:w.eth1']
    if f'Configuring Port {mine} ' not in south.output:
        south.command('port attach vbus:w.eth1')
    south.command('port start all')
    south.wait_link(mine, timeout=30)
    guestdpdk.there_and_back(south, pmd, ids[name], frames, sink, how)
    lab.check(pmd.link_up(ids['net_vbus0']), f'{how}: what the guest serves has a link as well')
    pmd.quit()


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    folder = guest_lab.folder()
    kernel = guest_lab.kernel('6.12')
    path, sock = os.path.join(tmpfs(folder), 'w'), os.path.join(folder, 'f.sock')
    with open(path, 'wb') as file:
        file.truncate(SIZE)
    windowpci.WindowFunction(sock, path)
    frames = pcap.frames(COUNT, 11, longest=1514)
    source, sink = (os.path.join(folder, f'{name}.pcap') for name in ('in', 'out'))
    pcap.write(source, frames)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, {}, more=[guestdpdk.part(guest_lab)]))
    machine = guest.Guest(guest_lab, kernel, folder, initrd, guest.vfio_user(guest_lab.inside(sock)), smp=2, memory=768,
                          iommu=True)
    for how in sys.argv[1:] or ('uio', 'vfio', 'map', 'mem'):
        begin = lab.time.monotonic()
        host = ['--vdev', f'net_vbus0,window={path},side=a,size={SIZE},bus=serve,name=eth0',
                '-a', f'vbus:w,window={path},side=a,wait=0',
                '--vdev', f'net_pcap0,rx_pcap={source},tx_pcap={sink}']
        south = lab.Testpmd(folder, f'south-{how}', host, link.QUIET + ['--no-flush-rx', '--nb-cores=2'], workers=2)
        one(machine, south, how, frames, sink)
        south.quit()
        os.unlink(sink)
        print(f'    {how}: {lab.time.monotonic() - begin:.0f} s', flush=True)
    machine.check_log('window')
    machine.power_off()


main()
