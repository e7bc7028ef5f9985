# Written by: go test ./state/settings -run TestCompletions -update
complete -c network-metrics-exporter -f
complete -c network-metrics-exporter -n __fish_use_subcommand -a sample -d 'Take one sample with exactly these flags, save it and replace the file. This is what timers and cron run.'
complete -c network-metrics-exporter -n __fish_use_subcommand -a show -d 'Print the same numbers as a table. Reads only, saves nothing.'
complete -c network-metrics-exporter -n __fish_use_subcommand -a check -d 'Examine this machine: say what works, what does not, and how to fix it.'
complete -c network-metrics-exporter -n __fish_use_subcommand -a teardown -d 'Remove every nftables object that this program created, and nothing else.'
complete -c network-metrics-exporter -s h -l help -d 'Print a help'
complete -c network-metrics-exporter -l version -d 'Print the version'
complete -c network-metrics-exporter -l output -rF -d 'The file to replace, which node_exporter has to find'
complete -c network-metrics-exporter -l state-dir -rF -d 'Directory of totals, names and the previous sample'
complete -c network-metrics-exporter -l checkpoint-interval -x -d '0: every run writes to the state directory'
complete -c network-metrics-exporter -l conntrack-budget -x -d 'CPU time that counting connections may take, in percent of one core'
complete -c network-metrics-exporter -l no-connections-by-protocol
complete -c network-metrics-exporter -l connections-by-protocol -d 'Count the connections of each client by protocol as well'
complete -c network-metrics-exporter -l interface -x -a '(__fish_print_interfaces)' -d 'LAN interface: its neighbours are clients'
complete -c network-metrics-exporter -l network -x -d 'Network of the clients'
complete -c network-metrics-exporter -l accounting -x -a 'sets rules flows off' -d 'How bytes are counted: sets and rules are put in place in nftables and kept there'
complete -c network-metrics-exporter -l leases -rF -d 'Lease file of a DHCP server, in any known format, instead of the usual files'
complete -c network-metrics-exporter -l hosts -rF -d 'File of static names, in the format of hosts(5), ethers(5) or dnsmasq’s dhcp-host'
complete -c network-metrics-exporter -l no-reverse-dns
complete -c network-metrics-exporter -l reverse-dns -d 'Ask the system’s resolver for names that neither a lease nor a static entry gives'
complete -c network-metrics-exporter -l interval -x -d 'Planned time between two runs'
complete -c network-metrics-exporter -l no-wait
complete -c network-metrics-exporter -l wait -d 'With no earlier sample, take one, wait for the interval and take another, so that there are rates'
complete -c network-metrics-exporter -l online-window -x -d 'How recent a sign of life makes a client online when the kernel’s neighbour entry alone does not tell'
complete -c network-metrics-exporter -l max-clients -x -d 'How many clients, and how many devices, have series of their own'
complete -c network-metrics-exporter -l forget-after -x -d 'How long an absent client stays in the metrics'
complete -c network-metrics-exporter -l period-start -x -d 'Day of the month on which the current period begins, at midnight local time'
complete -c network-metrics-exporter -l log.level -x -a 'debug info warn error' -d 'Only log messages of this severity or above: debug, info, warn or error'
complete -c network-metrics-exporter -l log.format -x -a 'logfmt json' -d 'Format of log messages: logfmt or json'
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from show check' -l no-json
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from show check' -l json -d 'Print JSON, in base units'
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from show' -l sort -x -a 'traffic download upload month total connections seen new name address' -d 'Order of the devices: traffic, download, upload, month, total, connections, seen, new, name or address'
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from show' -l no-addresses
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from show' -l addresses -d 'Print the addresses of each device too'
complete -c network-metrics-exporter -n '__fish_seen_subcommand_from check' -l port -x -d 'Port of the node_exporter that serves nothing but the file'
