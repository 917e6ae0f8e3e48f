#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What a careful administrator looks at: how the binaries are built, who may open what is made, what paths are taken,
and that no privilege is needed."""
import glob
import os
import re
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import chaos  # noqa: E402
import rawpeer  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

NOBODY = 65534


def readelf(path, *what):
    return subprocess.run(['readelf', '-W', *what, path], capture_output=True, text=True, check=True).stdout


def binaries():
    found = [path for path in glob.glob(os.path.join(lab.BUILD, 'app', '*', 'vbus*'))
             if os.path.isfile(path) and os.access(path, os.X_OK)]
    found += glob.glob(os.path.join(lab.BUILD, 'drivers', '*.so')) + glob.glob(os.path.join(lab.BUILD, 'lib', '*.so'))
    return sorted({os.path.realpath(path) for path in found if not path.endswith('.bash')})


def elf():
    paths = binaries()
    fortified = 0
    for path in paths:
        segments, dynamic, symbols = readelf(path, '-h', '-l'), readelf(path, '-d'), readelf(path, '-s', '--dyn-syms')
        faults = []
        if not re.search(r'Type:\s+DYN', segments):
            faults.append('no PIE')
        if 'GNU_RELRO' not in segments or not re.search(r'BIND_NOW|Flags:.*NOW', dynamic):
            faults.append('RELRO is not full')
        if not re.search(r'GNU_STACK.* RW ', segments):
            faults.append('the stack can be executed')
        if re.search(r'LOAD.* RWE ', segments):
            faults.append('a segment can be written and executed')
        if '__stack_chk_fail' not in symbols:
            faults.append('no stack protector')
        lab.check(not faults, f'{os.path.basename(path)}: hardened {" ".join(faults)}')
        fortified += bool(re.search(r'_chk(@|$)', symbols.replace('__stack_chk_fail', ''), re.M))
    lab.check(len(paths) >= 5 and fortified >= 3, f'{fortified} of {len(paths)} have calls of checked functions')


def modes(rig):
    dp = rig.dp
    dp.call('device.create', **{'name': 't', 'class': 'serial', 'listen': f'{rig.folder}/t.sock'})
    dp.call('config.save', file=f'{rig.folder}/saved.conf')
    for name in ('a.sock', 't.sock', os.path.basename(dp.control)):
        mode = stat.S_IMODE(os.stat(os.path.join(rig.folder, name)).st_mode)
        lab.check(mode == 0o600, f'{name}: {oct(mode)}')
    mode = stat.S_IMODE(os.stat(os.path.join(rig.folder, 'saved.conf')).st_mode)
    lab.check(mode & 0o022 == 0, f'saved.conf: {oct(mode)}, nobody else can write it')
    lab.check(not [name for name in os.listdir(rig.folder) if name.startswith('saved.conf.')], 'no half of it is left')


def paths(rig):
    """Files that a request names: absolute, no way around, nothing but files."""
    folder = rig.folder
    os.symlink('/etc/passwd', os.path.join(folder, 'link'))
    os.mkfifo(os.path.join(folder, 'fifo'))
    for path in ('saved.conf', '../saved.conf', f'{folder}/../x', f'{folder}/./x', f'{folder}//x', f'{folder}/link',
                 f'{folder}/fifo', '/dev/null', folder, f'{folder}/x\ny', f'{folder}/' + 'x' * 5000, '', '/',
                 f'{folder}/nowhere/x', f'{folder}/a.sock'):
        for method, more in (('config.save', {}), ('capture.start', {'name': 'a'})):
            answer = rig.dp.ask(method, file=path, **more)
            if 'error' not in answer:
                lab.fail(f'{method} {path!r}: served')
    lab.check(os.path.islink(os.path.join(folder, 'link')), 'paths that lead elsewhere: refused, all of them')
    for name in ('../x', 'a/b', '..', '', 'x' * 500, 'a b', 'a\n'):
        for method, more in (('bus.create', {'connector': 'null'}), ('device.create', {'class': 'rng'}),
                             ('switch.create', {})):
            if 'error' not in rig.dp.ask(method, name=name, **more):
                lab.fail(f'{method} {name!r}: served')
    lab.check(rig.dp.alive(), 'names that are paths: refused, all of them')


def ordinary_user():
    """Sockets in a folder of its own, memory without hugepages: that is all that it needs."""
    folder = lab.scratch()
    os.chmod(folder, 0o700)
    os.chown(folder, NOBODY, NOBODY)
    can = subprocess.run(['test', '-x', vbusdp.PROGRAM], user=NOBODY, group=NOBODY, extra_groups=[], check=False)
    if can.returncode != 0:
        print('    an ordinary user cannot reach this build: not tried', flush=True)
        return
    # As {user}: the arguments of VbusDp are those of its Popen but for the user.
    popen = subprocess.Popen

    def as_nobody(*arguments, **more):
        return popen(*arguments, user=NOBODY, group=NOBODY, extra_groups=[], **more)
    subprocess.Popen = as_nobody
    try:
        dp = vbusdp.VbusDp(folder, chaos.CONFIG, env={'XDG_RUNTIME_DIR': folder, 'HOME': folder})
    finally:
        subprocess.Popen = popen
    with open(f'/proc/{dp.process.pid}/status', encoding='utf-8') as status:
        text = status.read()
    lab.check(re.search(rf'^Uid:\s+{NOBODY}\s+{NOBODY}', text, re.M) and re.search(r'^CapEff:\s+0+$', text, re.M),
              'an ordinary user, without capabilities')
    first, second = (rawpeer.Peer(os.path.join(folder, f'{name}.sock')) for name in 'ab')
    stream = rawpeer.Stream(first, second, chaos.MAC['a'], chaos.MAC['b'])
    while stream.received < 1000:
        stream.pump()
    lab.check(dp.alive(), f'{stream.received} frames, all right')
    first.close()
    second.close()
    dp.stop()


def main():
    lab.need_root()
    elf()
    rig = chaos.Rig()
    modes(rig)
    paths(rig)
    rig.dp.stop()
    ordinary_user()


main()
