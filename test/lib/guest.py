# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""One guest under QEMU: commands on a serial line, its kernel's log, and QEMU's own control socket.

QEMU runs in the lab's tree by chroot, in software (TCG). It is ended by its process id, also when the
test is. Every wait has a limit.
"""
import atexit
import base64
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import guestlab
import testpmd as lab

# What a kernel says only when something is wrong with it. Lines about the processor's own faults do not
# appear: mitigations=off.
BAD = re.compile(r'WARNING|\bBUG\b|Oops|\bleak|lockdep|possible (circular|recursive) locking|inconsistent lock state|'
                 r'DMA-API|soft lockup|hard LOCKUP|stall|blocked for more than|Call Trace|general protection|'
                 r'UBSAN|KASAN|KCSAN|kmemleak|Unable to handle|unable to handle|Kernel panic|scheduling while atomic|'
                 r'refcount|[Bb]ad page|use-after-free|list_(add|del) corruption|swiotlb buffer is full|'
                 r'Object already free|Redzone|Poison|nobody cared|NETDEV WATCHDOG|transmit queue \d+ timed out|'
                 r'Unknown symbol|disagrees about version|DMAR:.*fault', re.M)
MEMORY = 512
PR_SET_PDEATHSIG = 1


def tidy(argument):
    """Before exec: QEMU goes when the test goes, whatever ended it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, argument)


def vfio_user(path, name='', timeout=None):
    """A bus of vbus-dp as a PCI function."""
    argument = {'driver': 'vfio-user-pci', 'rombar': 0, 'socket': {'type': 'unix', 'path': path}}
    if name:
        argument['id'] = name
    if timeout:
        argument['x-msg-timeout'] = timeout
    return ['-device', json.dumps(argument)]


def ivshmem(path):
    """Memory and interrupts that the server at this socket hands out, as a PCI function."""
    return ['-chardev', f'socket,id=ivshmem,path={path}', '-device', 'ivshmem-doorbell,chardev=ivshmem']


def vhost_user(path, name='vh0', mac='02:00:00:00:00:99', queue=1024):
    """virtio-net whose other side is a vhost-user backend's socket."""
    return ['-chardev', f'socket,id=c{name},path={path}', '-netdev', f'vhost-user,id=n{name},chardev=c{name}', '-device',
            f'virtio-net-pci,netdev=n{name},id={name},mac={mac},mrg_rxbuf=on,rx_queue_size={queue},'
            f'tx_queue_size={queue}']


