#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A guest with its console on ttyVB0 only: the kernel's log, agetty(8), login(1) with a password, a shell, logout.

All of it is typed and read at the host's pty. Programs and PAM modules are this machine's own.

    login.py [KERNEL]
"""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

CONFIG = '''
bus vm1 { socket = {folder}/vm1.sock  devices = { con } }
device con { class = serial  pty = {folder}/con }
'''
PASSWORD = 'let me in'
HASH = '$6$vbusvbus$3Z10k3.A44tvCD1J0ZUQ2pfBwbwtc0y0Dh8Eo8HgBD7R8IJFXTQEm/j0D19XmVN982qXkz1EFPsO3WxG4oR4j1'
MODULES = ('pam_unix.so', 'pam_deny.so')
FILES = {
    'passwd': 'root:x:0:0:root:/root:/bin/sh\nsomebody:x:1000:1000:Somebody:/:/bin/sh\n',
    'shadow': f'root:*:19000:0:99999:7:::\nsomebody:{HASH}:19000:0:99999:7:::\n',
    'group': 'root:x:0:\ntty:x:5:\nsomebody:x:1000:\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\n',
    'login.defs': 'LOG_OK_LOGINS no\nTTYGROUP tty\nTTYPERM 0600\nENV_PATH PATH=/bin:/sbin\n',
    'issue': 'a guest on \\l\n',
    'profile': 'PS1="@prompt "\n',
    'pam.d/login': 'auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_unix.so\n'
                   'password required pam_deny.so\n',
    'pam.d/other': 'auth required pam_deny.so\naccount required pam_deny.so\n',
}
PROMPT = r'^(\$|@prompt) '


def part(guest_lab, folder):
    """Getty, login, PAM, and who may log in."""
    files = {'/init.login': os.path.join(lab.TOP, 'test', 'guest', 'init.login')}
    for name, text in FILES.items():
        path = os.path.join(folder, 'etc', name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        files['/etc/' + name] = path
    programs = [guestlab.which(name) for name in ('agetty', 'login')]
    modules = [path for name in MODULES for path in glob.glob(f'/lib/*/security/{name}')]
    lab.check(len(modules) == len(MODULES), 'agetty, login and PAM are here')
    files['/bin/login'] = programs[1]
    files['/sbin/agetty'] = programs[0]
    return guestlab.extra_part(guest_lab, 'login', files, programs + modules)


def log_in(terminal, at, password):
    """The text from the name on."""
    terminal.wait(r'^guest login: ', at)
    at = terminal.type('somebody\r')
    terminal.wait(r'Password: ', at)
    return terminal.type(password + '\r')


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel(sys.argv[1] if len(sys.argv) > 1 else '6.12')
    folder = guest_lab.folder()
    dp = vbusdp.VbusDp(folder, CONFIG)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=[part(guest_lab, folder)]))
    terminal = serialport.Terminal(os.path.join(folder, 'con'))
    machine = guest.Guest(guest_lab, kernel, folder, initrd,
                          guest.vfio_user(guest_lab.inside(os.path.join(folder, 'vm1.sock'))), memory=256, start=False,
                          append='console=ttyVB0 loglevel=8 rdinit=/init.login', console='')
    terminal.wait(r'Linux version [^\n]*\r\n', timeout=180)
    terminal.wait(r'a guest on ttyVB0\r\n')
    lab.check(not machine.console_text().count('Linux version'), f'{kernel.version}: its log, and getty, on ttyVB0 and nowhere else')
    at = log_in(terminal, 0, 'let me not')
    terminal.wait(r'^Login incorrect\r\n', at)
    lab.check('let me' not in terminal.text, 'a wrong password is refused, and none is echoed')
    at = log_in(terminal, at, PASSWORD)
    terminal.wait(PROMPT, at)
    at = terminal.type('echo $LOGNAME on $(readlink /proc/self/fd/0) has $((6 * 7))\r')
    terminal.wait(r'^somebody on /dev/ttyVB0 has 42\r\n', at)
    terminal.wait(PROMPT, at)
    lab.check(True, 'login with a password, a command')
    at = terminal.type('exit\r')
    terminal.wait(r'^guest login: ', at)
    lab.check(True, 'logout, and the next getty')
    machine.kill()
    terminal.close()
    dp.stop()


main()
