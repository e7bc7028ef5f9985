# make          builds ./network-metrics-exporter
# make demo     shows it at work on a router built out of namespaces
# make test     runs every check and test
# make bench    measures
# make fuzz     runs each fuzz target for FUZZTIME
# make clean    removes what these made
#
# demo and test get the programs that they lack where they may (apt, root), and
# touch neither the machine's network nor its firewall.

VERSION     = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME    = 10s
SOURCES     = *.go sources state testdata
PACKAGES    = ./... ./testdata/lab ./testdata/strict
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

export PATH := $(CURDIR)/.cache/usr/bin:$(PATH):/usr/sbin:/sbin

.PHONY: build demo test bench fuzz clean

build:
	CGO_ENABLED=0 go build -trimpath -o network-metrics-exporter \
		-ldflags '-X github.com/prometheus/common/version.Version=$(VERSION)' .

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
