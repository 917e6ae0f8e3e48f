# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# shellcheck shell=bash
#
# Completion of vbus-dp for bash: EAL's arguments before the --, its own behind it.

_vbus_dp()
{
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i own=no

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]}" = -- ] && own=yes
	done
	case $own,$before in
	yes,-c | yes,--config | yes,-s | yes,--control | yes,-k | yes,--keeper | no,-d | no,--huge-dir)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	yes,*)
		mapfile -t COMPREPLY < <(compgen -W '--config --control --keeper --check-config --help --version' -- "$cur")
		;;
	no,--iova-mode) mapfile -t COMPREPLY < <(compgen -W 'pa va' -- "$cur") ;;
	no,--lcores | no,-l | no,-m | no,--socket-mem | no,--file-prefix | no,--vdev | no,-a | no,-b | no,--log-level | no,--trace) ;;
	no,*)
		mapfile -t COMPREPLY < <(compgen -W '-- --lcores -l -m --socket-mem --no-huge --huge-dir --file-prefix
			--no-pci --vdev -a -b -d --iova-mode --log-level --trace --no-telemetry' -- "$cur")
		;;
	esac
}
complete -F _vbus_dp vbus-dp
