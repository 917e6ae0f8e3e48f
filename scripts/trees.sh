# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# shellcheck shell=bash disable=SC2154 # top is set by lib.sh
#
# Distributions beside the machine's own: Debian trees by debootstrap, in a cache folder outside of the tree
# (${VBUS_TREES:-~/.cache/vbus/trees}), from the mirror that this machine's apt uses. What runs in one has mounts
# and processes of its own, which end with it. Source it after scripts/lib.sh; whoever does needs root.

trees=${VBUS_TREES:-${XDG_CACHE_HOME:-$HOME/.cache}/vbus/trees}
trees_recipe=1 # another number makes every tree anew

# trees_ready: 77 says why there can be none.
trees_ready()
{
	is_root || { say "needs root (chroot, mounts)"; return 77; }
	install_missing debootstrap || { say "debootstrap cannot be installed"; return 77; }
	[ -n "$(debian_mirror)" ] || { say "apt knows no Debian archive here"; return 77; }
	unshare --mount --pid --fork true 2>/dev/null || { say "no mount namespaces here"; return 77; }
	mkdir -p "$trees/archives"
}

# Output only when it fails: its end.
tree_quietly()
{
	local log code
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null
	code=$?
	[ $code = 0 ] || tail -n "${VBUS_LOG_LINES:-40}" "$log" | sed 's/^/    | /' >&2
	rm -f "$log"
	return $code
}

# tree_run TREE COMMAND...: as root in it, with the machine's devices and the cache of packages.
# Variables that begin with VBUS_ go along.
tree_run()
{
	local tree=$1 archives=$trees/archives/${1##*/} keep=() v
	shift
	for v in ${!VBUS_*}; do
		case $v in VBUS_TREES | VBUS_BUILD) ;; *) keep+=("$v=${!v}") ;; esac
	done
	mkdir -p "$archives/partial"
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --propagation private --pid --fork --kill-child bash -c '
		tree=$1 archives=$2
		shift 2
		# A mount of its own: ip netns exec wants the root to be one.
		mount --bind "$tree" "$tree" && mount -t proc proc "$tree/proc" && mount --bind /sys "$tree/sys" && mount --rbind /dev "$tree/dev" &&
			mount -t tmpfs -o mode=755 run "$tree/run" && mkdir -p "$tree/run/lock" &&
			mount --bind "$archives" "$tree/var/cache/apt/archives" || exit 1
		exec chroot "$tree" "$@"
	' tree "$tree" "$archives" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive TERM=dumb "${keep[@]}" "$@"
}

# tree_unpack SUITE TREE: a fresh one, no more in it than Debian's minimum.
tree_unpack()
{
	local suite=$1 tree=$2 base=$trees/$1.tar
	if ! [ -f "$base" ]; then
		say "debootstrap: $suite"
		rm -rf --one-file-system "$base.d"
		tree_quietly debootstrap --variant=minbase --include=ca-certificates "$suite" "$base.d" \
			"$(debian_mirror)" || return 1
		# An archive that was frozen for reproducible runs is out of date by design.
		echo 'Acquire::Check-Valid-Until "false";' >"$base.d/etc/apt/apt.conf.d/90vbus"
		apt-config dump | grep -iE '^Acquire::[a-z]+::Proxy' >>"$base.d/etc/apt/apt.conf.d/90vbus"
		printf '#!/bin/sh\nexit 101\n' >"$base.d/usr/sbin/policy-rc.d"
		chmod 755 "$base.d/usr/sbin/policy-rc.d"
		tree_quietly tree_run "$base.d" sh -c 'rm -f /var/cache/apt/archives/*.deb; apt-get update -qq' || return 1
		tar -cf "$base.new" -C "$base.d" . && mv "$base.new" "$base" || return 1
		rm -rf --one-file-system "$base.d"
	fi
	rm -rf --one-file-system "$tree"
	mkdir -p "$tree" && tar -xf "$base" -C "$tree"
}

# tree_install TREE PACKAGE...: without what they recommend, and without waiting for the disk: trees can be made again.
tree_install()
{
	local tree=$1
	shift
	tree_quietly tree_run "$tree" apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
}

# tree_make NAME SUITE PACKAGE...: $trees/NAME, made anew when the list of packages is another. Packages of another
# architecture (PACKAGE:arm64) may be among them when tree_foreign names it.
tree_foreign=
tree_make()
{
	local name=$1 suite=$2 tree=$trees/$1 want
	shift 2
	want="$trees_recipe $suite $*"
	[ "$(cat "$tree/etc/vbus-tree" 2>/dev/null)" = "$want" ] && return
	tree_unpack "$suite" "$tree" || return 1
	[ -z "$tree_foreign" ] || tree_quietly tree_run "$tree" sh -c \
		"dpkg --add-architecture $tree_foreign && apt-get update -qq" || return 1
	say "$name: installing packages"
	tree_install "$tree" "$@" || return 1
	echo "$want" >"$tree/etc/vbus-tree"
}

# tree_copy TREE FOLDER: the files of this checkout that git knows, and new ones that it does not ignore. Folders that
# scripts/check builds in stay.
tree_copy()
{
	mkdir -p "$1/$2"
	find "$1/$2" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf --one-file-system {} +
	(cd "$top" && git ls-files -z --cached --others --exclude-standard |
		tar --null --ignore-failed-read -cf - -T - 2>/dev/null) | tar -xf - -C "$1/$2" --no-same-owner
}
