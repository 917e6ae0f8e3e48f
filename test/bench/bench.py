# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What the benchmarks share: hugepages, awake CPUs, samples that are worth counting, tables.

On a shared virtual machine only ratios within one run mean something, and only of samples that were
taken under the same conditions: both processes had their CPU, and the CPUs were near each other (a
cache line's round trip between two virtual CPUs changes threefold from one moment to the next; they can
be brought near, cpus.c).
"""
import atexit
import glob
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import testpmd as lab  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CPUS = sorted(os.sched_getaffinity(0))
DESCRIPTORS = 1024
MEMORY = 512
APPLICATION = ['--burst=32', f'--txd={DESCRIPTORS}', f'--rxd={DESCRIPTORS}', '--nb-cores=1', '--no-flush-rx',
               '--total-num-mbufs=16384']
QUARTER = 0.25
OWN_CPU = 0.92
PULL = 100  # milliseconds


def hugepages(megabytes):
    """2 MiB pages for all processes, or fall back to none. What was raised is given back at the end."""
    folder = '/sys/kernel/mm/hugepages/hugepages-2048kB'
    need = megabytes // 2
    try:
        with open(f'{folder}/free_hugepages', encoding='ascii') as file:
            free = int(file.read())
        with open(f'{folder}/nr_hugepages', encoding='ascii') as file:
            total = int(file.read())
        if free < need:
            with open(f'{folder}/nr_hugepages', 'w', encoding='ascii') as file:
                file.write(str(total + need - free))
            atexit.register(lambda: open(f'{folder}/nr_hugepages', 'w', encoding='ascii').write(str(total)))
        with open(f'{folder}/free_hugepages', encoding='ascii') as file:
            enough = int(file.read()) >= need
        os.makedirs('/dev/hugepages', exist_ok=True)
        if enough and not os.path.ismount('/dev/hugepages'):
            enough = subprocess.run(['mount', '-t', 'hugetlbfs', 'none', '/dev/hugepages'], check=False).returncode == 0
        # Files of a vbus-dp that had to be killed.
        atexit.register(lambda: [os.unlink(name) for name in glob.glob(f'/dev/hugepages/vbusdp{os.getpid()}.*map_*')])
        return enough
    except OSError:
        return False


def want_hugepages(megabytes):
    """Only root asks for them; says what it is."""
    huge = os.geteuid() == 0 and hugepages(megabytes)
    print(f'memory: {"2 MiB hugepages" if huge else "4 KiB pages (no hugepages to be had)"}', flush=True)
    return huge


def spin(cpu):
    """(a child) Run only when nothing else wants the CPU."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # With autogroups the session counts, not the process: last among these too.
    os.setsid()
    for _ in range(10):
        try:
            with open('/proc/self/autogroup', 'w', encoding='ascii') as file:
                file.write('19')
            break
        except BlockingIOError:
            time.sleep(0.15)  # an ordinary user may write ten times a second
        except OSError:
            break
    end = time.monotonic() + 3600
    while time.monotonic() < end and os.getppid() != 1:
        for _ in range(10**6):
            pass


_spinners = []


def spinners():
    """A process per CPU that keeps it from going idle."""
    for cpu in CPUS[:2]:
        pid = os.fork()
        if pid == 0:
            try:
                spin(cpu)
            finally:
                os._exit(0)  # what the parent registered for its end is not ours
        _spinners.append(pid)
        atexit.register(os.kill, pid, signal.SIGKILL)


def compiled(folder, name, *flags):
    """A program of this folder, built into the test's own; None where there is no compiler."""
    program = os.path.join(folder, name)
    done = subprocess.run([os.environ.get('CC', 'cc'), '-D_GNU_SOURCE', '-O2', '-pthread',
                           os.path.join(HERE, f'{name}.c'), '-o', program, *flags],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f'{name} cannot be built: {done.stderr[-500:]}')
        return None
    return program


def runtimes(pid):
    """Nanoseconds that each thread of a process has run."""
    times = {}
    for tid in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{tid}/schedstat', encoding='ascii') as file:
                times[tid] = int(file.read().split()[0])
        except OSError:
            pass  # it has ended
    return times


def busy(pid, before, workers=1):
    """Nanoseconds that the workers-th busiest thread has run since then."""
    ran = sorted((now - before.get(tid, 0) for tid, now in runtimes(pid).items()), reverse=True)
    return ran[workers - 1] if len(ran) >= workers else 0


