#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# per-kernel: yes
"""Disks of vbus-dp in a guest: files and memory, sectors of 512 and 4096 bytes.

Patterns that the host finds in the file, and a file system that is made, filled, checked and trimmed;
read-only disks and a host without space; a disk that grows and shrinks; one that is taken away under
load with a mounted file system, and comes back; the driver unloaded and loaded again.

    disks.py [KERNEL]
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

MIB = 1 << 20
PROGRAMS = ('mke2fs', 'e2fsck')
CONFIG = '''
mode = adaptive
idle = 1000
bus g1 { socket = {folder}/g1.sock devices = { file, wide, fixed, memory } }
device file { class = block file = {folder}/file.img queues = 4 }
device wide { class = block file = {folder}/wide.img sector = 4096 queues = 2 }
device fixed { class = block file = {folder}/fixed.img readonly = true }
device memory { class = block memory = 67108864 queues = 2 }
'''
# What goes with file systems whose disk was taken away.
TORN = r'EXT4-fs|JBD2|I/O error|Aborting journal'


class Disk:
    """One of the guest, by its name on the bus."""

    def __init__(self, machine, name):
        self.machine = machine
        found = machine.run(f'grep -lx {name} /sys/block/vbd*/device/name').strip()
        self.node = '/dev/' + found.split('/')[3]
        self.queue = found.replace('device/name', 'queue')

    def attribute(self, name):
        return int(self.machine.run(f'cat {self.queue}/{name}'))

    def sectors(self):
        """Of 512 bytes, whatever the disk's have."""
        return int(self.machine.run(f'cat /sys/block/{self.node[5:]}/size'))

    def wait_size(self, size):
        lab.until(lambda: self.sectors() == size // 512, 10, f'{self.node} has {size // MIB} MiB')

    def copy(self, source, blocks, size='64k', seek=0):
        """To the disk, past the cache."""
        self.machine.run(f'dd if={source} of={self.node} bs={size} count={blocks} seek={seek} oflag=direct conv=notrunc,fsync '
                         '2>&1')

    def sha(self, blocks, size='64k', skip=0):
        return self.machine.run(f'dd if={self.node} bs={size} count={blocks} skip={skip} iflag=direct 2>/dev/null | '
                                'sha256sum').split()[0]


def at(folder, name):
    return os.path.join(folder, name)


def there(machine, number):
    lab.until(lambda: machine.run('ls /sys/block | grep -c ^vbd; true').strip() == str(number), 20,
              f'the guest has {number} disks')


def patterns(machine, folder):
    """What is written is read, and is in the host's file."""
    machine.run(f'dd if=/dev/urandom of=/tmp/blob bs=64k count={4 * 16} 2>/dev/null')
    want = machine.run('sha256sum </tmp/blob').split()[0]
    for name in ('file', 'wide', 'memory'):
        disk = Disk(machine, name)
        disk.copy('/tmp/blob', 64)
        lab.check(disk.sha(64) == want, f'{name}: what is read is what was written')
        lab.check(disk.sha(1024, '4k') == want, f'{name}: in other pieces too')
        if name != 'memory':
            with open(at(folder, f'{name}.img'), 'rb') as file:
                lab.check(hashlib.sha256(file.read(4 * MIB)).hexdigest() == want, f'{name}: and the host sees it')
    disk = Disk(machine, 'file')
    disk.copy('/tmp/blob', 100, '512', 8193)
    got = machine.run('dd if=/tmp/blob bs=512 count=100 2>/dev/null | sha256sum').split()[0]
    lab.check(disk.sha(100, '512', 8193) == got, 'file: single sectors')
    lab.check(Disk(machine, 'wide').attribute('logical_block_size') == 4096, 'wide: sectors of 4096 bytes')


def file_system(machine, folder):
    disk = Disk(machine, 'file')
    used = os.stat(at(folder, 'file.img')).st_blocks
    machine.run(f'mke2fs -q -F -t ext4 -E nodiscard {disk.node} && mkdir -p /mnt && mount -t ext4 -o discard {disk.node} /mnt')
    machine.run('cp -r /bin /mnt/bin && cp /tmp/blob /mnt/blob && sync && umount /mnt', 120)
    machine.run(f'e2fsck -fn {disk.node}')
    more = os.stat(at(folder, 'file.img')).st_blocks
    machine.run(f'mount -t ext4 -o discard {disk.node} /mnt && cmp /tmp/blob /mnt/blob && cmp /bin/busybox /mnt/bin/busybox && '
                'rm -r /mnt/bin /mnt/blob && sync && umount /mnt')
    less = os.stat(at(folder, 'file.img')).st_blocks
    lab.check(more > used and less < more, f'a file system: {more // 2} KiB on the host, {less // 2} when its files are discarded')
    done = lab.subprocess.run([guestlab.which('e2fsck'), '-fn', at(folder, 'file.img')], capture_output=True, text=True,
                              check=False)
    lab.check(done.returncode == 0, f'the host finds it clean {done.stdout[-300:] if done.returncode else ""}')


def refusals(machine):
    fixed = Disk(machine, 'fixed')
    lab.check(machine.run(f'cat /sys/block/{fixed.node[5:]}/ro').strip() == '1', 'fixed: read-only')
    text, status = machine.status(f'dd if=/tmp/blob of={fixed.node} bs=4k count=1 2>&1')
    lab.check(status != 0, f'fixed: {text.strip().splitlines()[0]}')
    lab.check(fixed.sha(16) == hashlib.sha256(bytes(range(256)) * 4096).hexdigest(), 'fixed: is read')


def resize(machine, folder):
    disk = Disk(machine, 'wide')
    writing = machine.start(f'for i in 1 2 3 4 5 6; do dd if=/dev/zero of={disk.node} bs=64k count=128 oflag=direct 2>/dev/null; done')
    os.truncate(at(folder, 'wide.img'), 96 * MIB)
    machine.finish(writing)
    disk.wait_size(96 * MIB)
    disk.copy('/tmp/blob', 64, seek=92 * 16)
    os.truncate(at(folder, 'wide.img'), 32 * MIB)
    disk.wait_size(32 * MIB)


def taken_away(machine, dp):
    """With a file system mounted and written to: errors, no hang. Then it is back, empty or not."""
    disk = Disk(machine, 'memory')
    machine.run(f'mke2fs -q -F -t ext4 {disk.node} && mount -t ext4 {disk.node} /mnt')
    busy = machine.start('while cp /tmp/blob /mnt/x && cmp /tmp/blob /mnt/x && sync /mnt/x; do :; done >/dev/null 2>&1; '
                         'umount /mnt; true')
    lab.time.sleep(1)
    dp.call('device.detach', name='memory')
    machine.finish(busy, 40)
    there(machine, 3)
    dp.call('device.attach', name='memory', bus='g1')
    there(machine, 4)
    Disk(machine, 'memory').copy('/tmp/blob', 16)


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel((sys.argv[1:] or ['6.12'])[0])
    folder = guest_lab.folder()
    for name, size in ('file', 64), ('wide', 64), ('fixed', 1):
        with open(at(folder, f'{name}.img'), 'wb') as file:
            file.write(bytes(range(256)) * 4096)
            file.truncate(size * MIB)
    dp = vbusdp.VbusDp(folder, CONFIG)
    tools = guestlab.extra_part(guest_lab, 'disks', {}, [guestlab.which(name) for name in PROGRAMS])
    machine = guest.Guest(guest_lab, kernel, folder, guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=[tools])),
                          guest.vfio_user(guest_lab.inside(at(folder, 'g1.sock')), 'vbus1'), name='guest1')
    machine.run('modprobe vbus_pcibridge; modprobe vbus_block', 60)
    there(machine, 4)
    patterns(machine, folder)
    file_system(machine, folder)
    refusals(machine)
    resize(machine, folder)
    machine.check_log(kernel.name)
    taken_away(machine, dp)
    machine.run('rmmod vbus_block; modprobe vbus_block')
    there(machine, 4)
    machine.check_log(f'{kernel.name}, with a disk taken away', TORN)
    machine.power_off()
    dp.stop()


main()
