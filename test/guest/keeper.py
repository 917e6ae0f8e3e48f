#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""vbus-dp behind vbus-keeper is killed under a guest that uses everything: the guest does not notice.

iperf3 between two venets, fio with checksums on two disks, numbered lines both ways over a serial port on a socket and
one on a pty, whose other ends stay open. vbus-dp dies by SIGKILL and starts again, VBUS_KILLS times (4); half
way the guest is reset while there is no vbus-dp. Every line comes once and in order, fio finds what it wrote,
TCP lives, no terminal hangs up, and the guest's log is clean.

    keeper.py [KERNEL]      VBUS_KILLS=200 for the long form
"""
import os
import random
import re
import select
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestlab  # noqa: E402
import keeperctl  # noqa: E402
import serialport  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

KILLS = int(os.environ.get('VBUS_KILLS', '4'))
LIMIT = 300
MODULES = ('vbus_pcibridge', 'vbus_venet', 'vbus_block', 'vbus_serial', 'vbus_rng')
CONFIG = '''keeper = "{folder}/keeper.sock"
mode = adaptive
idle = 1000
bus g1 { socket = {folder}/g1.sock devices = { a0, b0, disk, mem, sock, pty, rng0 } }
device a0 { class = venet mac = 02:00:00:00:0a:00 patch = b0 }
device b0 { class = venet mac = 02:00:00:00:0b:00 }
device disk { class = block file = {folder}/disk.img queues = 2 }
device mem { class = block memory = 16777216 }
device sock { class = serial listen = {folder}/sock hold = true }
device pty { class = serial pty = {folder}/pty hold = true }
device rng0 { class = rng }
'''
MIB = 1 << 20
FIO = ('fio --name=v --filename=%s --rw=randrw --bssplit=4k/60:64k/40 --verify=crc32c --verify_fatal=1 --verify_backlog=32 '
       '--direct=1 --ioengine=io_uring --iodepth=8 --size=8m --randseed=$i --minimal >/tmp/fio.%s 2>&1')
# A server of its own for each round: between two rounds iperf3's resets who comes.
TCP = ('{ ip netns exec far iperf3 -4 -s -1 >/tmp/iperf.server 2>&1 & s=$!; '
       'until ip netns exec far grep -q "00000000:1451 .* 0A " /proc/net/tcp; do sleep 0.1; done; '
       'iperf3 -c 10.9.0.2 -t 3 --connect-timeout 20000 >/tmp/iperf 2>&1 && wait $s; }')
# A host with other work stops a guest's CPU for seconds; that is no fault of its kernel.
PATIENCE = 'rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60'
SAID = 'rcu_cpu_stall_timeout'  # by the kernel, of the above
# Lines of a generation; those of an older one may still come, the first may be torn.
CHECK = ('$1 != "h" g { next } $2 == "end" { print "got", n; exit 0 } '
         '$2 != n + 1 { print "bad", n + 1, $0; exit 1 } { n++ }')


class Stream:
    """The host's end of a serial port: numbered lines both ways.

    What the host wrote and no guest has read waits for the next one, as in a wire's buffers. A guest that was reset has
    ports in the tty's first mode: what comes before its `stty` is echoed. So the host's lines have a letter of their own.
    """

    def __init__(self, folder, name):
        path = os.path.join(folder, name)
        self.name = name
        self.fd = (os.open(path, os.O_RDWR | os.O_NOCTTY) if name == 'pty' else serialport.connect(path).detach())
        os.set_blocking(self.fd, False)
        self.generation = 0
        self.sent = self.got = 0
        self.wrong = ''
        self.paused = True
        self.last_words = b''
        self.ended = False
        self.last = 0.0
        self.buffer = b''
        self.fresh = True
        self.cut = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def begin(self, generation):
        with self.lock:
            self.generation, self.sent, self.got, self.fresh, self.paused = generation, 0, 0, True, False
            self.cut = False

    def guest_is_reset(self):
        """Lines of it may still come, then what the next one's tty says before it begins."""
        with self.lock:
            self.paused = self.cut = True

    def write(self, data):
        while data:
            select.select([], [self.fd], [], 1)
            try:
                data = data[os.write(self.fd, data):]
            except BlockingIOError:
                self.read()

    def read(self):
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return
        except OSError as error:
            data, self.wrong = b'', str(error)
        if not data:
            self.wrong = self.wrong or 'hung up'
            self.ended = True
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b'\n')
        for line in lines:
            self.line(line.decode(errors='replace'))

    def line(self, line):
        found = re.fullmatch(r'(\d+) (\d+)', line)
        if found and int(found.group(1)) < self.generation:
            return
        if not found and (self.fresh or self.cut):
            return  # what the reset has cut off, and echoes
        if not found or int(found.group(1)) != self.generation or int(found.group(2)) != self.got + 1:
            self.wrong = self.wrong or f'{line!r} instead of {self.generation} {self.got + 1}'
            return
        self.fresh = False
        self.got += 1
        self.last = time.monotonic()

    def run(self):
        while not self.ended:
            with self.lock:
                words, self.last_words = self.last_words, b''
                self.write(words)
                if not self.paused:
                    self.sent += 1
                    self.write(f'h{self.generation} {self.sent}\n'.encode())
            if select.select([self.fd], [], [], 0.005)[0]:
                self.read()

    def end(self):
        """Let the guest's reader come to its end. @return lines sent"""
        with self.lock:
            self.paused = True
            self.last_words = f'h{self.generation} end\n'.encode()  # the thread writes: it reads meanwhile
            return self.sent


