# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What a guest is made of: the lab's cache (scripts/guest-lab), our modules for each of its kernels, and
initramfs files with the tools that the tests use.

Everything that is made here is kept in the cache under a name that has a checksum of what it was made
from, and is made by one process at a time.
"""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time

import testpmd as lab

SCRIPT = os.path.join(lab.TOP, 'scripts', 'guest-lab')
SOURCES = [os.path.join(lab.TOP, 'guest'), os.path.join(lab.TOP, 'include')]
MODULES = ('vbus', 'vbus_pcibridge', 'vbus_venet')
# What our modules and the tests use of the kernel's own; dependencies come along. Some are built in.
KERNEL_MODULES = ('virtio_net', 'virtio_pci', 'uio_pci_generic', 'uio_netx', 'vfio-pci', 'vfio_iommu_type1')
# dash, since busybox's own shell prefers its applets to a better ip or ping.
TOOLS = ('dash', 'iperf3', 'ethtool', 'ip', 'ping', 'kexec', 'kmod')
APPLETS = ('mount', 'umount', 'insmod', 'dmesg', 'cat', 'echo', 'grep', 'ls', 'sleep', 'poweroff', 'reboot', 'rm',
           'mkdir', 'mknod', 'stty', 'base64', 'sed', 'awk', 'head', 'tail', 'wc', 'seq', 'sha256sum', 'wget', 'httpd',
           'dd', 'kill', 'ps', 'find', 'ln', 'cp', 'mv', 'sort', 'uniq', 'tr', 'cut', 'test', 'true', 'false', 'uname',
           'gunzip', 'gzip', 'tar', 'date', 'basename', 'readlink', 'setsid', 'timeout', 'mdev', 'od', 'cmp', 'touch',
           'sync', 'chmod', 'env', 'printf', 'pidof', 'killall', 'free', 'top', 'ip6tables', 'hexdump', 'tee', 'xargs')


class Kernel:
    """A line of the cache's file `kernels`. Paths are the machine's own."""

    def __init__(self, cache, line):
        self.name, self.version, image, modules, self.headers, self.where = line.split()
        self.image = os.path.join(cache, image)
        self.modules = os.path.join(cache, modules)


class Lab:
    """The cache, made when it is not there (the test is skipped where it cannot be)."""

    def __init__(self):
        lab.need_root()
        done = subprocess.run([SCRIPT, 'build'], capture_output=True, text=True, check=False)
        if done.returncode == lab.SKIP:
            lab.skip(done.stderr.strip().splitlines()[-1])
        if done.returncode != 0:
            lab.fail(f'scripts/guest-lab: {done.stdout[-1000:]}{done.stderr[-1000:]}')
        self.cache = done.stdout.strip().splitlines()[-1]
        self.root = os.path.join(self.cache, 'trixie')
        self.lab = os.path.join(self.root, 'lab')
        with open(os.path.join(self.cache, 'kernels'), encoding='ascii') as file:
            self.kernels = {kernel.name: kernel for kernel in (Kernel(self.cache, line) for line in file)}

    def kernel(self, name):
        if name not in self.kernels:
            lab.fail(f'no kernel {name}; there are: {" ".join(self.kernels)}')
        return self.kernels[name]

    def folder(self):
        """A folder of a test's own that the machine and QEMU both see. Sockets have short names there."""
        self.sweep('t.')
        folder = tempfile.mkdtemp(prefix='t.', dir=self.lab)
        lab.atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def sweep(self, prefix, days=2):
        """What others left behind long ago."""
        for path in glob.glob(os.path.join(self.lab, glob.escape(prefix) + '*')):
            try:
                if os.stat(path).st_mtime < time.time() - days * 86400:
                    shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)
            except OSError:
                pass

    def inside(self, path):
        """How QEMU calls a file of the lab."""
        return '/' + os.path.relpath(path, self.root)

    def lock(self):
        """Held until the returned file is closed."""
        file = open(os.path.join(self.cache, 'lock'), 'w', encoding='ascii')
        fcntl.flock(file, fcntl.LOCK_EX)
        return file


# ---- modules --------------------------------------------------------------------------------------


