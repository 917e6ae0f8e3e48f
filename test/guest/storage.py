#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What a guest's file systems and databases ask of a disk: nothing is lost, nothing is mixed up, errors arrive.

A tree of kernel headers unpacked, checked and read again; fio with checksums, several sizes and jobs at a
time, on sectors of 512 and 4096 bytes; the same while the disk grows and after it shrank; discard and write
zeroes as the host sees them; each flush and each write-through counted on the host's storage, which also
fails, fills up, and hangs while a disk is taken away; and vbus-dp killed together with the host's power
while files are synced.

    storage.py [KERNEL]     VBUS_TREE=FILE.tar: another tree   VBUS_FIO_MIB=4: of each job   VBUS_GUEST_KILLS=1
"""
import contextlib
import errno
import hashlib
import os
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import fusefile  # noqa: E402
import guest  # noqa: E402
import guestlab  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

MIB = 1 << 20
PROGRAMS = ('mke2fs', 'e2fsck', 'blkdiscard', 'fio')
FIO_MIB = int(os.environ.get('VBUS_FIO_MIB', '4'))
KILLS = int(os.environ.get('VBUS_GUEST_KILLS', '1'))
STORE, WIDE, SICK = 16 * FIO_MIB * MIB + 112 * MIB, 64 * MIB, 32 * MIB
CONFIG = '''
mode = adaptive
idle = 1000
bus g1 { socket = {folder}/g1.sock devices = { store, wide, tree, full } }
device store { class = block file = {folder}/store.img queues = 2 }
device wide { class = block file = {folder}/wide.img sector = 4096 queues = 2 }
device tree { class = block file = {folder}/tree.tar readonly = true }
device full { class = block file = {folder}/full/disk.img }
'''
SICK_CONFIG = '''
mode = adaptive
idle = 1000
bus g1 { socket = {folder}/g1.sock devices = { sick } }
device sick { class = block file = {folder}/sick.img queues = 2 }
'''
# What is said of a disk whose host fails, or that is taken away.
TORN = r'EXT4-fs|JBD2|I/O error|Aborting journal|critical'


def at(folder, name):
    return os.path.join(folder, name)


def blocks(path):
    return os.stat(path).st_blocks


def read_host(path, offset, length):
    with open(path, 'rb') as file:
        file.seek(offset)
        return file.read(length)


class Disk:
    """One of the guest, by its name on the bus."""

    def __init__(self, machine, name):
        self.machine = machine
        machine.run(f'for i in $(seq 300); do grep -qlx {name} /sys/block/vbd*/device/name && exit 0; sleep 0.1; done; exit 1')
        self.node = '/dev/' + machine.run(f'grep -lx {name} /sys/block/vbd*/device/name').split('/')[3]

    def wait_size(self, size):
        self.machine.run(f'for i in $(seq 300); do [ $(cat /sys/block/{self.node[5:]}/size) = {size // 512} ] && exit 0; '
                         'sleep 0.1; done; exit 1')

    def dd(self, arguments):
        """(what it said, status) of a dd."""
        text, status = self.machine.status(f'dd {arguments.replace("DISK", self.node)} 2>&1', 120)
        return ' '.join(text.split()), status

    def fio(self, engine, split, more='', jobs=4, timeout=300):
        """Mixed sizes, read back and compared by checksum. The command, to be started."""
        size = FIO_MIB * MIB
        return self.machine.start(
            f'cd /tmp && fio --name=v --filename={self.node} --rw=randrw --rwmixread=30 --bssplit={split} --verify=crc32c '
            f'--verify_fatal=1 --direct=1 --ioengine={engine} --iodepth=8 --numjobs={jobs} --size={size} '
            f'--offset_increment={size} --group_reporting --minimal {more} >/tmp/fio.out 2>&1; '
            's=$?; [ $s = 0 ] || cat /tmp/fio.out; exit $s')


# ---- a tree of files ------------------------------------------------------------------------------


def make_tree(guest_lab, folder):
    """The tar file, which is a disk of the guest's, and the checksums of its files."""
    path = at(folder, 'tree.tar')
    given = os.environ.get('VBUS_TREE')
    if given:
        os.symlink(given, path)
    else:
        found = sorted(name for name in os.listdir(os.path.join(guest_lab.root, 'usr/src')) if name.endswith('-common'))
        with tarfile.open(path, 'w') as tar:
            tar.add(os.path.join(guest_lab.root, 'usr/src', found[0], 'arch'), 'tree')
    lines = []
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile():
                lines.append(f'{hashlib.sha256(tar.extractfile(member).read()).hexdigest()}  ./{member.name}')
    if not given:
        with open(path, 'ab') as file:  # whole sectors
            file.truncate((os.path.getsize(path) + 4095) // 4096 * 4096)
    with open(at(folder, 'tree.sums'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')
    return len(lines)


def tree(machine, folder, number):
    disk, source = Disk(machine, 'store'), Disk(machine, 'tree')
    began = lab.time.monotonic()
    machine.run(f'mke2fs -q -F -t ext4 {disk.node} && mkdir -p /mnt && mount -t ext4 {disk.node} /mnt', 120)
    machine.run(f'tar -xf {source.node} -C /mnt && umount /mnt', 3000)
    unpacked = lab.time.monotonic() - began
    machine.run(f'e2fsck -fn {disk.node}', 1200)
    machine.run(f'mount -t ext4 {disk.node} /mnt && cd /mnt && sha256sum -c /tree.sums >/tmp/sums; s=$?; '
                'grep -v ": OK$" /tmp/sums | head; cd /; umount /mnt; exit $s', 3000)
    done = lab.subprocess.run([guestlab.which('e2fsck'), '-fn', at(folder, 'store.img')], capture_output=True, text=True,
                              check=False)
    lab.check(done.returncode == 0, f'a tree of {number} files: clean, and read as it was packed ({unpacked:.0f} s to unpack, '
              f'{lab.time.monotonic() - began:.0f} s in all) {done.stdout[-300:] if done.returncode else ""}')


# ---- fio ------------------------------------------------------------------------------------------


def checksums(machine):
    for name, engine, split in ('store', 'io_uring', '512/20:4k/40:12k/20:64k/20'), ('wide', 'libaio', '4k/60:20k/20:64k/20'):
        disk = Disk(machine, name)
        queues = machine.run(f'ls /sys/block/{disk.node[5:]}/mq | wc -l').strip()
        machine.finish(disk.fio(engine, split), 600)
        lab.check(queues == '2', f'{name}: fio finds its checksums, 4 jobs by {engine}, {split}, {queues} queues')


def resize(machine, folder):
    """Under load; afterwards the part that stayed is whole, and what is beyond the end is an error."""
    disk, path = Disk(machine, 'wide'), at(folder, 'wide.img')
    load = disk.fio('io_uring', '4k/60:64k/40', f'--loops={max(4, 8 // FIO_MIB)}')
    for step in range(1, 9):
        os.truncate(path, WIDE + step * 4 * MIB)
        disk.wait_size(WIDE + step * 4 * MIB)
    machine.finish(load, 600)
    said, status = disk.dd(f'if=/tmp/blob of=DISK bs=1M count=4 seek={WIDE // MIB + 28} oflag=direct conv=notrunc,fsync')
    lab.check(status == 0 and read_host(path, WIDE + 28 * MIB, 4 * MIB) == read_host(at(folder, 'blob'), 0, 4 * MIB),
              'grown 8 times under load: the new part is written')
    load = disk.fio('libaio', '4k/60:64k/40')
    os.truncate(path, WIDE)
    disk.wait_size(WIDE)
    machine.finish(load, 600)
    said, status = disk.dd(f'if=DISK of=/dev/null bs=64k skip={WIDE // 65536} count=1 iflag=direct')
    lab.check('0+0 records in' in said, 'shrunk under load: checksums still agree, and it ends where the file does')


# ---- what the host sees ---------------------------------------------------------------------------


def space(machine, folder):
    disk, path = Disk(machine, 'store'), at(folder, 'store.img')
    disk.dd('if=/dev/urandom of=DISK bs=64k count=256 conv=notrunc,fsync')
    full = blocks(path)
    machine.run(f'blkdiscard -z -o 4194304 -l 1048576 {disk.node}')
    lab.check(read_host(path, 4 * MIB, MIB) == bytes(MIB) and any(read_host(path, 3 * MIB, MIB)), 'write zeroes writes zeroes')
    machine.run(f'blkdiscard -o 8388608 -l 8388608 {disk.node}')
    less = blocks(path)
    lab.check(full - less >= 8 * MIB // 512, f'discard gives the host space back: {full} blocks, {less}')
    lab.check(any(read_host(path, 7 * MIB, MIB)), 'and spares what lies before')


def durability(machine, file):
    """Each flush and each write-through of the guest is one of the host."""
    disk = Disk(machine, 'sick')
    before = file.counts()
    disk.dd('if=/tmp/blob of=DISK bs=4k count=32 oflag=direct conv=notrunc')
    lazy = file.counts()
    lab.check(lazy['write'] > before['write'] and lazy['dirty'] > 0 and lazy['fsync'] == before['fsync'],
              'what is only written is not flushed')
    disk.dd('if=/tmp/blob of=DISK bs=4k count=32 oflag=direct conv=notrunc,fsync')
    flushed = file.counts()
    lab.check(flushed['dirty'] == 0 and flushed['fsync'] > lazy['fsync'], 'fsync in the guest is fdatasync on the host')
    machine.run(f'cd /tmp && fio --name=d --filename={disk.node} --rw=write --bs=4k --size=64k --ioengine=psync --direct=1 '
                '--sync=dsync --minimal', 120)
    through = file.counts()
    lab.check(through['write_through'] - flushed['write_through'] == 16 and through['dirty'] == 0,
              '16 writes with FUA are 16 writes with O_DSYNC')


# ---- what goes wrong ------------------------------------------------------------------------------


def failing(machine, file):
    """EIO of the host's storage, for a part of the disk and for all of it."""
    disk = Disk(machine, 'sick')
    file.fail('read', MIB, MIB + 4096, errno.EIO)
    said, status = disk.dd('if=DISK of=/dev/null bs=4k skip=256 count=1 iflag=direct')
    lab.check(status != 0 and 'Input/output error' in said, f'EIO of a read: {said}')
    said, status = disk.dd('if=DISK of=/dev/null bs=64k skip=16 count=1 iflag=direct')
    lab.check(status != 0, 'and of a larger one that has it within')
    said, status = disk.dd('if=DISK of=/dev/null bs=4k skip=257 count=16 iflag=direct')
    lab.check(status == 0, 'not of its neighbours')
    file.fail('write', 2 * MIB, 2 * MIB + 4096, errno.EIO)
    said, status = disk.dd('if=/tmp/blob of=DISK bs=4k seek=512 count=1 oflag=direct conv=notrunc')
    lab.check(status != 0 and 'Input/output error' in said, f'EIO of a write: {said}')
    file.fail('fsync', 0, 1, errno.EIO)
    said, status = disk.dd('if=/tmp/blob of=DISK bs=4k count=1 conv=notrunc,fsync')
    lab.check(status != 0 and 'Input/output error' in said, f'EIO of a flush: {said}')
    file.heal()
    said, status = disk.dd('if=/tmp/blob of=DISK bs=64k seek=16 count=32 oflag=direct conv=notrunc,fsync')
    lab.check(status == 0, 'and all is well when the host is')


def full(machine):
    disk = Disk(machine, 'full')
    said, status = disk.dd('if=/tmp/blob of=DISK bs=64k count=256 oflag=direct conv=notrunc')
    lab.check(status != 0 and 'No space left' in said, f'ENOSPC: {said}')
    said, status = disk.dd('if=DISK of=/tmp/back bs=64k count=16 iflag=direct')
    lab.check(machine.status('cmp -n 1048576 /tmp/blob /tmp/back')[1] == 0, 'what was written before is there')


def truncated(machine, folder):
    """Bytes that the file does not have are an error, at once and after it is noticed, and never old ones."""
    disk, path = Disk(machine, 'wide'), at(folder, 'wide.img')
    skip = WIDE // MIB - 4
    disk.dd(f'if=/tmp/blob of=DISK bs=1M seek={skip} count=4 oflag=direct conv=notrunc,fsync')
    os.truncate(path, WIDE - 4 * MIB + 1000)
    said, status = disk.dd(f'if=DISK of=/dev/null bs=1M skip={skip} count=1 iflag=direct')
    # An error, or by now a disk that ends there.
    lab.check(status != 0 or '0+0 records in' in said, f'a file that was cut off: {said}')
    os.truncate(path, WIDE)
    disk.wait_size(WIDE)
    said, status = disk.dd(f'if=DISK of=/tmp/back bs=1M skip={skip + 1} count=3 iflag=direct')
    lab.check(status == 0 and machine.status('head -c 3145728 /dev/zero | cmp - /tmp/back')[1] == 0, 'made long again: zeroes')


def hanging(machine, dp, folder, file):
    """Taken away while its driver waits for the partition table: others come and go all the same."""
    dp.call('device.create', name='slow', **{'class': 'block'}, file=at(folder, 'slow.img'))
    file.hold('read')
    dp.call('device.attach', name='slow', bus='g1')
    lab.until(lambda: file.counts()['held'] > 0, 60, 'the guest looks for partitions, the host does not answer')
    began = lab.time.monotonic()
    dp.call('device.detach', name='slow')
    dp.call('device.create', name='other', **{'class': 'block'}, memory=MIB, bus='g1')
    machine.run('for i in $(seq 250); do grep -qlx other /sys/block/vbd*/device/name && exit 0; sleep 0.1; done; exit 1')
    # The block layer's own timeout is 30 s.
    took = lab.time.monotonic() - began
    lab.check(took < 25, f'dropped then: the next device is there {took:.1f} s later')
    lab.check(machine.status('grep -lx slow /sys/block/vbd*/device/name')[1] != 0, 'and the dropped one is not')
    file.hold()
    dp.call('device.delete', name='slow')


# ---- vbus-dp is killed, and the host loses its power ----------------------------------------------


def power_failures(start, folder, file, machine, dp):
    """Files synced one after the other; each that was acknowledged is there, whole, in the next guest.

    This shows that a file system in the guest can rely on flush and FUA. A guest does not outlive its backend
    here: each one begins anew.
    """
    disk = Disk(machine, 'sick')
    machine.run(f'mke2fs -q -F -t ext4 -E nodiscard {disk.node} && mkdir -p /mnt && mount -t ext4 {disk.node} /mnt && sync')
    done = 0
    for kill in range(1, KILLS + 1):
        # Beside it, what nobody syncs: there has to be something to lose.
        token = machine.start('(while cat /tmp/blob >/mnt/noise; do :; done) 2>/dev/null & '
                              f'i={done}; while :; do i=$((i + 1)); d=/mnt/$((i / 50)); [ -d $d ] || mkdir $d; '
                              'dd if=/tmp/blob of=$d/$i bs=4k skip=$i count=2 conv=fsync 2>/dev/null || break; '
                              'echo "@synced $i"; done')
        begin = done
        while done < begin + 30:
            done = int(machine.wait_output(rf'^@synced ({done + 1})$', token[1], 120).group(1))
        dp.process.kill()
        dp.process.wait()
        lost = file.lose()['lost_pages']
        machine.read(0.5)
        done = max(map(int, lab.re.findall(r'^@synced (\d+)$', machine.output, lab.re.M)))
        machine.kill()
        dp, machine = start(SICK_CONFIG)
        disk = Disk(machine, 'sick')
        machine.run(f'mkdir -p /mnt && mount -t ext4 {disk.node} /mnt')
        bad, _ = machine.status(f'for i in $(seq {done}); do dd if=/tmp/blob bs=4k skip=$i count=2 2>/dev/null | '
                                'cmp -s - /mnt/$((i / 50))/$i || echo $i; done')
        lab.check(not bad.strip(), f'killed {kill} times, {lost} unflushed pages lost: {done} files that were synced are there '
                  f'{bad.strip()[:200]}')
        machine.run('umount /mnt')
        machine.run(f'e2fsck -fn {disk.node} && mount -t ext4 {disk.node} /mnt')
    machine.run('umount /mnt')
    return dp, machine


# ---- all of it ------------------------------------------------------------------------------------


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel((sys.argv[1:] or ['6.12'])[0])
    folder = guest_lab.folder()
    number = make_tree(guest_lab, folder)
    os.mkdir(at(folder, 'full'))
    lab.subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'vbus-test', at(folder, 'full')], check=True)
    lab.atexit.register(lab.subprocess.run, ['umount', '-l', at(folder, 'full')], check=False)
    size = max(STORE, 2 * os.path.getsize(at(folder, 'tree.tar')) if os.environ.get('VBUS_TREE') else 0)
    for name, length in ('store.img', size), ('wide.img', WIDE), ('full/disk.img', 32 * MIB):
        with open(at(folder, name), 'wb') as file:
            file.truncate(length)
    blob = at(folder, 'blob')
    with open(blob, 'wb') as file:
        file.write(os.urandom(16 * MIB))
    programs = guestlab.extra_part(guest_lab, 'storage', {}, [guestlab.which(name) for name in PROGRAMS])
    root = at(folder, 'root')
    os.makedirs(at(root, 'tmp'))
    os.link(blob, at(root, 'tmp/blob'))
    os.link(at(folder, 'tree.sums'), at(root, 'tree.sums'))
    guestlab.archive(root, at(folder, 'files.cpio'))
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=[programs, at(folder, 'files.cpio')]))

    def start(config):
        dp = vbusdp.VbusDp(folder, config)
        bus = guest.vfio_user(guest_lab.inside(at(folder, 'g1.sock')), 'vbus1')
        machine = guest.Guest(guest_lab, kernel, folder, initrd, bus, name='g', smp=2, memory=768, timeout=300)
        machine.run('modprobe vbus_pcibridge; modprobe vbus_block', 60)
        return dp, machine

    with contextlib.ExitStack() as stack:
        sick = stack.enter_context(fusefile.File(at(folder, 'sick.img'), SICK))
        slow = stack.enter_context(fusefile.File(at(folder, 'slow.img'), MIB))
        dp, machine = start(CONFIG)
        tree(machine, folder, number)
        checksums(machine)
        space(machine, folder)
        resize(machine, folder)
        machine.check_log(kernel.name)
        full(machine)
        truncated(machine, folder)
        if sick.missing:
            print(f'not shown, for there is no storage to be told: failures, flushes, power ({sick.missing})', flush=True)
        else:
            dp.call('device.create', name='sick', **{'class': 'block'}, file=at(folder, 'sick.img'), queues=2, bus='g1')
            durability(machine, sick)
            failing(machine, sick)
            hanging(machine, dp, folder, slow)
            machine.check_log(f'{kernel.name}, with a host that fails', TORN)
            dp, machine = power_failures(start, folder, sick, machine, dp)
            machine.check_log(f'{kernel.name}, after the power failed')
        machine.power_off()
        dp.stop()


main()