class Cpus:
    """What the two CPUs are worth now: cpus.c, up for the whole run."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, *map(str, CPUS[:2])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)

    def ask(self, text):
        self.process.stdin.write(text + '\n')
        self.process.stdin.flush()
        return self.process.stdout.readline().split()[1:]

    def look(self):
        """(distance in ns, speed of the first, of the second)"""
        return tuple(map(int, self.ask('look')))

    def pull(self):
        """Bring them near each other. Nothing else may keep them from going idle."""
        for pid in _spinners:
            os.kill(pid, signal.SIGSTOP)
        self.ask(f'pull {PULL}')
        for pid in _spinners:
            os.kill(pid, signal.SIGCONT)


class Sampler:
    """Takes quarter-second samples until enough of them count, at most three times as many."""

    def __init__(self, folder, near):
        program = compiled(folder, 'cpus') if near and len(CPUS) > 1 else None
        self.cpus = Cpus(program) if program else None
        self.near = near
        self.counted = self.taken = 0
        self.distances = []
        self.last, self.looked = None, 0.0

    def look(self):
        """Cpus.look(); zeros where nobody asked for it."""
        if not self.cpus:
            return 0, 0, 0
        self.last, self.looked = self.cpus.look(), time.monotonic()
        self.distances.append(self.last[0])
        return self.last

    def distance(self):
        return self.look()[0]

    def near_enough(self, *distances):
        return max(distances) <= (self.near or float('inf'))

    def wait_near(self, seconds):
        """Bring the CPUs near each other; are they? Before anything polls."""
        end = time.monotonic() + seconds
        while not self.near_enough(self.distance()):
            if time.monotonic() >= end:
                return False
            self.cpus.pull()
        return True

    def window(self, read, pids, seconds, workers=1):
        """[read(seconds), the least share of its CPU that a process had, the CPUs before, and after].
        workers: busy threads of a process."""
        before = self.last if self.last and time.monotonic() - self.looked < 0.01 else self.look()
        ran, begin = [runtimes(pid) for pid in pids], time.monotonic()
        figure = read(seconds)
        spent = (time.monotonic() - begin) * 1e9
        share = min(busy(pid, was, workers) for pid, was in zip(pids, ran)) / spent
        return [figure, round(share, 3), before, self.look()]

    def one(self, read, pids, seconds=QUARTER, workers=1):
        """One sample: (read(seconds), does it count, the larger distance)."""
        figure, share, before, after = self.window(read, pids, seconds, workers)
        distance = max(before[0], after[0])
        counts = share >= OWN_CPU and self.near_enough(distance)
        self.taken += 1
        self.counted += counts
        return figure, counts, distance

    def take(self, read, pids, seconds):
        """read(seconds) gives one figure. (The mean of those that count, True); of all, False when none does."""
        good, every = [], []
        want = max(1, round(seconds / QUARTER))
        while len(good) < want and len(every) < 3 * want:
            figure, counts, _ = self.one(read, pids)
            every.append(figure)
            if counts:
                good.append(figure)
        return statistics.mean(good or every), bool(good)

    def verdict(self):
        """One line on how good the samples are."""
        return f'{self.counted} of {self.taken} samples count (every process had {OWN_CPU:.0%} of its CPU{self.seen()})'

    def seen(self):
        """Of distances: what was asked for, and what there was."""
        if not self.distances:
            return ''
        return (f', CPUs within {self.near:.0f} ns; seen: {min(self.distances):.0f} to {max(self.distances):.0f} ns, '
                f'median {statistics.median(self.distances):.0f}')


def fair(by_name):
    """{name: [figures]} of {name: [(figure, does it count)]}: all that count when each contender has two of
    these, else all there are, for all: what counts and what does not is never compared. And which of it."""
    counting = {name: [figure for figure, counts in samples if counts] for name, samples in by_name.items()}
    if all(len(figures) >= 2 for figures in counting.values()):
        return counting, True
    return {name: [figure for figure, _ in samples] for name, samples in by_name.items()}, False


UNFAIR = 'Too few samples count: all are in the table, which is good for no more than a look.'


def dpdk_version():
    done = subprocess.run(['pkg-config', '--modversion', 'libdpdk'], capture_output=True, text=True, check=False)
    return done.stdout.strip() or 'unknown'


def machine():
    """Date, processor, kernel, DPDK, load: what has to stand beside a figure."""
    model = 'unknown CPU'
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        found = re.search(r'^model name\s*:\s*(.*)$', file.read(), re.M)
        model = found.group(1) if found else model
    head = subprocess.run(['git', '-C', lab.TOP, 'describe', '--always', '--dirty'], capture_output=True, text=True,
                          check=False).stdout.strip()
    return (f'{time.strftime("%Y-%m-%d %H:%M", time.gmtime())} UTC, {len(CPUS)} CPUs ({model}), '
            f'Linux {platform.release()}, DPDK {dpdk_version()}, load {os.getloadavg()[0]:.1f}, at {head or "unknown"}')


def median(samples):
    return statistics.median(samples)


def spread(samples, digits=1):
    """median (lowest - highest)"""
    return f'{median(samples):.{digits}f} ({min(samples):.{digits}f} - {max(samples):.{digits}f})'


def quartile(samples, which):
    """First (1) or third (3) quartile."""
    return statistics.quantiles(samples, n=4, method='inclusive')[which - 1] if len(samples) > 1 else samples[0]


def middle(samples, digits=1):
    """median (first - third quartile)"""
    return f'{median(samples):.{digits}f} ({quartile(samples, 1):.{digits}f} - {quartile(samples, 3):.{digits}f})'


def markdown(rows):
    """A table whose first row is its head."""
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join([lines[0], '| ' + ' | '.join('---' for _ in rows[0]) + ' |', *lines[1:]])