def source_hash():
    """Of what the modules are built from."""
    digest = hashlib.sha256()
    for top in SOURCES:
        for folder, folders, files in sorted(os.walk(top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(('.c', '.h', '.S')) or name in ('Makefile', 'Kbuild', 'dkms.conf'):
                    path = os.path.join(folder, name)
                    digest.update(os.path.relpath(path, lab.TOP).encode() + b'\0')
                    with open(path, 'rb') as file:
                        digest.update(file.read())
    return digest.hexdigest()[:12]


def make(guest_lab, kernel, tree, *arguments):
    """make in guest/ of a copy of the sources below the lab; its output and status."""
    argv = ['make', '-C', f'{tree}/guest', f'KDIR={kernel.headers}', 'CONFIG_DEBUG_INFO_BTF_MODULES=', *arguments]
    if kernel.where == 'chroot':
        argv[2] = guest_lab.inside(tree) + '/guest'
        argv = ['chroot', guest_lab.root, *argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, check=False,
                          env=dict(os.environ, LC_ALL='C', MAKEFLAGS=''))
    return done.stdout, done.returncode


def copy_sources(tree):
    shutil.rmtree(tree, ignore_errors=True)
    for top in SOURCES:
        shutil.copytree(top, os.path.join(tree, os.path.basename(top)),
                        ignore=shutil.ignore_patterns('*.o', '*.ko', '*.mod', '*.mod.c', '.*.cmd', 'Module.symvers',
                                                      'modules.order'))


def warnings(text):
    """Lines in which a compiler, sparse or modpost complains; what is said of the kernel's own headers is not ours."""
    return [line for line in text.splitlines() if re.search(r'\b(warning|error|WARNING|ERROR)\b', line)
            and not re.search(r'/usr/src/linux-|^(\./)?(arch|include)/|Skipping BTF|compiler differs|pahole version', line)]


def modules(guest_lab, kernel):
    """{name: path} of our modules for a kernel; a warning is an error."""
    tree = os.path.join(guest_lab.lab, f'm.{source_hash()}', kernel.name)
    with guest_lab.lock():
        if not os.path.exists(os.path.join(tree, 'stamp')):
            guest_lab.sweep('m.')
            copy_sources(tree)
            text, status = make(guest_lab, kernel, tree, '-j2')
            if status != 0 or warnings(text):
                lab.fail(f'modules for {kernel.version}:\n{text[-6000:]}')
            with open(os.path.join(tree, 'stamp'), 'w', encoding='ascii') as file:
                file.write(kernel.version + '\n')
    found = {os.path.basename(path)[:-3]: path for path in
             glob.glob(os.path.join(glob.escape(tree), 'guest', '**', '*.ko'), recursive=True)}
    return found


# ---- initramfs ------------------------------------------------------------------------------------


def libraries(path):
    """Shared objects that a program needs, the loader too."""
    out = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r'(/\S+) \(0x', out))


def place(root, path, to=None):
    """Copy a file to where it lies on this machine."""
    target = root + (to or path)
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.realpath(path), target)


def place_program(root, path, to=None):
    place(root, path, to)
    for library in libraries(path):
        place(root, library)


def archive(root, path):
    """Pack a folder as a part of an initramfs; parts are put one behind the other."""
    names = subprocess.run(['find', '.', '-print0'], cwd=root, capture_output=True, check=True).stdout
    packed = subprocess.run(['cpio', '--null', '--quiet', '--create', '--format=newc', '--owner=0:0'], cwd=root,
                            input=names, capture_output=True, check=True).stdout
    with open(path + '.new', 'wb') as file:  # not compressed: unpacking costs an emulated guest seconds
        file.write(packed)
    os.rename(path + '.new', path)


def cached(guest_lab, kind, key, fill):
    """A part of an initramfs: from the cache, or what fill(root) puts into a folder."""
    key = (key, stamps(glob.glob(os.path.join(glob.escape(os.path.dirname(__file__)), 'guest*.py'))))
    path = os.path.join(guest_lab.lab, f'i.{kind}.{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}.cpio')
    with guest_lab.lock():
        if not os.path.exists(path):
            guest_lab.sweep('i.')
            root = tempfile.mkdtemp(prefix='t.i.', dir=guest_lab.lab)
            try:
                fill(root)
                archive(root, path)
            finally:
                shutil.rmtree(root, ignore_errors=True)
        os.utime(path)
    return path


