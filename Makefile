# make            builds ./network-metrics-exporter
# make install    installs program and units (PREFIX=/usr, DESTDIR=DIR)
# make uninstall  removes them, and what the program set up in nftables
# make release    puts archives and packages into dist
# make demo       shows it at work on a router built out of namespaces
# make check      runs what takes a minute: formats, linters, tests of sources and state
# make test       runs every check and test but these:
# make fuzz       runs each fuzz target for FUZZTIME
# make test-machines  runs Debian 12 and 13 in an emulator, from the package to its purge,
#                 and thousands of flows by flowtable on their kernels
# make bench      measures runs and their parts
# make bench-run  measures runs alone, against the project's goals
# make picture    draws grafana/drawing.svg, by the dashboard's queries
# make soak       runs the program SOAK_RUNS times while all around it changes
# make clean      removes what these made
#
# demo and tests get the programs that they lack where they may (apt, root), and
# touch neither the machine's network nor its firewall.

PREFIX      = /usr/local
DESTDIR     =
VERSION     = $(shell systemd/version.sh)
# When the commit was made; no wall clock before it is believed.
BUILD_DATE  = $(shell date --utc +%FT%TZ --date=@$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)})
OUTPUT      = network-metrics-exporter
FUZZTIME    = 7s
SOAK_RUNS   = 20000
SOURCES     = *.go sources state testdata
PACKAGES    = ./... $(addprefix ./testdata/,bench grafana grafana/week kernels lab nix release strict systemd vm/...)
# They boot machines, and are run apart from the others.
MACHINES    = $(addprefix ./testdata/,kernels systemd vm/...)
SCRIPTS     = systemd/system-generators/* $(addprefix systemd/package/,preinst postinst prerm postrm)
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

BIN       = $(DESTDIR)$(PREFIX)/bin
LIB       = $(DESTDIR)$(PREFIX)/lib
SHARE     = $(DESTDIR)$(PREFIX)/share
UNITS     = $(LIB)/systemd/system
SANDBOXES = $(UNITS)/network-metrics-exporter.service.d $(UNITS)/network-metrics-exporter-stop.service.d
SETTINGS  = $(DESTDIR)/etc/default/network-metrics-exporter
MANUAL    = $(SHARE)/man/man8/network-metrics-exporter.8
BASH      = $(SHARE)/bash-completion/completions/network-metrics-exporter
ZSH       = $(SHARE)/zsh/site-functions/_network-metrics-exporter
FISH      = $(SHARE)/fish/vendor_completions.d/network-metrics-exporter.fish
# The other place that systemd looks for units in. Those in /usr/local would be used
# instead of those in /usr, and a package's next version would change nothing.
OTHER     = $(filter-out $(PREFIX),/usr /usr/local)/lib/systemd/system/network-metrics-exporter.timer
# Not empty if this machine is the one to install on, and systemd runs it.
SYSTEMD   = $(if $(DESTDIR),,$(wildcard /run/systemd/system))

export PATH := $(CURDIR)/.cache/usr/bin:$(PATH):/usr/sbin:/sbin

.PHONY: build release install uninstall demo check lint test test-machines bench bench-run picture fuzz soak clean

build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o $(OUTPUT) \
		-ldflags '-s -w $(foreach v,Version=$(VERSION) BuildDate=$(BUILD_DATE),-X github.com/prometheus/common/version.$(v))' .

# What make built before, or the archive of a release has, so that a root without
# Go can install it.
network-metrics-exporter: $(wildcard go.mod go.sum main.go) $(shell find sources state -name '*.go' 2>/dev/null)
	$(MAKE) build

# Everything but the settings, which are yours, is replaced. The program is so in
# one step: the next run may begin at any time.
install: network-metrics-exporter
ifeq ($(DESTDIR)$(filter /usr /usr/local,$(PREFIX)),)
	@echo 'PREFIX=$(PREFIX): want /usr/local or /usr, where systemd looks for units' >&2; exit 2
endif
ifneq ($(if $(DESTDIR),,$(wildcard $(OTHER))),)
	@echo '$(OTHER) is installed already: remove the package, or run make uninstall with the PREFIX of then, first' >&2; exit 2
endif
	install -d $(BIN) $(UNITS) $(SANDBOXES) $(LIB)/systemd/system-generators $(LIB)/sysusers.d $(LIB)/tmpfiles.d $(DESTDIR)/etc/default
	install network-metrics-exporter $(BIN)/.network-metrics-exporter
	mv -f $(BIN)/.network-metrics-exporter $(BIN)/network-metrics-exporter
	install -m 644 systemd/*.timer systemd/*.service $(UNITS)
	for sandbox in $(SANDBOXES); do install -m 644 systemd/$${sandbox##*/}/sandbox.conf $$sandbox || exit; done
	install systemd/system-generators/* $(LIB)/systemd/system-generators
	install -m 644 systemd/sysusers.d/* $(LIB)/sysusers.d
	install -m 644 systemd/tmpfiles.d/* $(LIB)/tmpfiles.d
	install -D -m 644 docs/network-metrics-exporter.8 $(MANUAL)
	install -D -m 644 systemd/completions/network-metrics-exporter.bash $(BASH)
	install -D -m 644 systemd/completions/_network-metrics-exporter $(ZSH)
	install -D -m 644 systemd/completions/network-metrics-exporter.fish $(FISH)
	for file in $$(find grafana -type f); do install -D -m 644 $$file $(SHARE)/network-metrics-exporter/$$file || exit; done
	test -e $(SETTINGS) || install -m 644 systemd/network-metrics-exporter.env $(SETTINGS)
ifneq ($(SYSTEMD),)
	systemd-sysusers network-metrics-exporter.conf
	systemd-tmpfiles --create network-metrics-exporter.conf
	systemctl daemon-reload
	systemctl try-restart network-metrics-exporter-http.service
endif

# A leading - goes on where there is nothing to stop, or too much for it.
uninstall:
ifneq ($(SYSTEMD),)
	-systemctl disable --now network-metrics-exporter.timer network-metrics-exporter-http.service
	-systemctl stop network-metrics-exporter.service network-metrics-exporter-stop.service
	-systemctl reset-failed 'network-metrics-exporter*'
endif
ifeq ($(DESTDIR),)
	-$(BIN)/network-metrics-exporter teardown
endif
	rm -f $(BIN)/network-metrics-exporter $(UNITS)/network-metrics-exporter*.timer $(UNITS)/network-metrics-exporter*.service \
		$(LIB)/systemd/system-generators/network-metrics-exporter-generator \
		$(LIB)/sysusers.d/network-metrics-exporter.conf $(LIB)/tmpfiles.d/network-metrics-exporter.conf \
		$(MANUAL) $(BASH) $(ZSH) $(FISH)
	rm -rf $(SANDBOXES) $(SHARE)/network-metrics-exporter
ifneq ($(SYSTEMD),)
	systemctl daemon-reload
endif
ifeq ($(DESTDIR),)
	rm -rf /run/network-metrics-exporter
	@echo 'Left: /var/lib/network-metrics-exporter (totals and names), $(SETTINGS) (settings), the user network-metrics-exporter'
endif

release:
	systemd/release.sh $(VERSION) dist

demo: build
	testdata/lab/needs.sh bash dnsmasq ip iperf3 nft udhcpc unshare
	timeout --foreground --signal=KILL 60 testdata/lab/namespaces.sh testdata/lab/demo.sh ./network-metrics-exporter

# Go's race detector takes a C compiler, and ten times as long: it looks at the one
# package that has goroutines.
check: lint
	NAMESPACES=required go test -count=1 -timeout=5m ./sources/... ./state/...
	$(if $(shell command -v gcc),go test -count=1 -race ./sources/dns)

lint:
	testdata/lab/needs.sh
	go mod verify
	go mod tidy -diff
	@echo 'gofmt -l $(SOURCES)'; unformatted=$$(gofmt -l $(SOURCES)); echo "$$unformatted"; test -z "$$unformatted"
	go vet $(PACKAGES)
	$(STATICCHECK) -checks=all $(PACKAGES)
	testdata/imports.sh
	shellcheck .ci/run $(SCRIPTS) $$(find systemd testdata -name '*.sh')
	shellcheck --shell=bash systemd/completions/*.bash
	promtool check rules grafana/alerts.yml grafana/recording.yml
	promtool test rules testdata/grafana/*.test.yml
	go -C testdata/schema vet .

test: check
	go -C testdata/schema test -count=1 .
	NAMESPACES=required go test -count=1 -timeout=10m $(filter-out ./... $(MACHINES),$(PACKAGES)) .
	@echo 'Each benchmark once, lest it breaks:'
	go test -run='^$$' -bench=. -benchtime=1x -exec='$(CURDIR)/testdata/lab/namespaces.sh' ./sources/conntrack ./state/...
	@echo 'On real systemd, and on the kernels of Debian 12 and 13 in an emulator; where they cannot be booted, that is said:'
	NAMESPACES=required go test -count=1 -timeout=5m -v -skip='^TestDebian|^TestFlowtables' $(MACHINES)
	@echo 'On processors of 32 bits, and with the big end first; kernels are not emulated, nor programs that start others:'
	for arch in mips arm; do GOARCH=$$arch CGO_ENABLED=0 NAMESPACES=none go test -count=1 -short -exec=qemu-$$arch-static . ./sources/... ./state/... || exit; done

test-machines:
	testdata/lab/needs.sh
	NAMESPACES=required go test -count=1 -timeout=20m -v -run='^TestDebian' ./testdata/systemd
	NAMESPACES=required go test -count=1 -timeout=10m -v -run='^TestFlowtables' ./testdata/kernels

bench: build
	go test -run='^$$' -bench=. -benchmem -exec='$(CURDIR)/testdata/lab/namespaces.sh' ./...
	go test -run='^$$' -bench=. -v ./testdata/systemd
	$(MAKE) bench-run

bench-run: build
	testdata/lab/needs.sh bash ip unshare
	testdata/bench/bench.sh ./network-metrics-exporter

picture:
	testdata/lab/needs.sh prometheus promtool
	PICTURE=$(CURDIR)/grafana/drawing.svg go test -count=1 -run='^TestWeek$$' ./testdata/grafana

soak: build
	testdata/lab/needs.sh bash dnsmasq ip nft udhcpc
	SOAK_RUNS=$(SOAK_RUNS) LAB_TIME_LIMIT=2h go test -count=1 -timeout=2h -v -run='^TestSoak$$' .

fuzz:
	testdata/fuzz.sh $(FUZZTIME)

clean:
	rm -rf network-metrics-exporter .cache dist
