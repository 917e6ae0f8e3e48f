# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Stock dpdk-testpmd as a child process that is typed at: for the integration tests and benchmarks.

Every wait has a limit. Processes are ended by their own handle, never by name; files live in a
folder of the test's own, which goes at the end. EAL refuses plugins below a world-writable folder,
but runtime files and sockets may lie in /tmp.
"""
import atexit
import glob
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

# A test that takes too long gets SIGTERM; atexit, which ends what it started, does not run by itself then.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('VBUS_BUILD') or os.path.join(TOP, 'build')
PLUGINS = os.path.join(BUILD, 'drivers')
SKIP = 77


def skip(reason):
    """End the test as skipped: one line that says why, exit code 77."""
    print(f'skipped: {reason}', flush=True)
    sys.exit(SKIP)


def fail(reason):
    print(f'FAILED: {reason}', flush=True)
    sys.exit(1)


def check(condition, what):
    """A claim of the test: printed when it holds, the end when it does not."""
    if not condition:
        fail(what)
    print(f'ok: {what}', flush=True)


def need_root():
    if os.geteuid() != 0:
        skip('needs root')


def scratch():
    """A folder of this test's own, removed when the process ends."""
    folder = tempfile.mkdtemp(prefix='vbus-test.')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def runtime_folder(prefix):
    """Where EAL keeps what belongs to a process."""
    base = '/var/run' if os.geteuid() == 0 else os.environ.get('XDG_RUNTIME_DIR', '/tmp')
    return os.path.join(base, 'dpdk', prefix)


def sanitizer_env(build=BUILD):
    """What a stock program needs in its environment to load plugins built with ASan, else nothing."""
    plugin = os.path.join(build, 'drivers', 'librte_net_vbus.so')
    out = subprocess.run(['ldd', plugin], capture_output=True, text=True, check=False).stdout
    runtime = re.search(r'=> (\S*/libasan\.so\S*)', out)
    if not runtime:
        return {}
    # The distribution's testpmd is not instrumented: its own leaks are not ours to report.
    return {'LD_PRELOAD': runtime.group(1),
            'ASAN_OPTIONS': 'detect_leaks=0:abort_on_error=1:handle_segv=0:handle_sigbus=0:'
                            'verify_asan_link_order=0',
            'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1'}


