# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""The network of guests: vbus-dp whose switch they are ports of, a namespace behind its uplink, and what
is measured and compared between the two.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import guest
import guestlab
import netns
import testpmd as lab
import vbusdp

VBUSCTL = os.path.join(lab.BUILD, 'app', 'vbusctl', 'vbusctl')
MEGABYTES = 100
MTU = 9000
# One slow core each: what an emulated guest needs to have sent or received within the time.
SLOW = 240


def need_tools():
    lab.need_root()
    if not os.path.exists('/dev/net/tun'):
        lab.skip('no /dev/net/tun')
    for tool in ('ip', 'ping', 'iperf3', 'cpio', 'busybox', 'ethtool', 'kexec', 'depmod', 'modinfo', 'xz'):
        guestlab.which(tool)


def device_name(number, device=0):
    return f'g{number}eth{device}'


def mac(number, device=0):
    return f'02:00:00:00:{number:02x}:{device + 1:02x}'


def address(number):
    return f'{netns.NET}{100 + number}'


class Host:
    """vbus-dp with a bus per guest, a switch that all are ports of, and a namespace behind its uplink."""

    def __init__(self, guest_lab, guests=1, lcores='0@0-1,1@0-1', mode='adaptive', mtu=MTU, more=''):
        self.folder = guest_lab.folder()
        self.far = netns.Namespace('far', 1)
        config = f'mode = {mode}\nswitch br0 {{ ports = {{ net_tap0 }} }}\n'
        for number in range(1, guests + 1):
            config += f'bus g{number} {{ socket = {{folder}}/g{number}.sock devices = {{ {device_name(number)} }} }}\n'
            config += (f'device {device_name(number)} {{ class = venet mac = {mac(number)} mtu = {mtu} '
                       f'switch = br0 }}\n')
        self.dp = vbusdp.VbusDp(self.folder, config + more, lcores=lcores, memory=512,
                                eal=['--vdev', f'net_tap0,iface={self.far.tap}'])
        netns.run('ip', 'link', 'set', self.far.tap, 'netns', self.far.name)
        self.far.up(1500)  # what net_tap can
        self._lab = guest_lab

    def socket(self, number=1):
        """As QEMU sees it."""
        return self._lab.inside(os.path.join(self.folder, f'g{number}.sock'))

    def ctl(self, *arguments):
        """vbusctl, which must succeed; its output."""
        done = subprocess.run([VBUSCTL, '--socket', self.dp.control, *arguments], capture_output=True, text=True,
                              timeout=30, check=False)
        if done.returncode != 0:
            self.dp.give_up(f'vbusctl {" ".join(arguments)}: {done.stdout}{done.stderr}')
        return done.stdout

    def device(self, name):
        return self.dp.call('device.list', name=name)['devices'][0]

    def port(self, number=1):
        return self.dp.call('device.stats', name=device_name(number))['devices'][0]['port']

    def quiet(self, number=1):
        """The bus has no peer any more, and nothing of it is left."""
        row = self.dp.call('bus.list', name=f'g{number}')['buses'][0]
        return not row.get('connected', row.get('peer'))

    def stop(self):
        self.dp.stop()
        netns.run('ip', 'netns', 'del', self.far.name, check=False)


class Near:
    """A guest with an address, as netns.ping() and the others know a namespace."""

    def __init__(self, machine, number=1, dev='eth0'):
        self.guest, self.dev, self.address = machine, dev, address(number)

    def up(self, mtu=1500):
        # IPv6 takes its time to find out that its address is nobody else's, and sends while others measure.
        self.guest.run(f'echo 1 >/proc/sys/net/ipv6/conf/{self.dev}/disable_ipv6; ip link set {self.dev} mtu {mtu} up && '
                       f'(ip address show dev {self.dev} | grep -q {self.address}/ || '
                       f'ip address add {self.address}/24 dev {self.dev})')

    def carrier(self, timeout=20):
        self.guest.run(f'for i in $(seq {timeout * 10}); do [ "$(cat /sys/class/net/{self.dev}/carrier 2>/dev/null)" = 1 ] '
                       f'&& exit 0; sleep 0.1; done; exit 1', timeout + 20)

    def ping(self, there, count=10, size=56, interval='0.1'):
        """Packets that came back, and the mean round trip in milliseconds."""
        text, _ = self.guest.status(f'ping -n -c {count} -i {interval} -W 5 -s {size} -M do {there}', 60 + count * 2)
        got = re.search(r'(\d+) (?:packets )?received', text)
        mean = re.search(r'= [\d.]+/([\d.]+)/', text)
        return int(got.group(1)) if got else 0, float(mean.group(1)) if mean else 0.0

    def iperf(self, far, seconds, reverse=False, check=True):
        """TCP throughput with a server in the namespace, in Gbit/s as the receiver saw it; None: it broke."""
        server = far.spawn('iperf3', '-s', '-1', '-B', far.address)
        text = ''
        for _ in range(20):
            text, _ = self.guest.status(f'iperf3 -c {far.address} -t {seconds} -J --connect-timeout 5000'
                                        f'{" -R" if reverse else ""}', seconds + 60)
            if 'Connection refused' not in text:
                break
            lab.time.sleep(0.1)
        server.kill()
        server.wait()
        try:
            end = json.loads(text)['end']
            return end['sum_received']['bits_per_second'] / 1e9
        except (ValueError, KeyError):
            if check:
                self.guest.give_up(f'iperf3: {text[-1500:]}')
            return None


