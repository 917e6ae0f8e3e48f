#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# under-sanitizer: yes
"""vbus-dp changed and looked at while it serves: vbusctl and its exit codes, top, captures, metrics, hostile
clients; two peers on a switch that is made live."""
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import link  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402

CTL = os.path.join(lab.BUILD, 'app', 'vbusctl', 'vbusctl')
FOLDER = lab.scratch()
MAC = ['02:00:00:00:00:0a', '02:00:00:00:00:0b']


def ctl(dp, *words, status=0, socket_path=None):
    """Run vbusctl; its output. The exit status must be the one given."""
    argv = [CTL, '--socket', socket_path or dp.control, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=FOLDER,
                          env=vbusdp.environment())
    if done.returncode != status:
        lab.fail(f'vbusctl {" ".join(words)}: status {done.returncode}, not {status}: {done.stdout}{done.stderr}')
    if status != 0 and done.stderr.count('\n') != 1:
        lab.fail(f'vbusctl {" ".join(words)}: not one line on stderr: {done.stderr}')
    return done.stdout if status == 0 else done.stderr


def rows(dp, *words):
    answer = json.loads(ctl(dp, *words, '--json'))
    return next(value for value in answer.values() if isinstance(value, list))


def make(dp):
    """Everything by hand: a switch, two buses, two devices."""
    ctl(dp, 'switch', 'create', 'br0', 'ageing=60', 'size=1024')
    for number, mac in enumerate(MAC):
        ctl(dp, 'bus', 'create', f'vm{number}', f'socket={FOLDER}/vm{number}.sock')
        ctl(dp, 'device', 'create', f'web{number}', 'class=venet', f'mac={mac}', 'switch=br0')
        ctl(dp, 'device', 'attach', f'web{number}', f'vm{number}')
    lab.check([row['name'] for row in rows(dp, 'bus', 'list')] == ['vm0', 'vm1'], 'two buses')
    devices = rows(dp, 'device', 'list', 'switch=br0')
    lab.check([(row['mac'], row['bus'], row['link']) for row in devices]
              == [(MAC[0], 'vm0', False), (MAC[1], 'vm1', False)], 'two devices on them, nobody there')


def refusals(dp):
    for words, status, reason in (
            (('bus', 'create', 'vm0', 'connector=null'), 1, 'exists already'),
            (('bus', 'delete', 'vm0'), 1, 'devices are on it'),
            (('switch', 'delete', 'br0'), 1, 'devices are on it'),
            (('device', 'create', 'x', 'class=venet', 'switch=none'), 1, "no switch 'none'"),
            (('device', 'create', 'x', 'class=venet', 'colour=red'), 1, 'colour: unknown parameter'),
            (('device', 'create', 'x', 'class=venet', 'mtu=9999999'), 1, 'mtu: '),
            (('device', 'create', 'x', 'class=venet', 'mtu=big'), 2, "mtu: 'big' is not a number"),
            (('device', 'create', 'x', 'class'), 2, 'not KEY=VALUE'),
            (('device', 'create'), 2, 'name: missing'),
            (('device', 'attach', 'web0', 'vm1'), 1, 'on bus vm0 already'),
            (('device', 'attach', 'nobody', 'vm1'), 1, 'device nobody: there is none'),
            (('device', 'fly'), 2, 'no such command'),
            (('nothing',), 2, 'no such command'),
            ((), 2, 'a command is missing'),
            (('log', 'set', '*', 'loud'), 1, 'level: '),
            (('config', 'set'), 2, 'KEY=VALUE: missing'),
            (('config', 'set', 'mode=lazy'), 1, 'mode: '),
            (('config', 'set', 'idle=soon'), 2, "idle: 'soon' is not a number"),
            (('config', 'set', 'idle=0'), 1, 'idle: '),
            (('config', 'set', 'control=/nowhere/x.sock'), 1, 'control: '),
            (('config', 'set', f'control={FOLDER}/vm0.sock'), 1, 'vm0.sock'),
            (('config', 'set', 'colour=red'), 1, 'colour: unknown parameter'),
            (('save', '/dev/null'), 1, 'file: '),
            (('capture', 'nobody', 'x.pcapng'), 1, 'no such device'),
            (('capture', 'web0', 'x', '--count', '0'), 2, '--count'),
            (('top', '-d', 'x'), 2, '-d'),
            (('call', 'nothing'), 1, 'Method not found')):
        text = ctl(dp, *words, status=status)
        lab.check(reason in text, f'{" ".join(words)}: {status}, {text.strip()}')
    text = ctl(dp, 'version', status=3, socket_path=os.path.join(FOLDER, 'nobody'))
    lab.check('No such file' in text, f'nobody there: 3, {text.strip()}')
    lab.check(not [row for row in rows(dp, 'device', 'list') if row['name'] == 'x'], 'nothing came of it')
    lab.check('usage' in ctl(dp, '--help') and 'mac=02' in ctl(dp, 'device', 'create', '--help'), '--help')
    lab.check(ctl(dp, '--version').startswith('vbusctl ') and 'DPDK' in ctl(dp, 'version'), 'versions')


