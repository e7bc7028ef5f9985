# Written by: go test ./state/settings -run TestCompletions -update
_network_metrics_exporter() {
	local cur=$2 prev=$3 words
	# --flag=value is three words to bash.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $prev in
	--output | --state-dir | --leases | --hosts)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--checkpoint-interval | --conntrack-budget | --network | --interval | --online-window | --max-clients | --forget-after | --period-start | --port) return ;;
	--interface) words=$(cd /sys/class/net && echo *) ;;
	--accounting) words='sets rules flows off' ;;
	--log.level) words='debug info warn error' ;;
	--log.format) words='logfmt json' ;;
	--sort) words='traffic download upload month total connections seen new name address' ;;
	*)
		words='sample show check teardown'
		[[ $cur != -* ]] || words='--help --version --output= --state-dir= --checkpoint-interval= --conntrack-budget= --connections-by-protocol --no-connections-by-protocol --interface= --network= --accounting= --leases= --hosts= --reverse-dns --no-reverse-dns --interval= --wait --no-wait --online-window= --max-clients= --forget-after= --period-start= --log.level= --log.format= --json --no-json --sort= --addresses --no-addresses --port='
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -F _network_metrics_exporter network-metrics-exporter
