#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""vbus-dp behind vbus-keeper is killed (SIGKILL) again and again, and twice ended by SIGTERM, under numbered frames.

A frontend's two ports are patched in vbus-dp: frames go in at one and come out of the other. None comes twice
or out of order, the ports stay up, and frames flow again soon after each new vbus-dp is ready; two of these are
another binary, as after an upgrade. A frontend that comes while there is no vbus-dp gets its ports from the next
one. VBUS_KEEPER_KILLS: how often (5).
"""
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import keeperctl  # noqa: E402
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

KILLS = int(os.environ.get('VBUS_KEEPER_KILLS', '2' if link.SANITIZED else '5'))
CONFIG = '''keeper = "{folder}/keeper.sock"
bus vm1 {
    socket = "{folder}/vm1.sock"
    devices = { a0, b0 }
}
device a0 { class = venet mac = 02:00:00:00:0a:00 patch = b0 }
device b0 { class = venet mac = 02:00:00:00:0b:00 }
'''
TYPE = 0x88b5  # for local experiments
IN, OUT = f'vbk{os.getpid() % 100000}i', f'vbk{os.getpid() % 100000}o'


class Frames:
    """Numbered frames into one interface, and what comes out of the other."""

    def __init__(self):
        self.tx, self.rx = (self._socket(name) for name in (IN, OUT))
        self.rx.settimeout(0.1)
        self.sent = 0
        self.got = []
        self.last = 0.0
        self.over = False
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _socket(name):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TYPE))
        sock.bind((name, TYPE))
        return sock

    def _send(self):
        head = b'\x02\0\0\0\x0b\0' + b'\x02\0\0\0\x0a\0' + struct.pack('>H', TYPE)
        while not self.over:
            try:
                self.tx.send(head + struct.pack('>Q', self.sent) + bytes(64))
                self.sent += 1
            except OSError:
                pass
            time.sleep(0.001)

    def _receive(self):
        while not self.over:
            try:
                data = self.rx.recv(2048)
            except TimeoutError:
                continue
            self.got.append(struct.unpack_from('>Q', data, 14)[0])
            self.last = time.monotonic()

    def flows(self, what, since):
        """Wait for ten frames that were sent from now on; seconds from `since` to the first one."""
        first = len(self.got)
        lab.until(lambda: len(self.got) > first, 30, f'{what}: a frame', step=0.001)
        seconds = time.monotonic() - since
        number = self.sent
        lab.until(lambda: self.got[-1] > number + 10, 30, f'{what}: frames', step=0.005)
        return seconds

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def another(folder):
    """vbus-dp and its library, of another build as far as anybody can tell: other places, contents and no build id."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(vbusdp.PROGRAM)))
    made = os.path.join(folder, 'other')
    for path in (vbusdp.PROGRAM, os.path.join(top, 'lib', 'libvbus.so.0')):
        target = os.path.join(made, os.path.relpath(path, top))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run(['objcopy', '--strip-all', '--remove-section=.note.gnu.build-id', path, target], check=True)
    return os.path.join(made, os.path.relpath(vbusdp.PROGRAM, top))


def main():
    lab.need_root()
    if not os.path.exists('/dev/net/tun'):
        lab.skip('needs /dev/net/tun')
    folder = lab.scratch()
    keeper = keeperctl.Keeper(folder)
    data_plane = vbusdp.VbusDp(folder, CONFIG)
    for path in (os.path.join(folder, 'keeper.sock'), link.socket_path(folder)):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        lab.check(mode == 0o600, f'{os.path.basename(path)}: {oct(mode)}')
    pmd = link.north(folder, link.socket_path(folder), app=['--no-flush-rx', '--nb-cores=1'],
                     eal=['--vdev', f'net_tap0,iface={IN}', '--vdev', f'net_tap1,iface={OUT}'])
    ids = link.wait_ports(pmd, ['vbus:vm1.a0', 'vbus:vm1.b0', 'net_tap0', 'net_tap1'])
    order = [ids[name] for name in ('net_tap0', 'vbus:vm1.a0', 'vbus:vm1.b0', 'net_tap1')]
    pmd.command('set portlist ' + ','.join(str(port) for port in order))
    pmd.command('set fwd io')
    pmd.command('start')
    for name in (IN, OUT):
        subprocess.run(['ip', 'link', 'set', name, 'up'], check=True)
    frames = Frames()
    frames.flows('at the start', time.monotonic())
    times = []
    programs = {KILLS: another(folder), KILLS + 1: another(folder)}
    for number in range(1, KILLS + 3):
        if number <= KILLS:
            data_plane.kill()
        else:
            data_plane.stop(signal.SIGTERM)
        lab.check(pmd.link_up(order[1]) and pmd.link_up(order[2]), f'{number}: both ports are up without vbus-dp')
        program = programs.get(number, vbusdp.PROGRAM)
        data_plane = vbusdp.VbusDp(folder, CONFIG, program=program)
        lab.check(os.readlink(f'/proc/{data_plane.process.pid}/exe') == program, f'{number}: {program} goes on')
        times.append(frames.flows(f'restart {number}', time.monotonic()))
        lab.check('refused' not in data_plane.text(), f'{number}: frames flow again')
    frames.end()
    times.sort()
    print(f'    first frame after "serving": median {times[len(times) // 2] * 1000:.0f} ms, longest {times[-1] * 1000:.0f} ms; {len(frames.got)} of {frames.sent} '
          'frames came', flush=True)
    lab.check(len(frames.got) == len(set(frames.got)), 'no frame came twice')
    lab.check(frames.got == sorted(frames.got), 'frames came in order')
    lab.check(len(frames.got) > 20 * KILLS, 'frames came between the kills')
    pmd.quit()
    # Nobody there: the keeper alone takes the client, the call waits.
    data_plane.kill()
    late = link.north(folder, link.socket_path(folder), wait=0)
    again = vbusdp.VbusDp(folder, CONFIG)
    link.wait_ports(late, ['vbus:vm1.a0', 'vbus:vm1.b0'], timeout=30)
    print('ok: a frontend that came without vbus-dp has its ports', flush=True)
    late.quit()
    again.stop()
    keeper.stop()
    lab.check('hold together' not in keeper.text(), 'no session was lost')
    lab.check(not os.path.exists(link.socket_path(folder)), 'no socket is left')


main()
