#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What the kernel's own tools say of guest/: each kernel's compiler with W=1, sparse with endianness
checked where the headers can, and checkpatch. None has anything to say.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guestlab  # noqa: E402
import testpmd as lab  # noqa: E402

# An out-of-tree module serves several kernels, and has no MAINTAINERS.
IGNORE = 'LINUX_VERSION_CODE,FILE_PATH_CHANGES'


def compilers(guest_lab, kernel):
    tree = os.path.join(guest_lab.folder(), 'w')
    guestlab.copy_sources(tree)
    text, status = guestlab.make(guest_lab, kernel, tree, '-j2', 'W=1', 'C=2', 'CHECK=sparse', 'CF=-D__CHECK_ENDIAN__')
    said = guestlab.warnings(text)
    if status != 0 or said:
        lab.fail(f'{kernel.version}:\n' + '\n'.join(said[:60] or text.splitlines()[-40:]))
    found = glob.glob(os.path.join(glob.escape(tree), 'guest', '**', '*.ko'), recursive=True)
    lab.check({os.path.basename(path)[:-3] for path in found} >= set(guestlab.MODULES),
              f'{kernel.version}: {len(found)} modules, W=1 says nothing')
    # Debian's newest headers leave out a script that make wants before it runs sparse.
    if 'checker-valid.sh: No such file' in text:
        print('    its headers are not made for sparse', flush=True)
    else:
        lab.check(text.count('  CHECK ') > len(found), f'{kernel.version}: sparse says nothing')
    shutil.rmtree(tree)


def compares_versions(line):
    """A complaint about `#if LINUX_VERSION_CODE >= KERNEL_VERSION(...)`: checkpatch takes both for constants."""
    found = re.match(r'(\S+?):(\d+): WARNING:CONSTANT_COMPARISON', line)
    if not found:
        return False
    with open(found.group(1), encoding='utf-8') as file:
        return 'KERNEL_VERSION(' in file.readlines()[int(found.group(2)) - 1]


def checkpatch(guest_lab):
    files = [path for path in glob.glob(os.path.join(lab.TOP, 'guest', '**', '*.[ch]'), recursive=True)
             if not path.endswith('.mod.c')]
    done = subprocess.run(['perl', os.path.join(guest_lab.cache, 'checkpatch', 'scripts', 'checkpatch.pl'), '--no-tree',
                           '--terse', '--no-summary', '--show-types', '--ignore', IGNORE, '-f', *sorted(files)],
                          capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if re.search(r'(ERROR|WARNING|CHECK):', line)
            and not compares_versions(line)]
    if said or 'checkpatch.pl' in done.stderr:
        lab.fail('checkpatch:\n' + '\n'.join(said or [done.stdout[-2000:] + done.stderr[-2000:]]).replace(lab.TOP + '/', ''))
    lab.check(len(files) > 5, f'checkpatch says nothing of {len(files)} files')


def dkms():
    """Every module that Kbuild builds is one that dkms installs, from where it lies, and the source tree has its folder."""
    def text(*names):
        with open(os.path.join(lab.TOP, 'guest', *names), encoding='utf-8') as file:
            return file.read()
    built = {}
    for folder in re.findall(r'(\w+)/', ' '.join(re.findall(r'^obj-m\s*[+:]=(.*)$', text('Kbuild'), re.M))):
        for name in re.findall(r'(\w+)\.o', ' '.join(re.findall(r'^obj-m\s*[+:]=(.*)$', text(folder, 'Kbuild'), re.M))):
            built[name] = folder
    conf = dict(re.findall(r'^(\w+\[\d+\])="(.*)"$', text('dkms.conf'), re.M))
    listed = {}
    for key, name in conf.items():
        if key.startswith('BUILT_MODULE_NAME'):
            number = key[key.index('['):]
            listed[name] = conf.get('BUILT_MODULE_LOCATION' + number)
            lab.check(conf.get('DEST_MODULE_LOCATION' + number), f'dkms.conf says where {name} goes')
    lab.check(listed == built and len(built) >= 6, f'dkms.conf has what is built: {" ".join(sorted(built))}')
    tree = os.path.join(lab.scratch(), 'root')
    subprocess.run(['make', '-s', '-C', os.path.join(lab.TOP, 'guest'), 'dkms-source', f'DESTDIR={tree}'], check=True,
                   env=dict(os.environ, MAKEFLAGS=''))
    top = glob.glob(os.path.join(tree, 'usr', 'src', 'vbus-*'))[0]
    missing = [folder for folder in [*built.values(), 'include'] if not os.path.isdir(os.path.join(top, folder))]
    lab.check(not missing, f'and its source tree has every folder {missing or ""}')


def main():
    guest_lab = guestlab.Lab()
    for tool in ('sparse', 'perl'):
        guestlab.which(tool)
    checkpatch(guest_lab)
    dkms()
    for kernel in guest_lab.kernels.values():
        compilers(guest_lab, kernel)


main()
