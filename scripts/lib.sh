# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# shellcheck shell=bash disable=SC2034 # what it sets is used by who sources it
#
# What scripts/demo and scripts/check share: installing what is missing, building, hugepages.
# Source it; it only defines functions and a few variables, and sets no shell option.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian packages: to build, and to test. iperf3 and the others of the second line are used by tests.
packages_build='gcc libc6-dev meson ninja-build pkg-config libdpdk-dev dpdk dpdk-dev libconfuse-dev liburing-dev
libjansson-dev libnuma-dev dpkg-dev xz-utils'
packages_test='libcunit1-dev iproute2 iputils-ping iperf3 tcpdump python3 ethtool procps clang clang-format
libclang-rt-dev valgrind shellcheck spin fio python3-pyelftools'

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

# The packages of the list that are not installed. A virtual name (libclang-rt-dev) counts as the
# versioned package that clang's own version needs.
missing_packages()
{
	local p
	for p in "$@"; do
		if [ "$p" = libclang-rt-dev ]; then
			p=$(clang_rt_package)
		fi
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || echo "$p"
	done
}

# Debian names the sanitizer runtimes after clang's major version.
clang_rt_package()
{
	local v
	v=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
	echo "libclang-rt-${v:-14}-dev"
}

# install_missing LIST...: as root by apt-get; otherwise says what is missing and returns 1.
install_missing()
{
	local missing
	# shellcheck disable=SC2046 # words
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	if ! is_root; then
		say "not installed, and only root can install it:" $missing
		return 1
	fi
	say "installing:" $missing
	[ -n "$(apt-cache policy meson 2>/dev/null)" ] && [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] ||
		apt-get update -qq || return 1
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends $missing >/dev/null; }
}

# The mirror that this machine's apt uses for its main archive, of Debian 12.
debian_mirror()
{
	apt-get indextargets --format "\$(CODENAME) \$(COMPONENT) \$(REPO_URI)" 'Created-By: Packages' |
		awk '$1 == "bookworm" && $2 == "main" {print $3; exit}'
}

# meson_options DIR OPTIONS...: what a folder was configured with last stands in it, so that demo and
# check, which want different options, can share one.
meson_options()
{
	local dir=$1 marker=$1/.vbus-options
	shift
	if ! [ -f "$dir/build.ninja" ]; then
		meson setup "$dir" "$top" "$@" || return 1
	elif [ "$(cat "$marker" 2>/dev/null)" != "$*" ]; then
		meson configure "$dir" "$@" || return 1
	fi
	echo "$*" >"$marker"
}

# build_tree DIR [meson options]: configure when needed, build. Its output is shown on failure.
build_tree()
{
	local dir=$1 log
	log=$(mktemp)
	if ! meson_options "$@" >"$log" 2>&1 || ! ninja -C "$dir" >>"$log" 2>&1; then
		tail -n 40 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# What the guest lab needs of the machine: it makes a Debian 13 tree, builds modules, packs initramfs files.
packages_guest='debootstrap busybox-static cpio make gcc libelf-dev xz-utils kmod kexec-tools sparse perl curl
iperf3 ethtool iproute2 iputils-ping dpdk-dev'

# What the demo uses beside them, for the kernel's traffic.
packages_demo='iproute2 iputils-ping iperf3'

# Where a person's build lies.
build_dir=${VBUS_BUILD:-$top/build}

# hugepages_want MEGABYTES: true when EAL can have them: root, 2 MiB pages, enough free ones (asks the
# kernel for more when it may). Pages asked for are given back by hugepages_restore.
hugepages_before=
hugepages_want()
{
	local want=$(($1 / 2)) dir=/sys/kernel/mm/hugepages/hugepages-2048kB free
	is_root && [ -w $dir/nr_hugepages ] || return 1
	mountpoint -q /dev/hugepages || { mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages; } ||
		return 1
	free=$(cat $dir/free_hugepages)
	if [ "$free" -lt "$want" ]; then
		hugepages_before=$(cat $dir/nr_hugepages)
		echo $((hugepages_before + want - free)) >$dir/nr_hugepages
		free=$(cat $dir/free_hugepages)
	fi
	[ "$free" -ge "$want" ]
}

hugepages_restore()
{
	[ -z "$hugepages_before" ] ||
		echo "$hugepages_before" >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
	hugepages_before=
}