def blob(folder, megabytes=MEGABYTES):
    """A file of random bytes; its name and checksum."""
    path = os.path.join(folder, 'blob')
    digest = hashlib.sha256()
    with open(path, 'wb') as file:
        for _ in range(megabytes):
            data = os.urandom(1 << 20)
            digest.update(data)
            file.write(data)
    return path, digest.hexdigest()


def downloads(near, far, folder, what):
    """The guest fetches 100 MB from the namespace, then the namespace fetches them back."""
    path, want = blob(folder)
    server = far.spawn(sys.executable, netns.__file__, 'serve', folder, far.address)
    begin = lab.time.monotonic()
    near.guest.run(f'cd /tmp && for i in $(seq 50); do wget -q -O blob http://{far.address}:8080/blob && exit 0; '
                   f'sleep 0.1; done; exit 1', SLOW)
    seconds = lab.time.monotonic() - begin
    server.kill()
    server.wait()
    got = near.guest.run('sha256sum </tmp/blob', SLOW).split()[0]
    lab.check(got == want, f'{what}: {MEGABYTES} MB over HTTP to the guest, the checksum matches, '
              f'{MEGABYTES / seconds:.0f} MB/s')
    near.guest.run('httpd -p 8080 -h /tmp')
    text = far.exec(sys.executable, netns.__file__, 'fetch', f'http://{near.address}:8080/blob', timeout=SLOW, check=False)
    near.guest.run('killall httpd; rm -f /tmp/blob')
    os.unlink(path)
    found = re.search(r'([0-9a-f]{64}) ([\d.]+)', text)
    lab.check(bool(found) and found.group(1) == want, f'{what}: and back from the guest, '
              f'{found.group(2) if found else "0"} MB/s')


def traffic(near, far, what, seconds=2, mtu=1500):
    """ping with small and largest packets, TCP both ways."""
    near.ping(far.address, 2)
    got, mean = near.ping(far.address)
    lab.check(got == 10, f'{what}: ping, {got} of 10 came back, mean {mean} ms')
    got, _ = near.ping(far.address, 5, mtu - 28)
    lab.check(got == 5, f'{what}: ping with frames of {mtu + 14}')
    rates = [near.iperf(far, seconds, reverse) for reverse in (False, True)]
    lab.check(min(rates) > 0.005, f'{what}: TCP {rates[0]:.2f} Gbit/s from the guest, {rates[1]:.2f} to it')
    return rates


def load(machine, options='', ours=guestlab.MODULES):
    """Our modules, by name as udev's modprobe would have it."""
    del ours
    machine.run('modprobe vbus_pcibridge; modprobe vbus_venet ' + options, 60)
    machine.wait_path('/sys/class/net/eth0')


def boot(guest_lab, kernel, host, number=1, more=(), **options):
    """A guest on its bus of the host."""
    initrd = guestlab.initramfs(host.folder, guest.parts(guest_lab, kernel, more=more))
    return guest.Guest(guest_lab, kernel, host.folder, initrd, guest.vfio_user(host.socket(number), f'vbus{number}'),
                       name=f'guest{number}', **options)


def kernels(guest_lab, argv):
    """Those that are named, else all."""
    return [guest_lab.kernel(name) for name in argv or guest_lab.kernels]


def clean_up(host, machine):
    """Leave by the front door."""
    machine.power_off()
    host.stop()
    shutil.rmtree(host.folder, ignore_errors=True)
