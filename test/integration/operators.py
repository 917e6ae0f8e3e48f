#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""What operators look with: counters over HTTP, with clients that mean no good, the packet trace, and
completion of vbus-dp's own command line."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended
CTL = os.path.join(lab.BUILD, 'app', 'vbusctl', 'vbusctl')
FOLDER = lab.scratch()
CONFIG = """bus vm0 { socket = {folder}/vm0.sock  devices = { web0 } }
bus vm1 { socket = {folder}/vm1.sock  devices = { web1 } }
device web0 { class = venet  switch = br0 }
device web1 { class = venet  switch = br0 }
switch br0 { }
"""


def ctl(dp, *words):
    return subprocess.Popen([CTL, '-s', dp.control, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=vbusdp.environment())


class Endpoint:
    """vbusctl metrics --listen on a port that the kernel chooses."""

    def __init__(self, dp):
        self.process = ctl(dp, 'metrics', '--listen', '127.0.0.1:0')
        lab.atexit.register(self.process.kill)
        self.url = self.process.stdout.readline().strip()
        self.port = int(re.fullmatch(r'http://127\.0\.0\.1:(\d+)/metrics', self.url).group(1))

    def get(self, url=None, method='GET'):
        """(status, content type, body)"""
        request = urllib.request.Request(url or self.url, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers['Content-Type'], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers['Content-Type'], error.read().decode()

    def raw(self, data=b''):
        sock = socket.create_connection(('127.0.0.1', self.port), timeout=20)
        sock.sendall(data)
        return sock


def first_line(sock):
    data = b''
    while b'\n' not in data:
        more = sock.recv(4096)
        if not more:
            break
        data += more
    return data.split(b'\r\n')[0]


def scrape(dp):
    end = Endpoint(dp)
    status, kind, text = end.get()
    lab.check(status == 200 and kind.startswith('application/openmetrics-text; version=1.0.0'), f'GET: {status}, {kind}')
    lab.check(text.endswith('# EOF\n') and text.count('# EOF') == 1, f'{text.count(chr(10))} lines, to the end')
    printed = ctl(dp, 'metrics').communicate(timeout=60)[0]
    lab.check(families(text) == families(printed), 'the same families as vbusctl metrics prints')
    dashboard = os.path.join(lab.TOP, 'config', 'grafana-dashboard.json')
    with open(dashboard, encoding='utf-8') as file:
        asked = set(re.findall(r'\b(vbus_\w+)', ' '.join(expressions(json.load(file)))))
    known = families(text)
    missing = {name for name in asked if name.removesuffix('_total') not in known and name not in known}
    lab.check(asked and not missing, f'the dashboard asks for {len(asked)} metrics, all of them are there' if not missing
              else f'the dashboard asks for {sorted(missing)}, which are not there')
    return end


def families(text):
    return set(re.findall(r'^# TYPE (\S+)', text, re.M))


def expressions(node):
    """Every query of a dashboard."""
    if isinstance(node, dict):
        return [node[key] for key in node if key == 'expr'] + [e for value in node.values() for e in expressions(value)]
    if isinstance(node, list):
        return [e for value in node for e in expressions(value)]
    return []


def hostile(dp, end):
    base = end.url.removesuffix('/metrics')
    lab.check(end.get(base + '/')[0] == 404 and end.get(base + '/metricsx')[0] == 404, 'other paths: 404')
    lab.check(end.get(method='POST')[0] == 405, 'other methods: 405')
    lab.check(end.get(method='HEAD')[::2] == (200, ''), 'HEAD has no body')
    for what, data, answer in (('no HTTP', b'hello\r\n\r\n', b'HTTP/1.1 405'), ('one space', b'GET \n\n', b'HTTP/1.1 404'),
                               ('a request without end', b'GET /metrics ' + b'a' * 10000, b'HTTP/1.1 431'),
                               ('zeros', b'\0' * 5000, b'HTTP/1.1 431')):
        with end.raw(data) as sock:
            line = first_line(sock)
            lab.check(line.startswith(answer), f'{what}: {line.decode(errors="replace")}')
    # As many as it takes, all silent: an honest one waits until they are shown the door, no longer.
    crowd = [end.raw(b'GET /met') for _ in range(40)]
    begin = time.monotonic()
    lab.check(end.get()[0] == 200, f'behind a crowd of {len(crowd)} silent clients: 200 after '
              f'{time.monotonic() - begin:.1f} s')
    for sock in crowd:
        sock.close()
    with end.raw(b'GET /metrics HTTP/1.1\r\n\r\n') as sock:  # does not read its answer, and goes
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    lab.check(end.get()[0] == 200 and end.process.poll() is None, 'it serves on')
    dp.stop()
    time.sleep(0.5)  # longer than an answer is kept
    lab.check(end.get()[0] == 503, 'vbus-dp is away: 503')
    end.process.terminate()
    end.process.wait(20)
    for where, status in (('nonsense', 2), ('127.0.0.1:', 2), ('[::1', 2), ('1.2.3.4:9', 1)):
        done = ctl(dp, 'metrics', '--listen', where)
        _, said = done.communicate(timeout=60)
        lab.check(done.returncode == status and where in said, said.strip())


def trace(dp):
    """web0 says something to web1, of which the switch has never heard, and again when it has."""
    content = [b'\x02\0\0\0\0\x0b' + b'\x02\0\0\0\0\x0a' + bytes.fromhex('0800') + ip(number) for number in range(20)]
    pcap.write(os.path.join(FOLDER, 'in.pcap'), content)
    peers = [link.north(FOLDER, os.path.join(FOLDER, f'vm{number}.sock'), link=f'vm{number}', name=f'north{number}',
                        app=['--no-flush-rx'])
             for number in range(2)]
    for number, peer in enumerate(peers):
        peer.vbus = link.wait_ports(peer, [f'vbus:vm{number}.web{number}'])[f'vbus:vm{number}.web{number}']
        peer.wait_link(peer.vbus)
    traced = ctl(dp, 'trace', 'web0', '--every', '2', '--count', '10')
    lab.until(lambda: dp.ask('trace.read', device='web0').get('result') is not None, 20, 'the trace has begun')
    peers[0].command(f'port attach net_pcap0,rx_pcap={FOLDER}/in.pcap,tx_pcap={FOLDER}/out.pcap')
    other = link.wait_ports(peers[0], ['net_pcap0'])['net_pcap0']
    peers[0].command(f'port start {other}')
    peers[0].command(f'set portlist {peers[0].vbus},{other}')
    peers[0].command('start')
    out, said = traced.communicate(timeout=60)
    lines = out.splitlines()
    lab.check(traced.returncode == 0 and len(lines) == 10, f'10 of 20 frames: {lines[0] if lines else said}')
    lab.check(all('02:00:00:00:00:0a > 02:00:00:00:00:0b 10.0.0.1 > 10.0.0.2 udp' in line
                  and line.endswith('-> to all: address not learned') for line in lines), 'each with its verdict')
    done = ctl(dp, 'trace', 'nobody')
    done.communicate(timeout=60)
    lab.check(done.returncode == 1, 'no such device')
    for peer in peers:
        peer.command('stop')
        peer.quit()


def ip(number):
    """A UDP datagram to port 1000 + number; checksums are nobody's business here."""
    return (bytes.fromhex('4500002e000000004011' + '0000' + '0a000001' + '0a000002')
            + (7).to_bytes(2, 'big') + (1000 + number).to_bytes(2, 'big') + bytes(22))


def completion():
    script = os.path.join(lab.TOP, 'app', 'vbus-dp', 'vbus-dp.bash')

    def complete(*words):
        line = ' '.join(f"'{word}'" for word in ('vbus-dp', *words))
        text = f'. {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _vbus_dp; echo "${{COMPREPLY[@]}}"'
        return subprocess.run(['bash', '-c', text], capture_output=True, text=True, timeout=60, check=False).stdout.split()
    lab.check(complete('--lc') == ['--lcores'] and complete('--lcores', '0', '--', '--ch') == ['--check-config'],
              'completion of vbus-dp: EAL\'s arguments, and its own behind --')
    lab.check(complete('--', '--config', FOLDER[:-2]) == [FOLDER], 'and of files')


def main():
    completion()
    dp = vbusdp.VbusDp(FOLDER, CONFIG)
    trace(dp)
    hostile(dp, scrape(dp))


main()
