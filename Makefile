# make          builds ./network-metrics-exporter
# make demo     shows it at work on a router built out of namespaces
# make test     runs every check and test
# make bench    measures
# make fuzz     runs each fuzz target for FUZZTIME
# make install  installs program and units below PREFIX, in DESTDIR if there is one
# make uninstall
# make clean    removes what these made
#
# demo and test get the programs that they lack where they may (apt, root), and
# touch neither the machine's network nor its firewall.

PREFIX      = /usr/local
DESTDIR     =
VERSION     = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME    = 10s
SOURCES     = *.go sources state testdata
PACKAGES    = ./... ./testdata/lab ./testdata/strict
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

export PATH := $(CURDIR)/.cache/usr/bin:$(PATH):/usr/sbin:/sbin

.PHONY: build install uninstall demo test bench fuzz clean

build:
	CGO_ENABLED=0 go build -trimpath -o network-metrics-exporter \
		-ldflags '-X github.com/prometheus/common/version.Version=$(VERSION)' .

# What make built before, so that a root without Go can install it.
network-metrics-exporter: go.mod go.sum main.go $(shell find sources state -name '*.go')
	$(MAKE) build

# Everything but the settings, which are yours, is replaced. The program is so in
# one step: the next run may begin at any time.
install: network-metrics-exporter
	install -d $(bin) $(units) $(sandboxes) $(lib)/systemd/system-generators $(lib)/sysusers.d $(lib)/tmpfiles.d $(DESTDIR)/etc/default
	install network-metrics-exporter $(bin)/.network-metrics-exporter
	mv -f $(bin)/.network-metrics-exporter $(bin)/network-metrics-exporter
	install -m 644 systemd/*.timer systemd/*.service $(units)
	for sandbox in $(sandboxes); do install -m 644 systemd/sandbox.conf $$sandbox || exit; done
	install systemd/system-generators/* $(lib)/systemd/system-generators
	install -m 644 systemd/sysusers.d/* $(lib)/sysusers.d
	install -m 644 systemd/tmpfiles.d/* $(lib)/tmpfiles.d
	test -e $(settings) || install -m 644 systemd/network-metrics-exporter.env $(settings)
ifeq ($(RUNNING),yes)
	systemd-sysusers network-metrics-exporter.conf
	systemd-tmpfiles --create network-metrics-exporter.conf
	systemctl daemon-reload
	systemctl try-restart network-metrics-exporter-http.service
endif

uninstall:
ifeq ($(RUNNING),yes)
	-systemctl disable --now network-metrics-exporter.timer network-metrics-exporter-http.service
	-systemctl stop network-metrics-exporter.service network-metrics-exporter-stop.service
	-$(bin)/network-metrics-exporter teardown
endif
	rm -f $(bin)/network-metrics-exporter $(units)/network-metrics-exporter*.timer $(units)/network-metrics-exporter*.service \
		$(lib)/systemd/system-generators/network-metrics-exporter-generator \
		$(lib)/sysusers.d/network-metrics-exporter.conf $(lib)/tmpfiles.d/network-metrics-exporter.conf
	rm -rf $(sandboxes)
ifeq ($(RUNNING),yes)
	systemctl daemon-reload
	rm -rf /run/network-metrics-exporter
	@echo 'Left: /var/lib/network-metrics-exporter (totals and names), $(settings) (settings), the user network-metrics-exporter'
endif

demo: build
	testdata/lab/needs.sh bash dnsmasq ip iperf3 nft udhcpc unshare
	timeout --foreground --signal=KILL 60 testdata/lab/namespaces.sh testdata/lab/demo.sh ./network-metrics-exporter

test:
	testdata/lab/needs.sh
	go mod verify
	go mod tidy -diff
	@echo 'gofmt -l $(SOURCES)'; unformatted=$$(gofmt -l $(SOURCES)); echo "$$unformatted"; test -z "$$unformatted"
	go vet $(PACKAGES)
	$(STATICCHECK) -checks=all $(PACKAGES)
	testdata/imports.sh
	shellcheck .ci/run $$(find testdata -name '*.sh')
	NAMESPACES=required go test -count=1 -timeout=5m $(PACKAGES)

bench:
	go test -run='^$$' -bench=. -benchmem -exec='$(CURDIR)/testdata/lab/namespaces.sh' ./...

fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list='^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x $$package || exit; \
		done; \
	done

clean:
	rm -rf network-metrics-exporter .cache
