# StockWatch. `make` lists the commands.
SHELL := /bin/bash
CARGO := cargo
# Debian packages that the build and the tests need besides the toolchains.
PACKAGES := gcc g++ make pkg-config libssl-dev zlib1g-dev openssl
# One profile and one set of features everywhere: everything is built once.
BUILD := --release --workspace

.PHONY: help demo test lint build bench crds need-rust need-java packages

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: need-rust packages ## Averages and alarms of simulated quotes in the terminal: no Kafka, no Kubernetes
	$(CARGO) build --release -p stockwatch-worker
	@target/release/stockwatch-worker demo

test: build need-java ## Every test, those against a real Kafka included
	$(CARGO) test $(BUILD) -- --test-threads=2

lint: need-rust packages ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD) --all-targets -- -D warnings

build: need-rust packages ## The programs and the tests
	$(CARGO) build $(BUILD) --all-targets

bench: build need-java ## The worker against Kafka Streams and against librdkafka alone, on one broker
	target/release/stockwatch-bench all

crds: need-rust packages ## crds/stockwatch.yaml from the types
	$(CARGO) run --release -p stockwatch-crds --bin crdgen > crds/stockwatch.yaml

need-rust:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing: install Rust 1.89 or newer (rustup.rs)" >&2; exit 1; }

need-java:
	@command -v java >/dev/null || { echo "make: java is missing: install a JDK, 17 or newer (apt-get install openjdk-17-jdk-headless)" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "make: mvn is missing: install Maven (apt-get install maven)" >&2; exit 1; }

packages:
	@missing=; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "make: these Debian packages are missing, and there is no apt-get:$$missing" >&2; exit 1; }; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q -y --no-install-recommends $$missing; \
	fi
