# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""vbus-dp as a child process, for the integration tests: started with a configuration, asked by JSON-RPC."""
import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import testpmd as lab

PROGRAM = os.path.join(lab.BUILD, 'app', 'vbus-dp', 'vbus-dp')


def environment(**more):
    """Its own leaks are reported; those of DPDK's libraries and drivers are not ours."""
    env = dict(os.environ, UBSAN_OPTIONS='halt_on_error=1:print_stacktrace=1')
    env.setdefault('ASAN_OPTIONS', 'abort_on_error=1:detect_leaks=0')
    env.update(more)
    return env


def run(*arguments, timeout=60):
    """Without EAL arguments, to its end: (exit status, stdout, stderr)."""
    done = subprocess.run([PROGRAM, '--', *arguments], capture_output=True, text=True, timeout=timeout,
                          env=environment(), check=False)
    return done.returncode, done.stdout, done.stderr


class VbusDp:
    """One vbus-dp. config is a text that may name {folder}; lcores as EAL wants them."""

    _serial = 0

    def __init__(self, folder, config, lcores='0@0-1,1@0-1', eal=(), memory=256, huge=False, env=None, start=True,
                 program=PROGRAM):
        VbusDp._serial += 1
        self.folder = folder
        self.prefix = f'vbusdp{os.getpid()}.{VbusDp._serial}'
        self.config = os.path.join(folder, f'{self.prefix}.conf')
        self.control = os.path.join(folder, f'{self.prefix}.ctl')
        self.log = os.path.join(folder, f'{self.prefix}.log')
        self.write(config)
        argv = [program, '--lcores', lcores, '--no-pci', '--file-prefix', self.prefix]
        argv += ['-m', str(memory)] if huge else ['--no-huge', '-m', str(memory)]
        argv += [*eal, '--', '--config', self.config, '--control', self.control]
        self._id = 0
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                            env=environment(**(env or {})), start_new_session=True)
        atexit.register(self.kill)
        if start:
            self.wait_log(r'vbus-dp: serving ')

    def write(self, config):
        with open(self.config, 'w', encoding='utf-8') as file:
            file.write(config.replace('{folder}', self.folder))

    def text(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def give_up(self, why):
        tail = '\n'.join('    | ' + line for line in self.text().splitlines()[-40:])
        lab.fail(f'vbus-dp: {why}; the end of its log:\n{tail}')

    def wait_log(self, pattern, start=0, timeout=60):
        """Wait until pattern stands in the log after offset start."""
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern, re.M)
        while True:
            ended = self.process.poll() is not None
            found = expression.search(self.text(), start)
            if found:
                return found
            if ended:
                self.give_up(f'ended (status {self.process.returncode}) before /{pattern}/')
            if time.monotonic() > deadline:
                self.give_up(f'no /{pattern}/ within {timeout} s')
            time.sleep(0.01)

    def call(self, method, **params):
        """One JSON-RPC request on a connection of its own: the result; an error ends the test."""
        answer = self.ask(method, **params)
        if 'error' in answer:
            self.give_up(f'{method} {params}: {answer["error"]}')
        return answer['result']

    def ask(self, method, **params):
        self._id += 1
        request = {'jsonrpc': '2.0', 'id': self._id, 'method': method}
        if params:
            request['params'] = params
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(20)
            sock.connect(self.control)
            sock.sendall(json.dumps(request).encode() + b'\n')
            data = b''
            while not data.endswith(b'\n'):
                more = sock.recv(65536)
                if not more:
                    break
                data += more
        return json.loads(data)

    def drain(self):
        """As of a testpmd, whose log blocks it when nobody reads; this one's is a file."""

    def reload(self, config):
        """SIGHUP with another file; what the log says of it."""
        start = len(self.text())
        self.write(config)
        self.process.send_signal(signal.SIGHUP)
        # A request is answered only after the signal's handler has come to its end.
        self.wait_log(r'reading .* again', start)
        self.call('bus.list')
        return self.text()[start:]

    def drain(self):
        """Nothing to read: its log is a file."""

    def alive(self):
        return self.process.poll() is None

    def wait(self, timeout=30):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.give_up(f'still there after {timeout} s')
            return None

    def stop(self, sig=signal.SIGTERM):
        """By the front door: exit status 0."""
        if self.alive():
            self.process.send_signal(sig)
        status = self.wait()
        if status != 0:
            self.give_up(f'signal {sig} gave status {status}')
        self.forget()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self):
        shutil.rmtree(lab.runtime_folder(self.prefix), ignore_errors=True)