class Work:
    """What a guest does from one start to its reset."""

    def __init__(self, machine, streams, generation):
        self.machine, self.streams = machine, streams
        machine.run(f'for m in {" ".join(MODULES)}; do modprobe $m || exit 1; done', 60)
        machine.wait_path('/sys/class/net/eth1', 60)
        machine.run('echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip netns add far && ip link set eth1 netns far && '
                    'ip address add 10.9.0.1/24 dev eth0 && ip link set eth0 up && ip netns exec far sh -c '
                    '"ip link set lo up; ip address add 10.9.0.2/24 dev eth1; ip link set eth1 up"; rm -f /tmp/stop')
        loop = 'i=1; until [ -e /tmp/stop ]; do %s || { s=$?; cat %s; exit $s; }; i=$((i + 1)); done; echo rounds $i'
        commands = [loop % (TCP, '/tmp/iperf')]
        commands += [loop % (FIO % (disk_of(machine, name), name), f'/tmp/fio.{name}') for name in ('disk', 'mem')]
        commands.append(loop % ('head -c 64 /dev/hwrng >/tmp/rng', '/tmp/rng'))
        for stream in streams:
            port = serialport.port_of(machine, stream.name)
            machine.run(f'stty -F {port} raw -echo clocal')
            commands.append(f"awk -v g={generation} '{CHECK}' <{port}")
            commands.append(f'i=0; echo; until [ -e /tmp/stop ]; do for j in 1 2 3 4 5 6 7 8 9; do i=$((i + 1)); '
                            f'echo {generation} $i; done; sleep 0.01; done >{port}; echo wrote $i')
        self.count = len(commands)
        for stream in streams:
            stream.begin(generation)
        machine.run(''.join(f'{{ ({command}) >/tmp/out.{n} 2>&1; echo $? >/tmp/end.{n}; }} &\n'
                            for n, command in enumerate(commands)))
        lab.until(lambda: all(stream.got or stream.wrong for stream in streams), 120, 'lines of the guest')

    def finish(self):
        self.machine.run('touch /tmp/stop')
        sent = [stream.end() for stream in self.streams]
        text = self.machine.run(f'for n in $(seq 0 {self.count - 1}); do for t in $(seq {LIMIT}); do [ -s /tmp/end.$n ] && break; '
                                'sleep 1; done; echo "$n: $(cat /tmp/end.$n) $(tail -n 3 /tmp/out.$n | tr "\\n" " ")"; done', LIMIT * 3)
        rows = dict(re.findall(r'^(\d+): (.*)$', text, re.M))
        for number in range(self.count):
            lab.check(rows.get(str(number), '').startswith('0 '), f'in the guest: {rows.get(str(number), "nothing").strip()[:300]}')
        wrote = [int(number) for number in re.findall(r'wrote (\d+)', text)]
        for stream, lines, out in zip(self.streams, sent, wrote):
            lab.check(f'got {lines} ' in text, f'{stream.name}: {lines} lines to the guest, each once and in order')
            lab.until(lambda: stream.got >= out or stream.wrong, 120, f'{stream.name}: all lines of the guest')
            lab.check(not stream.wrong and stream.got == out, f'{stream.name}: {out} lines from the guest likewise {stream.wrong}')


