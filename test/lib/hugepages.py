# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What tests with several processes of one EAL family need: hugepages, the only memory that they share,
and mempools that mean the same to all of them.

Mempools name their kind by a number, given in the order in which a process loads the drivers of
mempools. Debian's testpmd is linked to one of them, so its numbers are not those of other programs.
"""
import os
import re
import shutil
import subprocess

import testpmd as lab

PAGES = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'


def need(megabytes):
    """Pages for the test, given back at its end."""
    lab.need_root()
    try:
        with open(PAGES, encoding='ascii') as file:
            before = int(file.read())
        with open(PAGES, 'w', encoding='ascii') as file:
            file.write(str(before + megabytes // 2))
        lab.atexit.register(lambda: open(PAGES, 'w', encoding='ascii').write(str(before)))
        with open(PAGES, encoding='ascii') as file:
            enough = int(file.read()) >= before + megabytes // 2
    except OSError as error:
        lab.skip(f'no hugepages: {error}')
    os.makedirs('/dev/hugepages', exist_ok=True)
    if not os.path.ismount('/dev/hugepages') and \
            subprocess.run(['mount', '-t', 'hugetlbfs', 'none', '/dev/hugepages'], check=False).returncode != 0:
        lab.skip('hugetlbfs cannot be mounted')
    if not enough:
        lab.skip(f'the machine has no {megabytes} MiB of hugepages to give')


def linked_pools(program):
    """Drivers of mempools that a program is linked to."""
    path = shutil.which(program)
    text = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout if path else ''
    return re.findall(r'librte_mempool_\S+ => (\S+)', text)
