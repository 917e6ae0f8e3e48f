# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""Two network namespaces whose only way to each other is a pair of TAP ports of testpmd."""
import atexit
import functools
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading

import testpmd as lab

NET = '10.213.77.'


def run(*argv, timeout=60, check=True):
    """Run a command; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        lab.fail(f'{" ".join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}')
    return done.stdout


class Namespace:
    """One namespace; TAP is made in it by the testpmd that runs there."""

    def __init__(self, side, number):
        self.name = f'vbus-{side}-{os.getpid()}'
        self.address = f'{NET}{number}'
        self.tap = f'vtap{number}'
        run('ip', 'netns', 'add', self.name)
        atexit.register(run, 'ip', 'netns', 'del', self.name, check=False)
        self.exec('ip', 'link', 'set', 'lo', 'up')

    def exec(self, *argv, **more):
        return run('ip', 'netns', 'exec', self.name, *argv, **more)

    def up(self, mtu):
        self.exec('ip', 'link', 'set', self.tap, 'mtu', str(mtu), 'up')
        self.exec('ip', 'address', 'replace', f'{self.address}/24', 'dev', self.tap)

    def spawn(self, *argv, **more):
        """A server of the test's, ended with it."""
        child = subprocess.Popen(['ip', 'netns', 'exec', self.name, *argv], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, **more)
        atexit.register(child.kill)
        return child


def ping(here, there, count=10):
    """Packets that came back, and the mean round trip in milliseconds."""
    text = here.exec('ping', '-n', '-c', str(count), '-i', '0.1', '-W', '2', there.address, check=False)
    got = re.search(r'(\d+) received', text)
    mean = re.search(r'= [\d.]+/([\d.]+)/', text)
    return int(got.group(1)) if got else 0, float(mean.group(1)) if mean else 0.0


def iperf(here, there, seconds, reverse=False):
    """TCP throughput in Gbit/s as the receiver saw it, and the retransmissions."""
    server = there.spawn('iperf3', '-s', '-1', '-B', there.address)
    argv = ['iperf3', '-c', there.address, '-t', str(seconds), '-J', '--connect-timeout', '5000']
    text = ''
    for _ in range(20):
        text = here.exec(*argv, *(['-R'] if reverse else []), timeout=seconds + 30, check=False)
        if '"error"' not in text:
            break
        lab.time.sleep(0.1)
    server.kill()
    server.wait()
    rate = re.search(r'"sum_received".*?"bits_per_second":\s*([\d.e+]+)', text, re.S)
    again = re.search(r'"sum_sent".*?"retransmits":\s*(\d+)', text, re.S)
    if not rate:
        lab.fail(f'iperf3: {text[-1500:]}')
    return float(rate.group(1)) / 1e9, int(again.group(1)) if again else 0


def serve(folder, address):
    """HTTP server for a folder (run in a namespace by spawn)."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer((address, 8080), handler)
    threading.Thread(target=server.serve_forever).run()


def download(here, there, folder, megabytes):
    """Fetch a file of random bytes over HTTP; (its checksum is the one of the original, MB/s)."""
    path = os.path.join(folder, 'blob')
    if not os.path.exists(path):
        with open(path, 'wb') as file:
            for _ in range(megabytes):
                file.write(os.urandom(1 << 20))
    with open(path, 'rb') as file:
        want = hashlib.file_digest(file, 'sha256').hexdigest()
    server = there.spawn(sys.executable, __file__, 'serve', folder, there.address)
    text = here.exec(sys.executable, __file__, 'fetch', f'http://{there.address}:8080/blob', timeout=240, check=False)
    server.kill()
    server.wait()
    got = re.search(r'([0-9a-f]{64}) ([\d.]+)', text)
    return bool(got) and got.group(1) == want, float(got.group(2)) if got else 0.0


def fetch(url):
    """(run in a namespace) Print checksum and MB/s of what is there."""
    import time
    import urllib.request
    for _ in range(50):
        try:
            reply = urllib.request.urlopen(url, timeout=30)
            break
        except OSError:
            time.sleep(0.1)
    digest, size, begin = hashlib.sha256(), 0, time.monotonic()
    while data := reply.read(1 << 16):
        digest.update(data)
        size += len(data)
    print(digest.hexdigest(), f'{size / (time.monotonic() - begin) / 1e6:.1f}')


if __name__ == '__main__':
    {'serve': serve, 'fetch': fetch}[sys.argv[1]](*sys.argv[2:])
