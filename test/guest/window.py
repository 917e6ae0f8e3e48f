#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
"""A PCI function that has nothing but a mapped BAR: testpmd in the guest finds it, consumes and serves through it.

    window.py [uio|vfio|map|mem|doorbell|asleep]...

The function is 11da:2000 with a file of the host as BAR 2: it has no registers, no interrupt, and keeps none of the
guest's memory. The bus's scan makes a link of it, whether it is bound to uio_pci_generic or to vfio-pci. Then it is
named by a path, as on a board: map 0 of a UIO device (uio_netx makes one of the BAR), and /dev/mem at the BAR's
address. Frames of 60 to 1,514 bytes go from the host through the guest and back, equal in content and order, on the
link that the host serves; the one that the guest serves is up beside it.

Then the same by a function that has interrupts, QEMU's ivshmem-doorbell, with the host as the other peer of its server:
each end is interrupted by the other. At last a vbus-dp on each, which sleep: a frame goes from the host to the guest
on the one link and back on the other, and wakes all of them.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402
import guestdpdk  # noqa: E402
import guestlab  # noqa: E402
import guestnet  # noqa: E402
import ivshmem  # noqa: E402
import link  # noqa: E402
import pcap  # noqa: E402
import testpmd as lab  # noqa: E402
import vbusdp  # noqa: E402
import windowpci  # noqa: E402

COUNT = 2000
SIZE = 16 << 20
IVSHMEM = '0x1af4:0x1110'
DEVICE = {'doorbell': IVSHMEM}
# The line of an interrupt is gone with its driver: what it said while the program ran.
WATCH = 'while :; do grep vfio-msix /proc/interrupts >/tmp/now && mv /tmp/now /tmp/irqs; sleep 0.2; done'


def tmpfs(folder):
    """The lab's folder may be on a disk; a window is not."""
    where = os.path.join(folder, 'shm')
    os.mkdir(where)
    subprocess.run(['mount', '-t', 'tmpfs', 'none', where], check=True)
    lab.atexit.register(lambda: subprocess.run(['umount', '-l', where], check=False))
    return where


def named(machine, how):
    """The window as a path: of the function in the hands of uio_netx, or of no driver."""
    function = guestdpdk.bind(machine, 'uio', pages=120)
    where = f'/sys/bus/pci/devices/{function}'
    machine.run(f'echo {function} >{where}/driver/unbind')
    if how == 'map':
        machine.run(f'modprobe uio_netx; echo netx >{where}/driver_override; echo {function} >/sys/bus/pci/drivers/netx/bind')
        return '/dev/uio0'
    machine.run(f'echo 1 >{where}/enable')
    return f'/dev/mem@{machine.run(f"sed -n 3p {where}/resource").split()[0]},size={SIZE}'


def one(machine, south, how, frames, sink):
    """The function in the hands of one driver."""
    if how in guestdpdk.DRIVERS or how in DEVICE:
        function = guestdpdk.bind(machine, 'vfio' if how in DEVICE else how, 120, DEVICE.get(how, '0x11da:0x2000'))
        name, path = f'vbus:pci-{function.replace(":", "-").replace(".", "-")}', f'pci:{function}'
        eal = ['-a', f'{function},wait=10000']
    else:
        path, name = named(machine, how), 'vbus:w'
        eal = ['--no-pci', '-a', f'vbus:w,window={path},side=b,wait=10000']
    pmd = guestdpdk.GuestTestpmd(machine, eal=[*eal, '--vdev', f'net_vbus0,window={path},side=b,bus=mine,name=eth1'])
    name += '.eth0'
    ids = link.wait_ports(pmd, [name, 'net_vbus0'], 30)
    pmd.wait_link(ids[name])
    # testpmd forwards only when all of its ports are started.
    mine = link.wait_ports(south, ['vbus:w.eth1'], 30)['vbus:w.eth1']
    if f'Configuring Port {mine} ' not in south.output:
        south.command('port attach vbus:w.eth1')
    south.command('port start all')
    south.wait_link(mine, timeout=30)
    guestdpdk.there_and_back(south, pmd, ids[name], frames, sink, how)
    lab.check(pmd.link_up(ids['net_vbus0']), f'{how}: what the guest serves has a link as well')
    if how in DEVICE:
        interrupted(south)
    pmd.quit()


def interrupted(south):
    """The host by the guest's doorbell, both as the one who serves and the one who is served."""
    bus = link.telemetry(south, '/vbus/bus,serve')['/vbus/bus']
    consumed = link.telemetry(south, '/vbus/link,w')['/vbus/link']['north']
    for name, came in ('serves', bus['window_interrupts']), ('is served', consumed['nb_window_interrupts']):
        lab.check(came > 0, f'doorbell: the host was interrupted {came} times as the one who {name}')


# One device each way, and a testpmd at the host's end of both.
HOST = '''mode = adaptive
bus side {{ connector = window window = {where} side = a devices = {{ far }} }}
bus peer {{ socket = {{folder}}/peer.sock devices = {{ eth0, eth1 }} }}
device far {{ class = venet switch = out }}
device eth0 {{ class = venet switch = out }}
device eth1 {{ class = venet switch = back }}
switch out {{ }}
switch back {{ {ports} }}
'''
GUEST = '''mode = adaptive
switch br {{ ports = {{ '{far}' }} }}
bus side {{ connector = window window = pci:{function} side = b devices = {{ near }} }}
device near {{ class = venet switch = br }}
'''
NEAR = 'vbus:w.near'


