#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
#
# A guest whose only console is a port of the bus, with a real getty on it, again and again, as an init has it.
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
chmod 755 / # an initramfs may be for root alone
echo guest >/proc/sys/kernel/hostname
modprobe vbus_pcibridge
modprobe vbus_serial
while [ ! -e /dev/ttyVB0 ]; do sleep 0.1; done
# A kernel that says something would say it in the middle of a line.
echo 2 >/proc/sys/kernel/printk
while :; do
	setsid agetty -L ttyVB0 vt100
done