def counters(dp, name):
    return rows(dp, 'stats', name)[0]['port']


def traffic(dp, peers):
    """From the first peer to the second; who was heard is known."""
    for peer in peers:
        peer.wait_link(0)
    lab.check(all(row['link'] and row['open'] for row in rows(dp, 'device', 'list')), 'both links are up')
    peers[1].command('set fwd rxonly')
    peers[0].command('set fwd txonly')
    peers[0].command(f'set eth-peer 0 {MAC[1]}')
    peers[1].command('start')
    peers[0].command('start')
    lab.until(lambda: counters(dp, 'web1')['tx_packets'] > 1000, 20, 'frames through the switch')
    fdb = rows(dp, 'switch', 'fdb', 'br0')
    lab.check([(row['mac'], row['port']) for row in fdb] == [(MAC[0], 'web0')], f'the switch has learned: {fdb}')


def top(dp):
    answer = json.loads(ctl(dp, 'top', '-1', '-j'))
    rates = {row['name']: row for row in answer['devices']}
    lab.check(rates['web0']['rx_pps'] > 0 and rates['web1']['tx_pps'] > 0, f"top: {rates['web0']['rx_pps']} frames/s")
    usage = link.telemetry(dp, '/eal/lcore/usage')['/eal/lcore/usage']  # EAL asks us since 23.03
    lab.check(usage is None or 0 < sum(usage['busy_cycles']) <= sum(usage['total_cycles']), f'usage of EAL: {usage}')
    text = ctl(dp, 'top', '-1')
    lab.check(re.search(r'^LCORE ', text, re.M) and re.search(r'^web0 ', text, re.M) and '\033' not in text,
              'top -1 is a plain table')
    for how in ('q', 'Ctrl-C', 'SIGTERM'):
        master, slave = pty.openpty()
        child = subprocess.Popen([CTL, '-s', dp.control, 'top'], stdin=slave, stdout=slave, stderr=slave,
                                 env=vbusdp.environment(), preexec_fn=own_terminal)
        os.close(slave)
        seen = b''
        deadline = time.monotonic() + 20
        while seen.count(b'\033[H') < 2 and time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                seen += os.read(master, 65536)
        if how == 'SIGTERM':
            child.send_signal(signal.SIGTERM)
        else:
            os.write(master, {'q': b'q', 'Ctrl-C': b'\x03'}[how])
        lab.check(child.wait(10) == 0 and b'web0' in seen, f'top on a terminal ends by {how}')
        os.close(master)