class Guest:
    """kernel is a guestlab.Kernel, initrd a file in the lab, devices QEMU's arguments."""

    _serial = 0

    def __init__(self, guest_lab, kernel, folder, initrd, devices=(), name='guest', smp=1, memory=MEMORY, iommu=False,
                 append='', start=True, timeout=90, console='console=ttyS0'):
        Guest._serial += 1
        self.lab, self.kernel, self.folder = guest_lab, kernel, folder
        self.name = f'{name}{Guest._serial}'
        self.console = os.path.join(folder, f'{self.name}.console')
        self.errors = os.path.join(folder, f'{self.name}.qemu')
        self.output = ''
        self._number = 0
        self._ids = 0
        self._line = self._qmp = None
        self._events = []
        self._qmp_data = b''
        inside = guest_lab.inside
        base = inside(os.path.join(folder, self.name))
        argv = ['chroot', guest_lab.root, 'qemu-system-x86_64', '-nodefaults', '-vga', 'none', '-nographic', '-name',
                self.name, '-machine', 'q35,memory-backend=mem' + (',kernel-irqchip=split' if iommu else ''),
                '-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', str(memory), '-smp', str(smp),
                '-object', f'memory-backend-memfd,id=mem,size={memory}M,share=on',
                '-serial', f'file:{base}.console', '-chardev', f'socket,id=line,path={base}.line,server=on,wait=off',
                '-serial', 'chardev:line', '-qmp', f'unix:{base}.qmp,server=on,wait=off',
                '-kernel', inside(kernel.image), '-initrd', inside(initrd), '-append',
                f'{console} loglevel=5 panic=-1 oops=panic mitigations=off cryptomgr.notests no_timer_check {append}']
        if iommu:
            argv += ['-device', 'intel-iommu,caching-mode=on']
        self.argv = argv + list(devices)
        self._base = os.path.join(folder, self.name)
        with open(self.errors, 'wb') as errors:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            start_new_session=True, preexec_fn=lambda: tidy(signal.SIGKILL))
        atexit.register(self.kill)
        if start:
            self.connect()
            self.wait_ready(timeout=timeout)

    # ---- the serial lines ----

    def connect(self):
        """To its second serial line and its control socket, as soon as QEMU has made them."""
        self._line = self._open(f'{self._base}.line')
        self._qmp = self._open(f'{self._base}.qmp')
        self._qmp.settimeout(30)
        self._answer('QMP')
        self.qmp('qmp_capabilities')

    def _open(self, path):
        deadline = time.monotonic() + 20
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
                return sock
            except OSError:
                sock.close()
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.give_up(f'QEMU made no {os.path.basename(path)}')
            time.sleep(0.02)

    def _read(self, timeout):
        """Append what its second line brings; False at its end."""
        self._line.settimeout(timeout)
        try:
            data = self._line.recv(65536)
        except (socket.timeout, TimeoutError):
            return True
        except OSError:
            data = b''
        self.output += data.decode(errors='replace').replace('\r', '')
        return bool(data)

    def wait_output(self, pattern, start=0, timeout=60):
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern, re.M)
        while True:
            found = expression.search(self.output, start)
            if found:
                return found
            if time.monotonic() > deadline:
                self.give_up(f'no /{pattern}/ within {timeout} s')
            if not self._read(0.5) and not expression.search(self.output, start):
                self.give_up(f'QEMU ended before /{pattern}/')

    def wait_ready(self, start=0, timeout=90):
        """Until it takes commands."""
        self.wait_output(r'^@ready$', start, timeout)

    def start(self, command):
        """Send a command; wait for it by finish()."""
        self._number += 1
        at = len(self.output)
        self._line.settimeout(30)
        self._line.sendall(f'{self._number} {base64.b64encode(command.encode()).decode()}\n'.encode())
        return self._number, at, command

    def finish(self, token, timeout=60, check=True):
        """(output, exit status) of a command that was started."""
        number, at, command = token
        found = self.wait_output(rf'^@{number} end (\d+)$', at, timeout)
        text = self.output[at:found.start()]
        text = text[text.index(f'@{number} begin\n') + len(f'@{number} begin\n'):]
        status = int(found.group(1))
        if check and status != 0:
            self.give_up(f'`{command[:200]}` gave status {status}:\n{text[-2000:]}')
        return text, status

    def run(self, command, timeout=60):
        """Its output; a status other than 0 ends the test."""
        return self.finish(self.start(command), timeout)[0]

    def type(self, text):
        """To a program that was started with the line as its own."""
        self._line.sendall(text.encode() + b'\n')

    def read(self, timeout):
        return self._read(timeout)

    def status(self, command, timeout=60):
        return self.finish(self.start(command), timeout, check=False)

    # ---- its kernel ----

    def console_text(self):
        with open(self.console, encoding='utf-8', errors='replace') as file:
            return file.read().replace('\r', '')

    def complaints(self, allowed=None):
        """Lines of its kernel's log, with all that reached the console, in which something is wrong."""
        text = self.console_text()
        if self.alive():
            text += self.run('dmesg')
        bad = []
        for line in text.splitlines():
            line = re.sub(r'^(<\d+>)?\[\s*[\d.]+\]\s*', '', line)
            if BAD.search(line) and not (allowed and re.search(allowed, line)) and line not in bad:
                bad.append(line)
        return bad

    def check_log(self, what='kernel log', allowed=None):
        bad = self.complaints(allowed)
        if bad:
            self.give_up(f'{what}: the kernel complains:\n' + '\n'.join('    ! ' + line for line in bad[:10]))
        print(f'ok: {self.name}: {what}: no warning, bug or leak', flush=True)

    def wait_path(self, path, timeout=20):
        self.run(f'for i in $(seq {timeout * 10}); do [ -e {path} ] && exit 0; sleep 0.1; done; exit 1', timeout + 20)

    # ---- QEMU ----

    def _answer(self, *keys):
        """The next answer of the control socket; events that come before are kept."""
        while True:
            while b'\n' in self._qmp_data:
                line, self._qmp_data = self._qmp_data.split(b'\n', 1)
                message = json.loads(line)
                if any(key in message for key in keys):
                    return message
                if 'event' in message:
                    self._events.append(message)
            data = self._qmp.recv(65536)
            if not data:
                self.give_up('QEMU closed its control socket')
            self._qmp_data += data

    def qmp(self, command, **arguments):
        self._qmp.sendall(json.dumps({'execute': command, 'arguments': arguments}).encode() + b'\n')
        answer = self._answer('return', 'error')
        if 'error' in answer:
            self.give_up(f'{command}: {answer["error"]}')
        return answer['return']

    def wait_event(self, name, timeout=30):
        """An event of QEMU that came since the last one of this name was waited for."""
        deadline = time.monotonic() + timeout
        while True:
            for number, event in enumerate(self._events):
                if event['event'] == name:
                    return self._events.pop(number)
            if time.monotonic() > deadline:
                self.give_up(f'no {name} from QEMU within {timeout} s')
            self.qmp('query-status')
            time.sleep(0.05)

    def reset(self, timeout=90):
        """As its reset button does; returns when the new kernel takes commands."""
        at = len(self.output)
        self.qmp('system_reset')
        self.wait_ready(at, timeout)

    def alive(self):
        return self.process.poll() is None

    def power_off(self, timeout=30):
        """By its own kernel; QEMU ends well."""
        self.start('poweroff -f')
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.give_up(f'still there {timeout} s after poweroff')
        if status != 0:
            self.give_up(f'QEMU ended with status {status}')
        self.close()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()

    def close(self):
        for sock in (self._line, self._qmp):
            if sock is not None:
                sock.close()

    def give_up(self, why):
        tail = [f'    | {line}' for line in self.output.splitlines()[-25:]]
        try:
            tail += ['its console:'] + [f'    | {line}' for line in self.console_text().splitlines()[-50:]]
            with open(self.errors, encoding='utf-8', errors='replace') as file:
                tail += ['QEMU said:'] + [f'    | {line}' for line in file.read().splitlines()[-10:]]
        except OSError:
            pass
        lab.fail(f'{self.name} ({self.kernel.version}): {why}; its last output:\n' + '\n'.join(tail))


def parts(guest_lab, kernel, ours=None, more=()):
    """The initramfs parts of a guest with our modules."""
    if ours is None:
        ours = guestlab.modules(guest_lab, kernel)
    return [guestlab.tools_part(guest_lab), guestlab.modules_part(guest_lab, kernel, ours), *more]
