# StockWatch. `make` lists the commands.
SHELL := /bin/bash
CARGO := cargo
# Debian packages that the build and the tests need besides the toolchains.
PACKAGES := gcc g++ make cmake pkg-config libssl-dev zlib1g-dev openssl
# One profile and one set of features everywhere: everything is built once.
BUILD := --release --workspace
# Tests that run only where they are named.
END_TO_END := --test kafka --test cluster

# Kept between runs, like Kubernetes and Kafka.
DENY_VERSION := 0.20.2
DENY := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stockwatch/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
ADVISORIES = $(DENY) --offline check --hide-inclusion-graph advisories

.PHONY: help demo cluster cluster-down test test-faults lint chart dependencies advisories build bench bench-alarms bench-outage bench-stream bench-edits bench-operator soak crds pictures fuzz fuzz-short arm64 need-rust need-rustup need-java need-go need-root arm64-packages packages

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: need-rust packages ## Averages and alarms of simulated quotes in the terminal: no Kafka, no Kubernetes
	$(CARGO) build $(BUILD) --bin stockwatch-worker
	@target/release/stockwatch-worker demo

cluster: need-rust need-java need-go need-root packages ## Kubernetes, Kafka, the operator and a StockWatch on this machine
	$(CARGO) build $(BUILD) --bin stockwatch-operator --bin stockwatch-worker
	@tests/cluster/everything.sh up

cluster-down: need-root ## Ends what "make cluster" started, and removes all of it
	@tests/cluster/everything.sh down

test: build need-java need-go need-root ## Every test, those against a real Kafka and a real Kubernetes included
	tests/cluster/cluster.sh packages
	tests/run.sh

test-faults: build need-java need-go need-root ## Faults in a real cluster at length (half an hour), and how long recovery from them takes
	STOCKWATCH_BEFORE=$$(bench/before.sh)/stockwatch-worker $(CARGO) test $(BUILD) --test kafka -- --ignored takeover::
	tests/cluster/cluster.sh packages
	STOCKWATCH_FAULTS=long $(CARGO) test $(BUILD) --test cluster -- --test-threads=1 --nocapture --include-ignored faults:: \
	  brokers::operator_and_workers alone::api_server alone::operators alone::times

lint: need-rust packages chart dependencies ## Formatting, lints, the chart and the dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD) --all-targets -- -D warnings
	$(CARGO) clippy $(BUILD) $(END_TO_END) -- -D warnings

dependencies: $(DENY) ## Licences, bans and sources of the dependencies (deny.toml), their notices and bills of materials, and advisories where reached
	$(DENY) check --hide-inclusion-graph licenses bans sources
	@for program in stockwatch-operator stockwatch-worker; do \
	  ./notices.sh $$program >/dev/null && ./sbom.sh $$program >/dev/null || exit 1; done
	@if timeout 30 $(DENY) fetch db >/dev/null 2>&1; then $(ADVISORIES); \
	else echo "make: advisories are not checked: their database cannot be fetched (make advisories says why)"; fi

advisories: $(DENY) ## Known vulnerabilities of the dependencies, by the RustSec database
	@timeout 120 $(DENY) fetch db || \
	{ echo "make: advisories are not checked: their database, a git repository at github.com, cannot be fetched" >&2; exit 1; }
	$(ADVISORIES)

# Built without optimisation, which takes longer than all its checks.
$(DENY): | need-rust packages
	CARGO_TARGET_DIR=$(CURDIR)/target/cargo-deny $(CARGO) install cargo-deny --locked --version $(DENY_VERSION) --debug \
	  --no-track --root $(DENY:/bin/cargo-deny=)
	rm -rf target/cargo-deny

chart: need-go packages ## The chart against Kubernetes' schemas
	tests/chart/check.sh

build: need-rust packages ## The programs and the tests
	$(CARGO) build $(BUILD) --all-targets
	$(CARGO) build $(BUILD) $(END_TO_END)

bench: build need-java ## The worker against Kafka Streams and librdkafka alone, on one broker; WHAT=latency measures that alone
	target/release/stockwatch-bench $${WHAT:-all}