def disk_of(machine, name):
    serialport.wait_guest(machine, f'grep -qlx {name} /sys/block/vbd*/device/name')
    return '/dev/' + machine.run(f'grep -lx {name} /sys/block/vbd*/device/name').split('/')[3]


def start(folder):
    """As a service manager does: again when the keeper was too late to answer, on a machine that stood still."""
    while True:
        dp = vbusdp.VbusDp(folder, CONFIG, start=False)
        lab.until(lambda: 'vbus-dp: serving ' in dp.text() or not dp.alive(), 120, 'vbus-dp serves, or ends')
        if dp.alive():
            return dp
        if 'keeper: Connection timed out' not in dp.text():
            dp.give_up('ended')
        dp.forget()


def main():
    guest_lab = guestlab.Lab()
    kernel = guest_lab.kernel((sys.argv[1:] or ['6.12'])[0])
    folder = guest_lab.folder()
    with open(os.path.join(folder, 'disk.img'), 'wb') as file:
        file.truncate(32 * MIB)
    keeper = keeperctl.Keeper(folder)
    dp = start(folder)
    streams = [Stream(folder, name) for name in ('sock', 'pty')]
    programs = guestlab.extra_part(guest_lab, 'keeper', {}, [guestlab.which('fio')])
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, more=[programs]))
    bus = guest.vfio_user(guest_lab.inside(os.path.join(folder, 'g1.sock')), 'vbus1')
    machine = guest.Guest(guest_lab, kernel, folder, initrd, bus, smp=2, memory=512, timeout=180,
                          append=PATIENCE)
    work = Work(machine, streams, 1)
    seed = int(os.environ.get('VBUS_SEED', time.time_ns() % 1000000))
    choice = random.Random(seed)
    times, began = [], time.monotonic()
    for number in range(1, KILLS + 1):
        time.sleep(choice.uniform(0, 0.4))
        dp.kill()
        if number == KILLS // 2:
            for stream in streams:
                stream.guest_is_reset()
            machine.reset(180)
            machine.check_log(f'{number} kills, then reset without vbus-dp', SAID)
            dp = start(folder)
            work = Work(machine, streams, 2)
            continue
        time.sleep(choice.uniform(0, 0.1))
        before = [stream.got for stream in streams]
        dp = start(folder)
        ready = time.monotonic()
        lab.until(lambda: all(s.got > b or s.wrong for s, b in zip(streams, before)), 120, f'kill {number}: lines of the guest')
        times.append(time.monotonic() - ready)
        lab.check(not any(s.wrong for s in streams), f'kill {number} (seed {seed}): {[s.wrong for s in streams]}')
        lab.check('cannot go on' not in dp.text() and 'refused' not in dp.text(), f'kill {number}: every device goes on')
    work.finish()
    machine.check_log(f'{KILLS} kills', SAID)
    lab.check('hold together' not in keeper.text(), f'{KILLS} kills in {time.monotonic() - began:.0f} s; lines flow '
              f'{sorted(times)[len(times) // 2] * 1000:.0f} ms after "serving", {max(times) * 1000:.0f} at most')
    machine.power_off(60)
    dp.stop()
    keeper.stop()


main()
