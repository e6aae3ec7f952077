# make demo   a gateway with a moving picture in it, and the URLs to watch it at; make demo-cohost adds somebody on mic
# make test   everything the continuous integration runs
#
# Both install what they need on Debian 12 with Rust (rustup) and Node there. What is done is remembered in stamps, so the
# second call is quick.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The pinned toolchain by the name it is installed under, so that rustup downloads nothing that is there.
ifndef RUSTUP_TOOLCHAIN
export RUSTUP_TOOLCHAIN := $(shell scripts/toolchain)
endif

TARGET := $(or $(CARGO_TARGET_DIR),target)
STAMPS := $(TARGET)/stamps
PROFILE ?= dev
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/onmic
FUZZ_SECONDS ?= 60
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -path web/dist-lib -prune -o -type f -print 2>/dev/null)

.PHONY: help setup web build demo demo-cohost test test-rust test-web test-e2e measure soak bench fuzz clean

help:
	@sed -n 's/^# //p' Makefile | head -2
	@echo 'also: setup, web, build, test-rust, test-web, test-e2e, measure, soak, bench, fuzz, clean'

# Debian packages, rustfmt and clippy, npm packages.
setup: packages $(STAMPS)/web-packages $(STAMPS)/tests-packages

.PHONY: packages
packages:
	@scripts/setup

$(STAMPS)/%-packages: %/package-lock.json %/package.json
	npm ci --prefix $*
	@mkdir -p $(STAMPS) && touch $@

# The pages, which the binary embeds. Cargo does not see a file with a new name, but it does see pages.rs.
web: $(STAMPS)/web
$(STAMPS)/web: $(STAMPS)/web-packages $(WEB_SOURCES)
	npm --prefix web run build
	@touch -c src/pages.rs && mkdir -p $(STAMPS) && touch $@

build: setup web
	cargo build --profile $(PROFILE) --bin onmic

# The dev profile: a picture minutes sooner than with release, and dependencies are optimised in both.
demo: build
	@ONMIC_BIN=$(abspath $(BINARY)) node scripts/demo.js

# While the demo runs: somebody on mic there. NAME=ben is somebody else.
demo-cohost:
	@NAME=$(NAME) node scripts/demo_cohost.js
NAME ?= anna

test: test-rust test-web test-e2e

test-rust: setup web
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked --no-fail-fast

test-web: setup web
	npm --prefix web run lint
	npm --prefix web test

# With the tests, so that dependencies have the features they were built with a moment ago.
test-e2e: setup web
	cargo build --workspace --bins --tests --locked
	npm --prefix tests run tools
	ONMIC_BIN=$(abspath $(TARGET)/debug/onmic) npm --prefix tests run e2e

# The figures of docs/, by real clients against a release build. `make measure ONLY="rtmp_to_whep"`.
measure: setup web
	cargo build --release --bin onmic
	ONMIC_BIN=$(abspath $(TARGET)/release/onmic) node tests/measure/run.js $(ONLY)

# Publishers and viewers come and go for MINUTES.
MINUTES ?= 30
soak: setup web
	cargo build --release --bin onmic
	ONMIC_BIN=$(abspath $(TARGET)/release/onmic) node tests/soak/run.js $(MINUTES)

bench: setup web
	cargo bench --workspace

# Each parser of outside bytes for FUZZ_SECONDS. The sanitiser needs nightly's flags, not a nightly compiler.
FUZZ_TARGETS ?= $$(cargo fuzz list)
fuzz: setup
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p "fuzz/corpus/$$target"; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=512; \
	done

clean:
	rm -rf $(STAMPS) web/dist web/dist-lib web/node_modules tests/node_modules
	cargo clean
