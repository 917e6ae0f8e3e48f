# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A tool of DPDK that runs beside a program, as its secondary process, until it is interrupted."""
import os
import signal
import subprocess

import testpmd as lab


class Tool:
    """Started when this has returned: its log has that text."""

    def __init__(self, argv, log, started, preload=()):
        self.name, self.log = os.path.basename(argv[0]), log
        env = dict(os.environ, LD_PRELOAD=':'.join(preload)) if preload else None
        # A line at a time, since it does not write to a terminal.
        with open(log, 'wb') as file:
            self.process = subprocess.Popen(['stdbuf', '-oL', *argv], stdout=file, stderr=file, env=env,
                                            start_new_session=True)
        lab.atexit.register(self.kill)
        lab.until(lambda: started in self.text() or self.process.poll() is not None, 30, f'{self.name} has started')
        if self.process.poll() is not None:
            lab.fail(f'{self.name} ended, status {self.process.returncode}: {self.text()}')

    def text(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def interrupt(self):
        """End it as a user does."""
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            status = None
        lab.check(status == 0, f'{self.name} ends with status 0' if status == 0 else
                  f'{self.name}: status {status}: {self.text()}')