class Testpmd:
    """One dpdk-testpmd. eal and app are lists of arguments; cpu pins all its threads, workers forward."""

    _serial = 0

    def __init__(self, folder, name, eal, app=(), cpu=None, memory=512, huge=False, prefix=None, start=True,
                 netns=None, workers=1):
        Testpmd._serial += 1
        self.name = name
        self.output = ''
        self.log = os.path.join(folder, f'{name}-{Testpmd._serial}.log')
        prefix = prefix or f'vbus{os.getpid()}.{Testpmd._serial}'
        self.prefix = prefix
        self.secondary = '--proc-type=secondary' in eal
        where = cpu if cpu is not None else '0-1'
        lcores = ','.join(f'{lcore}@{where}' for lcore in range(workers + 1))
        argv = ['dpdk-testpmd', '--lcores', lcores, '--no-pci', '--file-prefix', prefix, '-d', PLUGINS]
        argv += ['-m', str(memory)] if huge else ['--no-huge', '-m', str(memory)]
        argv += list(eal) + ['--', '-i'] + list(app)
        if netns:
            argv = ['ip', 'netns', 'exec', netns] + argv
        self.argv = argv
        env = dict(os.environ, **sanitizer_env())
        self._master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True, close_fds=True)
        os.close(slave)
        atexit.register(self.kill)
        if start:
            self.wait_prompt()

    def _read(self, timeout):
        """Append what comes within timeout seconds; False at its end."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b''
        if not data:
            return False
        text = data.decode(errors='replace').replace('\r', '')
        self.output += text
        with open(self.log, 'a', encoding='utf-8') as log:
            log.write(text)
        return True

    def wait_output(self, pattern, timeout=30, start=0):
        """Wait until pattern (regular expression) stands in the output after offset start."""
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern, re.M)
        while True:
            found = expression.search(self.output, start)
            if found:
                return found
            if time.monotonic() > deadline:
                self.give_up(f'no /{pattern}/ within {timeout} s')
            if not self._read(0.05):
                found = expression.search(self.output, start)
                if found:
                    return found
                self.give_up(f'ended (status {self.wait(5)}) before /{pattern}/')

    def stacks(self):
        """Where its threads are, when gdb is there to tell."""
        if not self.alive() or shutil.which('gdb') is None:
            return ''
        done = subprocess.run(['gdb', '-p', str(self.process.pid), '-batch', '-ex', 'thread apply all bt 12'],
                              capture_output=True, text=True, timeout=60, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith(('Thread', '#'))]
        return '\nits threads:\n' + '\n'.join('    | ' + line[:160] for line in lines[:120])

    def give_up(self, why):
        tail = '\n'.join('    | ' + line for line in self.output.splitlines()[-40:])
        fail(f'{self.name}: {why}; the end of its output:\n{tail}{self.stacks()}')

    def wait_prompt(self, timeout=60, start=0, ask_again=False):
        """Wait for a prompt after offset start. It is written letter by letter, other threads' lines may
        come in between: what looks like its end, and nothing after it for a while, will do. With
        ask_again, one that other lines have torn apart is asked for once more, by an empty line."""
        deadline = time.monotonic() + timeout
        quiet = time.monotonic()
        asked = False
        while 'testpmd> ' not in self.output[start:]:
            length = len(self.output)
            if not self._read(0.05):
                self.give_up(f'ended (status {self.wait(5)}) before its prompt')
            if len(self.output) != length:
                quiet = time.monotonic()
            elif time.monotonic() - quiet > 0.1 and re.search(r'> \s*$', self.output[start:]):
                return
            elif time.monotonic() - quiet > 3 and ask_again and not asked:
                self.send('')
                asked = True
            if time.monotonic() > deadline:
                self.give_up(f'no prompt within {timeout} s')
        if asked:
            self.drain(0.3)  # a command that was merely slow gives a second one

    def command(self, text, timeout=30):
        """Type a line; the output it gave, up to the next prompt."""
        start = len(self.output)
        self.send(text)
        self.wait_prompt(timeout, start, ask_again=True)
        return self.output[start:]

    def send(self, text):
        os.write(self._master, text.encode() + b'\n')

    def drain(self, seconds=0.0):
        """Read what is there (so that the pipe never fills)."""
        deadline = time.monotonic() + seconds
        while self._read(max(0.0, min(0.05, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                break
        return self.output

    def alive(self):
        return self.process.poll() is None

    def wait(self, timeout=20):
        """Wait for the end, reading along; its exit status, None when it did not end."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        while self.process.poll() is not None and self._read(0) and select.select([self._master], [], [], 0)[0]:
            pass
        return self.process.poll()

    def quit(self, timeout=30):
        """Leave by the front door; its exit status must be 0."""
        if self.alive():
            self.send('quit')
        status = self.wait(timeout)
        if status != 0:
            self.give_up(f'quit gave status {status}')
        self.close()

    def kill(self, sig=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            if sig == signal.SIGKILL:
                self.process.wait()
                self.close()

    def close(self):
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if self.secondary:
            return  # the primary goes on and needs them
        shutil.rmtree(runtime_folder(self.prefix), ignore_errors=True)
        # EAL leaves its files, and with them the pages are not given back.
        for name in glob.glob(f'/dev/hugepages/{glob.escape(self.prefix)}map_*'):
            os.unlink(name)

    def stats(self, port=0):
        """Basic statistics of a port as a dict of integers."""
        text = self.command(f'show port stats {port}')
        return {key.lower().replace('-', '_'): int(value)
                for key, value in re.findall(r'([RT]X-[a-z]+):\s*(\d+)', text)}

    def xstats(self, port=0):
        text = self.command(f'show port xstats {port}')
        return {key: int(value) for key, value in re.findall(r'^(\w+): (\d+)$', text, re.M)}

    def link_up(self, port=0):
        return 'Link status: up' in self.command(f'show port info {port}')

    def wait_link(self, port=0, up=True, timeout=10):
        """Wait for the link of a port; seconds it took."""
        begin = time.monotonic()
        while self.link_up(port) != up:
            if time.monotonic() - begin > timeout:
                self.give_up(f'link of port {port} not {"up" if up else "down"} within {timeout} s')
            time.sleep(0.005)
        return time.monotonic() - begin


def until(condition, timeout, what, step=0.02):
    """Wait for condition() to hold; seconds it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout:
            fail(f'not within {timeout} s: {what}')
        time.sleep(step)
    return time.monotonic() - begin