bench-alarms: PACKAGES += valgrind
bench-alarms: build need-java ## What verdicts and episodes cost: instructions of the core and CPU of the worker, against the release before them
	before=$$(bench/before.sh) && target/release/stockwatch-bench instructions --before $$before && \
	target/release/stockwatch-bench alarms --before $$before

bench-outage: build need-java ## What workers cost while their broker is killed, stopped or frozen, and what stays open of it
	target/release/stockwatch-bench outage

bench-stream: build need-java ## MINUTES (10) of 1,000 tickers with five ticks a second each, by Yahoo's stream
	target/release/stockwatch-bench stream --minutes $${MINUTES:-10}

bench-edits: build ## Edits of the StockWatch of "make cluster", from the API server to the worker
	KUBECONFIG=$$(readlink /run/stockwatch-cluster)/kubeconfig target/release/stockwatch-bench edits

bench-operator: build need-java need-go need-root ## The operator with 1,000 StockWatches on a cluster of its own: time, requests, idleness; then with MOST (1000: not more)
	tests/cluster/cluster.sh packages
	target/release/stockwatch-bench operator --most $${MOST:-1000}

soak: build need-java need-go need-root ## MINUTES (30) of all kinds of faults at random with 50 StockWatches at work, by SEED (1)
	tests/cluster/cluster.sh packages
	target/release/stockwatch-bench soak --minutes $${MINUTES:-30} --seed $${SEED:-1}

crds: need-rust packages ## crds/stockwatch.yaml, and the chart's copy of it, from the types
	$(CARGO) build $(BUILD) --bin crdgen
	target/release/crdgen crds/stockwatch.yaml
	cp crds/stockwatch.yaml helm/stockwatch/files/

pictures: need-rust packages ## The pictures of docs/alarms.md, from what the core computes
	$(CARGO) build $(BUILD) --example pictures
	target/release/examples/pictures

fuzz: need-rust packages ## RUNS (10000000) inputs to each fuzz target, of files and records that others may have written
	fuzz/run.sh

fuzz-short: need-rust packages ## A few seconds of each fuzz target, from the seeds on
	SECONDS_EACH=4 fuzz/run.sh

# Not run yet. An allocator that is made for smaller pages than those of a node ends the program at its start: some arm64
# nodes have 64 KiB.
ARM64 := aarch64-unknown-linux-gnu
ARM64_BUILD := CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
  CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ \
  AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar CMAKE_SYSTEM_NAME=Linux JEMALLOC_SYS_WITH_LG_PAGE=16 \
  PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig

arm64: PACKAGES += gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libssl-dev:arm64 zlib1g-dev:arm64
arm64: need-rust need-rustup arm64-packages packages ## Both programs for arm64, cross-built on a Debian of another architecture (not run yet; docs/install.md has the images)
	rustup target add $(ARM64)
	$(ARM64_BUILD) $(CARGO) build --release --locked --target $(ARM64) -p stockwatch-operator -p stockwatch-worker

arm64-packages:
	@dpkg --print-foreign-architectures | grep -qx arm64 || \
	{ sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo dpkg --add-architecture arm64; }

need-rustup:
	@command -v rustup >/dev/null || { echo "make: rustup is missing, which brings the standard library of other architectures (rustup.rs)" >&2; exit 1; }

need-rust:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing: install Rust 1.89 or newer (rustup.rs)" >&2; exit 1; }

need-java:
	@command -v java >/dev/null || { echo "make: java is missing: install a JDK, 17 or newer (apt-get install openjdk-17-jdk-headless)" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "make: mvn is missing: install Maven (apt-get install maven)" >&2; exit 1; }

need-go:
	@command -v go >/dev/null || { echo "make: go is missing: install Go 1.26 or newer (go.dev/dl)" >&2; exit 1; }

need-root:
	@[ "$$(id -u)" = 0 ] || { echo "make: a Kubernetes node needs root, for its namespaces, mounts and containers: sudo -E make $(MAKECMDGOALS)" >&2; exit 1; }

packages:
	@missing=; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "make: these Debian packages are missing, and there is no apt-get:$$missing" >&2; exit 1; }; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q -y --no-install-recommends $$missing; \
	fi
