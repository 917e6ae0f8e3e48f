# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 vbus developers
# shellcheck shell=bash
#
# Completion of vbusctl for bash. Names of objects are asked of the vbus-dp that the line names.

# Names of a list: METHOD LIST-MEMBER-KEY
_vbusctl_names()
{
	vbusctl "${_vbusctl_options[@]}" --json "$@" 2>/dev/null |
		sed -n 's/^ *"name": "\([^"]*\)".*/\1/p'
}

_vbusctl_keys()
{
	case $1 in
	bus) echo 'connector= socket= window= size= side= devices=' ;;
	device) echo 'class= bus= mac= mtu= queues= switch= patch=' ;;
	switch) echo 'ports= ageing= size=' ;;
	config) echo 'mode= idle= control=' ;;
	esac
}

# The words that may stand here: after WORD1 WORD2 and N more
_vbusctl_words()
{
	local one=$1 two=$2 n=$3
	case $one in
	'') echo 'bus device switch config lcore stats top metrics capture trace console log save call version help' ;;
	stats) [ "$n" -gt 0 ] || { _vbusctl_names device stats; } ;;
	top) echo '-1 -d' ;;
	metrics) [ "$n" -gt 0 ] || echo '--listen' ;;
	trace) [ "$n" -gt 0 ] && echo '--every --count --seconds' || _vbusctl_names device stats ;;
	capture) [ "$n" -gt 0 ] && echo '--count --seconds' || { _vbusctl_names device stats; echo '--list --stop'; } ;;
	bus | device | switch | config | lcore | log)
		case "$one $two" in
		'bus ') echo 'create delete set list' ;;
		'device ') echo 'create delete set attach detach break list stats' ;;
		'switch ') echo 'create delete set list fdb' ;;
		'config ') echo 'get set' ;;
		'config set') _vbusctl_keys config ;;
		'config get') ;;
		'lcore ') echo list ;;
		'log ') echo 'set list' ;;
		'log set') [ "$n" = 1 ] && echo 'emergency alert critical error warning notice info debug' ;;
		*' create') [ "$n" = 0 ] || _vbusctl_keys "$one" ;;
		*' set') [ "$n" = 0 ] && _vbusctl_names "$one" list || _vbusctl_keys "$one" ;;
		'device attach') case $n in 0) _vbusctl_names device list ;; 1) _vbusctl_names bus list ;; esac ;;
		*) [ "$n" = 0 ] && _vbusctl_names "$one" list ;;
		esac
		;;
	esac
}

_vbusctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} i word one='' two='' n=0
	local -a _vbusctl_options=()

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | --socket)
			_vbusctl_options=(--socket "${COMP_WORDS[i + 1]}")
			i=$((i + 1))
			;;
		-*) ;;
		*)
			if [ -z "$one" ]; then
				one=$word
			else
				case $one in
				bus | device | switch | config | lcore | log)
					if [ -z "$two" ]; then two=$word; else n=$((n + 1)); fi
					;;
				*) n=$((n + 1)) ;;
				esac
			fi
			;;
		esac
	done
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-s | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	if [[ $one = save || ($one = capture && $n -gt 0 && $cur != -*) ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$(_vbusctl_words "$one" "$two" "$n")
		$([ -n "$cur" ] && echo '--json --socket --help --version')" -- "$cur")
	# A key waits for its value.
	[[ ${#COMPREPLY[@]} = 1 && ${COMPREPLY[0]} = *= ]] && compopt -o nospace
}
complete -F _vbusctl vbusctl