def own_terminal():
    """In the child: a session with the terminal, so that Ctrl-C is a signal."""
    import fcntl  # pylint: disable=import-outside-toplevel
    import termios  # pylint: disable=import-outside-toplevel
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def metrics(dp):
    text = ctl(dp, 'metrics')
    lab.check(text.endswith('# EOF\n') and text.count('# EOF') == 1, f'metrics: {text.count(chr(10))} lines')
    for name, labels in (('vbus_port_rx_packets_total', 'port="web0",bus="vm0",switch="br0",lcore="1"'),
                         ('vbus_venet_rx_packets_total', 'device="web0",bus="vm0"'),
                         ('vbus_venet_tx_packets_total', 'device="web1",bus="vm1"'),
                         ('vbus_device_link_up', 'device="web1",bus="vm1"'),
                         ('vbus_bus_calls_total', 'bus="vm0"'),
                         ('vbus_switch_learned_total', 'switch="br0"'),
                         ('vbus_lcore_busy_cycles_total', 'lcore="1"')):
        found = re.search(rf'^{name}{{{re.escape(labels)}}} (\d+)$', text, re.M)
        lab.check(found and int(found.group(1)) > 0, f'{name}{{{labels}}} {found and found.group(1)}')
    families = re.findall(r'^# TYPE (\S+) ', text, re.M)
    lab.check(len(families) == len(set(families)) > 60, f'{len(families)} families, each once')


def blocks(path):
    """(type, body) of each block of a pcapng file."""
    with open(path, 'rb') as file:
        data = file.read()
    at, out = 0, []
    while at + 12 <= len(data):
        kind, length = (int.from_bytes(data[at + n:at + n + 4], 'little') for n in (0, 4))
        if length < 12 or data[at + length - 4:at + length] != data[at + 4:at + 8]:
            lab.fail(f'{path}: block at {at} is broken')
        out.append((kind, data[at + 8:at + length - 4]))
        at += length
    if at != len(data):
        lab.fail(f'{path}: cut at {at}')
    return out


def captures(dp):
    path = os.path.join(FOLDER, 'one.pcapng')
    ctl(dp, 'capture', 'web0', 'one.pcapng', '--count', '50')  # relative to where vbusctl runs
    frames = [body for kind, body in blocks(path) if kind == 6]
    lab.check(len(frames) >= 50, f'capture --count 50: {len(frames)} frames, a whole file')
    begin = time.monotonic()
    ctl(dp, 'capture', 'web1', path, '--seconds', '1')
    lab.check(1 <= time.monotonic() - begin < 15 and len(blocks(path)) > 2, 'capture --seconds 1')
    child = subprocess.Popen([CTL, '-s', dp.control, 'capture', 'web0', path], stdout=subprocess.PIPE,
                             env=vbusdp.environment())
    lab.until(lambda: rows(dp, 'capture', '--list'), 10, 'the capture is listed')
    lab.check('captured already' in ctl(dp, 'capture', 'web0', path, status=1), 'one capture per device')
    child.send_signal(signal.SIGINT)
    out = child.communicate(timeout=20)[0].decode()
    lab.check(child.returncode == 0 and 'frames in' in out, f'Ctrl-C ends it: {out.strip()}')
    lab.check(not rows(dp, 'capture', '--list') and len(blocks(path)) > 2, 'and the file is whole')


def hostile(dp):
    """Clients that hang, babble, never read: others are served, and traffic goes on."""
    held = []
    for number in range(24):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(dp.control)
        sock.setblocking(False)
        try:
            if number % 3 == 0:
                sock.send(b'{"jsonrpc":"2.0","method":')
            elif number % 3 == 1:
                sock.send(os.urandom(5000))
            else:
                for _ in range(2000):
                    sock.send(b'{"jsonrpc":"2.0","id":1,"method":"metrics"}\n')
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        held.append(sock)
    before = counters_late(dp)
    begin = time.monotonic()
    while counters_late(dp)['tx_packets'] == before['tx_packets']:
        if time.monotonic() - begin > 10:
            lab.fail('no traffic beside hostile clients')
    lab.check(dp.alive(), 'hostile clients: traffic goes on')
    for sock in held:
        sock.close()
    lab.check(len(rows(dp, 'device', 'list')) == 2, 'and everybody is served')
    text = ctl(dp, 'metrics')
    lab.check(re.search(r'^vbus_control_failed_requests_total [1-9]', text, re.M), 'they are counted')