def asleep(machine, folder, bell):
    """From one port of a testpmd to the guest and to the other port, and the other way: everybody sleeps meanwhile."""
    where = f'ivshmem:{bell}'
    dp = vbusdp.VbusDp(folder, HOST.format(where=where, ports=''),
                       eal=['-d', lab.PLUGINS, '-a', f'vbus:w,window={where},side=a,wait=0'])
    function = guestdpdk.bind(machine, 'vfio', 120, IVSHMEM)
    far = f'vbus:pci-{function.replace(":", "-").replace(".", "-")}.far'
    config = GUEST.format(far=far, function=function)
    machine.run(f"mkdir -p /run/vbus; cat >/tmp/dp.conf <<'E'\n{config}E")
    machine.run('export LD_LIBRARY_PATH=/opt/lib; setsid '
                f'{vbusdp.PROGRAM} --lcores 0@0-1,1@0-1 -m 128 -d /opt/vbus -a {function},wait=20000 '
                '-- --config /tmp/dp.conf </dev/null >/tmp/dp.log 2>&1 & echo $! >/tmp/dp.pid')
    lab.until(lambda: 'vbus-dp: serving ' in machine.run('cat /tmp/dp.log; kill -0 $(cat /tmp/dp.pid)'), 60,
              'vbus-dp in the guest')
    pmd = link.north(folder, os.path.join(folder, 'peer.sock'), wait=20000, app=['--total-num-mbufs=4096', '--no-flush-rx'])
    dp.reload(HOST.format(where=where, ports=f"ports = {{ '{NEAR}' }}"))
    for port in 0, 1:
        pmd.wait_link(port, timeout=30)
    pmd.command('set fwd rxonly')
    pmd.command('start')

    def counts():
        served = link.telemetry(dp, '/vbus/link,w')['/vbus/link']['north']
        return {'the guest': sum(int(word) for word in machine.run('grep vfio-msix /proc/interrupts').split()[1:3]),
                'the host, who serves,': link.telemetry(dp, '/vbus/bus,side')['/vbus/bus']['window_interrupts'],
                'the host, who is served,': served['nb_window_interrupts']}
    before = counts()

    def told():
        """What finds somebody awake needs no interrupt: again."""
        pmd.command('stop')
        frames = [pmd.stats(port)['rx_packets'] for port in (0, 1)]
        pmd.command('start tx_first 1')
        lab.until(lambda: all(pmd.stats(port)['rx_packets'] > frames[port] for port in (0, 1)), 30,
                  'asleep: frames come back from the guest on the other link, both ways')
        now = counts()
        return all(now[name] > before[name] for name in now)
    lab.until(told, 60, 'asleep: all are interrupted', step=0.2)
    for name, number in counts().items():
        lab.check(number > before[name], f'asleep: {name} was interrupted {number - before[name]} times by frames')
    pmd.quit()
    machine.run('kill $(cat /tmp/dp.pid)')
    lab.until(lambda: machine.status('kill -0 $(cat /tmp/dp.pid)')[1] != 0, 30, 'vbus-dp in the guest ends')
    dp.stop()


def main():
    guestnet.need_tools()
    guest_lab = guestlab.Lab()
    folder = guest_lab.folder()
    kernel = guest_lab.kernel('6.12')
    path, sock = os.path.join(tmpfs(folder), 'w'), os.path.join(folder, 'f.sock')
    with open(path, 'wb') as file:
        file.truncate(SIZE)
    windowpci.WindowFunction(sock, path)
    frames = pcap.frames(COUNT, 11, longest=1514)
    source, sink = (os.path.join(folder, f'{name}.pcap') for name in ('in', 'out'))
    pcap.write(source, frames)
    initrd = guestlab.initramfs(folder, guest.parts(guest_lab, kernel, {}, more=[
        guestdpdk.part(guest_lab), guestlab.extra_part(guest_lab, 'vbus-dp', {}, [vbusdp.PROGRAM])]))
    bell = os.path.join(folder, 'i.sock')
    ivshmem.Server(bell, path)
    machine = guest.Guest(guest_lab, kernel, folder, initrd, smp=2, memory=768, iommu=True,
                          devices=guest.vfio_user(guest_lab.inside(sock)) + guest.ivshmem(guest_lab.inside(bell)))
    for how in sys.argv[1:] or ('uio', 'vfio', 'map', 'mem', 'doorbell', 'asleep'):
        begin = lab.time.monotonic()
        if how == 'asleep':
            asleep(machine, folder, bell)
            print(f'    {how}: {lab.time.monotonic() - begin:.0f} s', flush=True)
            continue
        where = f'ivshmem:{bell}' if how in DEVICE else path
        host = ['--vdev', f'net_vbus0,window={where},side=a,size={SIZE},bus=serve,name=eth0',
                '-a', f'vbus:w,window={where},side=a,wait=0',
                '--vdev', f'net_pcap0,rx_pcap={source},tx_pcap={sink}']
        south = lab.Testpmd(folder, f'south-{how}', host, link.QUIET + ['--no-flush-rx', '--nb-cores=2'], workers=2)
        if how in DEVICE:
            machine.run(f'({WATCH}) </dev/null >/dev/null 2>&1 &')
        one(machine, south, how, frames, sink)
        if how in DEVICE:
            words = machine.run('cat /tmp/irqs').split()
            came = sum(int(word) for word in words[1:3])
            lab.check(came > 0, f'doorbell: the guest was interrupted {came} times: {" ".join(words)}')
        south.quit()
        os.unlink(sink)
        print(f'    {how}: {lab.time.monotonic() - begin:.0f} s', flush=True)
    machine.check_log('window')
    machine.power_off()


main()
