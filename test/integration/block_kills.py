#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""vbus-dp is killed (SIGKILL) 20 times while two frontends write and flush records: nothing flushed is lost.

One disk is a file of this machine: its kernel survives, so what is shown is that a flush that was
acknowledged had its data handed over, and that a frontend gets its disk back and goes on. The other is
storage that forgets what was not flushed whenever vbus-dp is killed: the power fails with it.
"""
import os
import random
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import fusefile  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

KILLS = min(20, int(os.environ.get('VBUS_KILLS', '20')))
WRITER = os.path.join(lab.BUILD, 'test', 'unit', 'block', 'blk_writer')
RECORDS = 512
RECORD = 4096
BATCH = 8
CONFIG = '''
bus kept { socket = {folder}/kept.sock devices = { kept } }
device kept { class = block file = {folder}/kept.img }
'''
VOLATILE = '''
bus volatile { socket = {folder}/volatile.sock devices = { volatile } }
device volatile { class = block file = {folder}/volatile.img }
'''


class Writer:
    """blk_writer on the disk and bus of this name; how far it has got by its own words."""

    def __init__(self, folder, name):
        self.name, self.path = name, os.path.join(folder, f'{name}.img')
        argv = [WRITER, '--no-huge', '-m', '64', '--file-prefix', f'writer{os.getpid()}.{name}', '--no-pci', '--log-level',
                'error', '-l', '0', '-a', f'vbus:{name},socket={folder}/{name}.sock,wait=20000', '--', name, str(RECORDS)]
        self.errors = open(os.path.join(folder, f'{name}.err'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        env=vbusdp.environment(), start_new_session=True)
        lab.atexit.register(self.end)
        self.acknowledged = 0
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.acknowledged = int(line)

    def wait(self, number):
        lab.until(lambda: self.acknowledged >= number or self.process.poll() is not None, 60, '')
        if self.process.poll() is not None:
            self.errors.seek(0)
            lab.fail(f'{self.name}: the writer ended, status {self.process.returncode}: {self.errors.read()[-2000:]}')

    def check(self):
        """Each place holds a whole record, none older than what was acknowledged. @return that"""
        acknowledged = self.acknowledged
        with open(self.path, 'rb') as file:
            data = file.read(RECORDS * RECORD)
        for place in range(RECORDS):
            words = struct.unpack_from('<512Q', data, place * RECORD)
            number = words[0]
            newest = acknowledged - (acknowledged - place) % RECORDS
            if newest <= 0 and number == 0:
                continue
            if words != tuple(range(number, number + 512)) or number % RECORDS != place:
                lab.fail(f'{self.name}: place {place} holds no whole record: {words[:3]}')
            if not newest <= number <= acknowledged + 2 * BATCH:
                lab.fail(f'{self.name}: {acknowledged} are acknowledged, and place {place} holds {number} instead of {newest}')
        return acknowledged

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def hanging(folder, dp, writer, power, config):
    """Killed with writes in the kernel, which keep its lock of the file: its successor waits for them."""
    power.hold('write')
    lab.until(lambda: power.counts()['held'] > 0, 60, 'a write is under way')
    dp.process.kill()
    dp.process.wait()
    dp = vbusdp.VbusDp(folder, config, start=False)
    dp.wait_log('requests of a process that is gone')
    power.hold()
    dp.wait_log(r'vbus-dp: serving ')
    writer.wait(writer.acknowledged + 10 * BATCH)
    lab.check(dp.alive(), 'killed with a write under way: its successor waited for it, and serves')
    return dp


def main():
    folder = lab.scratch()
    lab.need_root()
    config = CONFIG
    with open(os.path.join(folder, 'kept.img'), 'wb') as file:
        file.truncate(RECORDS * RECORD)
    names, power = ['kept'], None
    if not fusefile.File.missing:
        power = fusefile.File(os.path.join(folder, 'volatile.img'), RECORDS * RECORD)
    if power and not power.missing:
        config += VOLATILE
        names.append('volatile')
    else:
        print(f'not shown, for there is no storage to be told: power failures ({(power or fusefile.File).missing})', flush=True)
        power = None
    dp = vbusdp.VbusDp(folder, config)
    writers = [Writer(folder, name) for name in names]
    lost = 0
    for kill in range(1, KILLS + 1):
        for writer in writers:
            writer.wait(writer.acknowledged + random.randrange(5, 40) * BATCH)
        dp.process.kill()
        dp.process.wait()
        if power:
            lost += power.lose()['lost_pages']
        done = [f'{writer.check()} {writer.name}' for writer in writers]
        if kill % 5 == 0:
            print(f'    killed {kill} times: {", ".join(done)}', flush=True)
        dp = vbusdp.VbusDp(folder, config)
    lab.check(dp.alive(), f'killed {KILLS} times: no record that was acknowledged is lost or torn ({", ".join(done)})')
    if power:
        # Else the power would not have shown anything.
        lab.check(lost > 0, f'{lost} pages that were not flushed were')
        dp = hanging(folder, dp, writers[-1], power, config)
    for writer in writers:
        writer.wait(writer.acknowledged + 2 * RECORDS)
        lab.check(writer.end() == 0, f'{writer.name}: the frontend has gone on to {writer.acknowledged}')
        writer.check()
    dp.stop()
    if power:
        power.close()


main()