def stamps(paths):
    return [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths]


def which(name):
    path = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if path is None:
        lab.skip(f'{name} is not installed')
    return path


def tools_part(guest_lab):
    """busybox and the other tools, and the init of test/guest."""
    init = os.path.join(lab.TOP, 'test', 'guest', 'init')
    busybox = which('busybox')
    programs = [which(name) for name in TOOLS]

    def fill(root):
        for folder in ('bin', 'sbin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'root', 'run', 'var/log'):
            os.makedirs(os.path.join(root, folder))
        os.symlink('../run', f'{root}/var/run')
        place(root, busybox, '/bin/busybox')
        for applet in APPLETS:
            os.symlink('busybox', f'{root}/bin/{applet}')
        for program in programs:
            name = os.path.basename(program)
            if os.path.lexists(f'{root}/bin/{name}'):
                os.unlink(f'{root}/bin/{name}')
            place_program(root, program, f'/bin/{name}')
        os.symlink('dash', f'{root}/bin/sh')
        for name in ('modprobe', 'rmmod', 'modinfo', 'lsmod', 'depmod'):
            os.symlink('../bin/kmod', f'{root}/sbin/{name}')
        place(root, init, '/init')
        os.chmod(f'{root}/init', 0o755)
    return cached(guest_lab, 'tools', (stamps([busybox, init, *programs]), TOOLS, APPLETS), fill)


def with_dependencies(kernel, names):
    """Files of the kernel's modules, with what they need; those built in are left out."""
    needs = {}
    for path in glob.glob(os.path.join(glob.escape(kernel.modules), '**', '*.ko*'), recursive=True):
        needs[os.path.basename(path).split('.ko')[0].replace('-', '_')] = path
    found, todo = {}, [name.replace('-', '_') for name in names]
    while todo:
        name = todo.pop()
        if name in found or name not in needs:
            continue
        found[name] = needs[name]
        out = subprocess.run([which('modinfo'), '-F', 'depends', needs[name]], capture_output=True, text=True,
                             check=True).stdout
        todo += [other.replace('-', '_') for other in re.split(r'[,\s]+', out) if other]
    return found


def modules_part(guest_lab, kernel, ours):
    """Modules below /lib/modules, with what modprobe wants to know of them."""
    def fill(root):
        base = f'{root}/lib/modules/{kernel.version}'
        os.makedirs(base)
        for name in ('modules.builtin', 'modules.order', 'modules.builtin.modinfo'):
            if os.path.exists(os.path.join(kernel.modules, name)):
                shutil.copy(os.path.join(kernel.modules, name), base)
        for path in with_dependencies(kernel, KERNEL_MODULES).values():
            target = os.path.join(base, os.path.basename(path))
            shutil.copy(path, target)
            if path.endswith('.xz'):
                subprocess.run(['xz', '-d', target], check=True)
        for path in ours.values():
            os.makedirs(f'{base}/updates', exist_ok=True)
            shutil.copy(path, f'{base}/updates')
        subprocess.run([which('depmod'), '-b', root, kernel.version], check=True, capture_output=True)
    return cached(guest_lab, f'modules-{kernel.name}', (kernel.version, KERNEL_MODULES, stamps(ours.values())), fill)


def extra_part(guest_lab, kind, files, programs=()):
    """Files of a test's own: {path in the guest: path here}; programs come with their libraries."""
    def fill(root):
        for target, path in files.items():
            place(root, path, target)
        for path in programs:
            place_program(root, path)
    return cached(guest_lab, kind, (sorted(files.items()), stamps([*files.values(), *programs])), fill)


def initramfs(folder, parts):
    """One file of several parts."""
    path = os.path.join(folder, 'initrd.cpio')
    with open(path, 'wb') as out:
        for part in parts:
            with open(part, 'rb') as file:
                data = file.read()
            out.write(data + b'\0' * (-len(data) % 4))
    return path
