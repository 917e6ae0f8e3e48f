# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A program of this folder on libdpdk as a child process, that is told what to do, a line at a time."""
import os
import subprocess

import testpmd as lab


class Child:
    """eal: its arguments of EAL; more: its own. Its answers are few: they never fill a pipe."""

    _serial = 0

    def __init__(self, program, folder, name, eal, more=()):
        Child._serial += 1
        self.name = name
        self.prefix = f'vbusbench{os.getpid()}.{Child._serial}'
        argv = [program, '--no-pci', '--no-telemetry', '--file-prefix', self.prefix, *eal, *(['--', *more] if more else [])]
        self.log = os.path.join(folder, f'{name}-{Child._serial}.log')
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                            env=dict(os.environ, **lab.sanitizer_env()))
        lab.atexit.register(self.kill)

    def expect(self, word):
        """The rest of the next line that begins with a word."""
        for text in self.process.stdout:
            if text.startswith(word):
                return text[len(word):].split()
        with open(self.log, encoding='utf-8', errors='replace') as text:
            lab.fail(f'{self.name} ended (status {self.process.wait()}) before "{word}": {text.read()[-1500:]}')
        return None

    def send(self, text):
        self.process.stdin.write(text + '\n')
        self.process.stdin.flush()

    def ask(self, text, word):
        self.send(text)
        return self.expect(word)

    def quit(self):
        self.send('quit')
        if self.process.wait(20) != 0:
            lab.fail(f'{self.name} ended with status {self.process.returncode}')
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        lab.shutil.rmtree(lab.runtime_folder(self.prefix), ignore_errors=True)
        for name in lab.glob.glob(f'/dev/hugepages/{lab.glob.escape(self.prefix)}map_*'):
            os.unlink(name)
