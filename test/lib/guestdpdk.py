# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A stock testpmd inside of a guest, with our drivers as its plugins."""
import glob
import os
import re
import shutil
import time

import guestlab
import link
import pcap
import testpmd as lab

PLUGINS = ('bus_pci', 'bus_vdev', 'mempool_ring', 'net_null', 'net_ring')
OURS = ('bus_vbus', 'net_vbus')
# How the PCI function becomes DPDK's.
BIND = '''set -e
mkdir -p /dev/hugepages; mountpoint -q /dev/hugepages 2>/dev/null || mount -t hugetlbfs none /dev/hugepages
echo {pages} >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
modprobe {module}
for d in /sys/bus/pci/devices/*; do
	[ "$(cat $d/vendor):$(cat $d/device)" = {device} ] || continue
	[ ! -e $d/driver ] || basename $d >$d/driver/unbind
	echo {driver} >$d/driver_override
	basename $d >/sys/bus/pci/drivers/{driver}/bind
	basename $d
done'''
DRIVERS = {'vfio': ('vfio-pci', 'vfio-pci; modprobe vfio_iommu_type1'), 'uio': ('uio_pci_generic', 'uio_pci_generic')}


def part(guest_lab):
    """testpmd, the plugins of DPDK that it needs, and ours (in /opt). A plugin is one file by all its names:
    EAL loads it from a folder, and others need it by its short name."""
    program = guestlab.which('dpdk-testpmd')
    folders = sorted(glob.glob('/usr/lib/*/dpdk/pmds-*'))
    if not folders:
        lab.skip('no plugins of DPDK')
    theirs = [sorted(glob.glob(f'{folders[-1]}/librte_{name}.so.*.*'))[-1] for name in PLUGINS]
    ours = [os.path.join(lab.PLUGINS, f'librte_{name}.so') for name in OURS]
    libvbus = os.path.join(lab.BUILD, 'lib', 'libvbus.so.0')

    def fill(root):
        wanted = {library for path in [program, *theirs, *ours, libvbus] for library in guestlab.libraries(path)}
        skip = re.compile(r'libvbus|librte_(' + '|'.join(PLUGINS + OURS) + r')\.so')
        loader_folder = next(os.path.dirname(path) for path in wanted if os.path.basename(path) == 'libc.so.6')
        wanted.add(f'{loader_folder}/libgcc_s.so.1')  # pthread_cancel() loads it
        for path in wanted:
            if not skip.search(path):
                guestlab.place(root, path)
        guestlab.place(root, program, '/bin/dpdk-testpmd')
        for path in theirs:
            guestlab.place(root, path)
            short = re.sub(r'(\.so\.\d+)\..*', r'\1', os.path.basename(path))
            for folder in (os.path.dirname(path), loader_folder):
                os.makedirs(root + folder, exist_ok=True)
                os.symlink(path, f'{root}{folder}/{short}')
        os.makedirs(f'{root}/opt/vbus')
        os.makedirs(f'{root}/opt/lib')
        for path in ours:
            shutil.copy(path, f'{root}/opt/vbus')
        shutil.copy(libvbus, f'{root}/opt/lib')
    return guestlab.cached(guest_lab, 'dpdk', (PLUGINS, guestlab.stamps([program, *theirs, *ours, libvbus])), fill)


def bind(machine, how, pages=100, device='0x11da:0x2000'):
    """Give the function to DPDK by vfio or uio; its address."""
    driver, module = DRIVERS[how]
    return machine.run(BIND.format(pages=pages, module=module, driver=driver, device=device)).split()[-1]


class GuestTestpmd(lab.Testpmd):
    """As lab.Testpmd, on the guest's second serial line: no other command can run meanwhile."""

    def __init__(self, machine, eal=(), app=(), timeout=120):
        self.name = f'testpmd in {machine.name}'
        self.machine = machine
        self.output = ''
        self._end = None
        self._token = machine.start(
            'export LD_LIBRARY_PATH=/opt/lib; exec dpdk-testpmd -l 0-1 -d /opt/vbus --file-prefix g '
            f'{" ".join(eal)} -- -i --no-mlockall --disable-link-check --mask-event=intr_lsc --total-num-mbufs=8192 '
            f'{" ".join(app)} </dev/ttyS1 >/dev/ttyS1 2>&1')
        self.wait_prompt(timeout)

    def _read(self, timeout):
        at = len(self.machine.output)
        there = self.machine.read(timeout)
        self.output += self.machine.output[at:]
        return there and f'\n@{self._token[0]} end ' not in self.output

    def send(self, text):
        self.machine.type(text)

    def alive(self):
        return self.machine.alive() and self._end is None

    def stacks(self):
        return ''

    def wait(self, timeout=20):
        del timeout
        return self._end

    def quit(self, timeout=60):
        self.send('quit')
        self._end = self.machine.finish(self._token, timeout)[1]

    def kill(self, sig=9):
        """It dies with its guest."""

    def close(self):
        pass

    def wait_link(self, port=0, up=True, timeout=20):
        begin = time.monotonic()
        while self.link_up(port) != up:
            if time.monotonic() - begin > timeout:
                self.give_up(f'link of port {port} not {"up" if up else "down"} within {timeout} s')
            time.sleep(0.1)
        return time.monotonic() - begin


def there_and_back(south, pmd, port, frames, sink, how, offloads=()):
    """The guest sends back what it gets from the host's net_pcap0 by its net_vbus0: all of it, in order."""
    pmd.command(f'port stop {port}')
    for text in offloads:
        pmd.command(f'port config {port} {text}')
    pmd.command(f'port start {port}')
    link.patient(pmd)
    pmd.command(f'set portlist {port}')
    pmd.wait_link(port)
    pmd.command('start')
    ids = link.wait_ports(south, ['net_vbus0', 'net_pcap0'])
    south.command(f'set portlist {ids["net_vbus0"]},{ids["net_pcap0"]}')
    link.patient(south)
    south.wait_link(ids['net_vbus0'])
    south.command('start')
    want = pcap.size(frames)

    def arrived():
        south.drain()
        return os.path.exists(sink) and os.path.getsize(sink) >= want
    seconds = lab.until(arrived, 120, f'{how}: all frames came back', step=0.05)
    south.command('stop')
    pmd.command('stop')
    difference = pcap.difference(frames, pcap.read(sink))
    lab.check(difference is None, f'{how}: {len(frames)} frames through the guest equal in content and order, {seconds:.1f} s'
              + (f' ({difference})' if difference else ''))
    drops = {key: value for key, value in pmd.xstats(port).items() if '_drop_' in key and value}
    lab.check(not drops, f'{how}: dropped nothing {drops or ""}')
