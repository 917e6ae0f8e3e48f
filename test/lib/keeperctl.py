# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""vbus-keeper for a test; it is ended with the test."""
import atexit
import os
import signal
import subprocess

import testpmd as lab
import vbusdp

PROGRAM = os.path.join(lab.BUILD, 'app', 'vbus-keeper', 'vbus-keeper')


class Keeper:
    """One in a folder, at its keeper.sock."""

    def __init__(self, folder):
        self.log = os.path.join(folder, 'keeper.log')
        socket = os.path.join(folder, 'keeper.sock')
        with open(self.log, 'wb') as out:
            self.process = subprocess.Popen([PROGRAM, '--socket', socket], stderr=out, env=vbusdp.environment(),
                                            start_new_session=True)
        atexit.register(self.process.kill)
        lab.until(lambda: os.path.exists(socket), 10, 'vbus-keeper listens')

    def text(self):
        with open(self.log, encoding='utf-8') as file:
            return file.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        lab.check(self.process.wait(10) == 0, 'vbus-keeper ends with status 0')