def counters_late(dp):
    """All places may be taken for some seconds: try until there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return dp.call('device.stats', name='web1')['devices'][0]['port']
        except (OSError, ValueError):
            time.sleep(0.2)
    return lab.fail('no place among the clients within 20 s')


def hot(dp, peer):
    """A device comes and goes while frames run."""
    before = counters(dp, 'web1')['tx_packets']
    for number in range(5):
        ctl(dp, 'device', 'create', f'hot{number}', 'class=venet', 'switch=br0', 'bus=vm1')
    lab.until(lambda: all(f'vbus:vm1.hot{number}' in peer.command('show device info all') for number in range(5)),
              20, 'the peer has five devices more')
    for number in range(5):
        ctl(dp, 'device', 'detach', f'hot{number}')
        ctl(dp, 'device', 'delete', f'hot{number}')
    lab.check(len(rows(dp, 'device', 'list')) == 2 and counters(dp, 'web1')['tx_packets'] > before,
              'five devices came and went, frames went on')
    ctl(dp, 'device', 'set', 'web0', 'mtu=1400')
    lab.check(rows(dp, 'device', 'list', 'web0')[0]['mtu'] == 1400, 'another MTU, live')
    ctl(dp, 'device', 'set', 'web0', 'mtu=')
    lab.check(rows(dp, 'device', 'list', 'web0')[0]['mtu'] == 1500, 'and the default again')


def top_keys(dp):
    """Everything that stands in no section, while frames run."""
    def sleeps():
        return sum(row['sleeps'] for row in rows(dp, 'lcore', 'list'))

    def moved(what):
        before = counters(dp, 'web1')['tx_packets']
        lab.until(lambda: counters(dp, 'web1')['tx_packets'] > before + 100, 10, f'{what}: frames go on')
    lab.check(ctl(dp, 'config', 'get') == f'mode = busy\nidle = 1000\ncontrol = {dp.control}\n', 'config get')
    ctl(dp, 'config', 'set', 'mode=adaptive', 'idle=1')
    moved('mode=adaptive')
    lab.until(lambda: sleeps() > 0, 10, 'lcores sleep now')
    ctl(dp, 'config', 'set', 'mode=busy', 'idle=')

    def awake():
        """A sleep that began before is counted when it ends."""
        before = sleeps()
        moved('mode=busy')
        return sleeps() == before
    lab.until(awake, 10, 'and no more')
    was, dp.control = dp.control, os.path.join(FOLDER, 'moved.ctl')
    ctl(dp, 'config', 'set', f'control={dp.control}', socket_path=was)
    lab.check(not os.path.exists(was) and oct(os.stat(dp.control).st_mode & 0o777) == '0o600', 'the socket moves')
    answer = json.loads(ctl(dp, 'config', 'get', '--json'))
    lab.check(answer == {'mode': 'busy', 'idle': 1000, 'control': dp.control}, f'config get --json: {answer}')
    ctl(dp, 'config', 'set', f'control={was}')
    dp.control = was
    moved('and back')


def ageing(dp):
    """Another ageing time: the table stays, and what it counted."""
    before = rows(dp, 'switch', 'list', 'br0')[0]
    ctl(dp, 'switch', 'set', 'br0', 'ageing=90')
    after = rows(dp, 'switch', 'list', 'br0')[0]
    lab.check(after['ageing'] == 90 and before['learned'] > 0
              and [after[key] for key in ('learned', 'addresses')] == [before[key] for key in ('learned', 'addresses')],
              f'another ageing time, the same table: {after}')


def chosen(dp):
    """An address that vbus-dp chose lasts."""
    ctl(dp, 'device', 'create', 'any', 'class=venet')
    mac = rows(dp, 'device', 'list', 'any')[0]['mac']
    ctl(dp, 'device', 'set', 'any', 'mtu=1300')
    lab.check(rows(dp, 'device', 'list', 'any')[0]['mac'] == mac, f'chosen, and kept: {mac}')
    return mac


def save(dp):
    path = os.path.join(FOLDER, 'saved.conf')
    ctl(dp, 'save', 'saved.conf')
    lab.check(vbusdp.run('--config', path, '--check-config') == (0, '', ''), 'what was saved is a configuration')
    with open(path, encoding='utf-8') as file:
        return file.read()


def logs(dp):
    ctl(dp, 'log', 'set', 'vbus-dp.*', 'debug')
    levels = {row['type']: row['level'] for row in rows(dp, 'log', 'list')}
    lab.check(levels['vbus-dp.rpc'] == 'debug', 'log levels are set live')


def again(saved, macs):
    dp = vbusdp.VbusDp(FOLDER, saved)
    lab.check({row['name']: row['mac'] for row in rows(dp, 'device', 'list')} == macs
              and rows(dp, 'switch', 'list')[0]['size'] == 1024, 'started from what was saved: the same is there')
    dp.stop()


def completion(dp):
    script = os.path.join(lab.TOP, 'app', 'vbusctl', 'vbusctl.bash')

    def complete(*words):
        line = ' '.join(f"'{word}'" for word in ('vbusctl', '-s', dp.control, *words))
        text = (f'PATH={os.path.dirname(CTL)}:$PATH; . {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) + 2}; '
                '_vbusctl 2>/dev/null; echo "${COMPREPLY[@]}"')
        done = subprocess.run(['bash', '-c', text], capture_output=True, text=True, timeout=60, check=False,
                              env=vbusdp.environment())
        return done.stdout.split()
    lab.check('device' in complete('') and complete('bus', 'cr') == ['create'], 'completion of commands')
    lab.check(complete('device', 'create', 'x', 'mt') == ['mtu='], 'of keys')
    lab.check(complete('device', 'attach', 'we') == ['web0', 'web1'] and complete('device', 'attach', 'web0', 'vm')
              == ['vm0', 'vm1'], 'of names')


def main():
    dp = vbusdp.VbusDp(FOLDER, 'mode = busy\n')
    make(dp)
    refusals(dp)
    completion(dp)
    peers = [link.north(FOLDER, os.path.join(FOLDER, f'vm{number}.sock'), link=f'vm{number}', name=f'north{number}',
                        memory=256) for number in (0, 1)]
    traffic(dp, peers)
    top(dp)
    metrics(dp)
    captures(dp)
    hostile(dp)
    hot(dp, peers[1])
    logs(dp)
    top_keys(dp)
    ageing(dp)
    mac = chosen(dp)
    saved = save(dp)
    ctl(dp, 'device', 'delete', 'any')
    for peer in peers:
        peer.command('stop')
        peer.quit()
    lab.until(lambda: not any(row['link'] for row in rows(dp, 'device', 'list')), 10, 'the links are down')
    for number in (0, 1):
        ctl(dp, 'device', 'delete', f'web{number}')
        ctl(dp, 'bus', 'delete', f'vm{number}')
        lab.check(not os.path.exists(os.path.join(FOLDER, f'vm{number}.sock')), f'bus vm{number} and its socket are gone')
    ctl(dp, 'switch', 'delete', 'br0')
    lab.check(not rows(dp, 'device', 'list') and not rows(dp, 'bus', 'list') and not rows(dp, 'switch', 'list'),
              'everything taken down again')
    dp.stop()
    lab.check(not os.path.exists(dp.control), 'no control socket is left')
    again(saved, {'web0': MAC[0], 'web1': MAC[1], 'any': mac})


main()
