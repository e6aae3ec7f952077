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
WEB_SOURCES := $(shell find web -name node_modules -prune -o -path web/dist -prune -o -path web/dist-lib -prune -o -path web/test/out -prune -o -type f -print 2>/dev/null)

.PHONY: help setup web build demo demo-cohost test lint test-rust test-web test-e2e api-types doc audit measure soak bench fuzz fuzz-check clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make test runs these stages, each of which can be run alone:'
	@sed -n 's/^#: /  make /p' Makefile
	@echo 'also: setup, web, build, measure, soak, bench, fuzz, clean'

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

# Everything that the continuous integration runs. Checks that only compile or read run beside the web tests, and with less
# priority, because those wait for a browser. The other tests have the machine for themselves.
test: setup web
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse static test-web
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-e2e

# One after another: cargo lets one at a time into its target folder, and each uses what the one before has compiled.
.PHONY: static
static:
	@nice -n 10 $(MAKE) --no-print-directory lint
	@nice -n 10 $(MAKE) --no-print-directory doc
	@nice -n 10 $(MAKE) --no-print-directory fuzz-check
	@nice -n 10 $(MAKE) --no-print-directory audit

#: lint       format, clippy with warnings denied
lint: setup web
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo 'lint: passed'

#: test-rust  unit and integration tests, the invariants (tidy), the seeds of the fuzz targets, snapshots
test-rust: setup web
	INSTA_UPDATE=no cargo test --workspace --locked --no-fail-fast

#: test-web   types, lint and tests of the pages and the player
test-web: setup web
	npm --prefix web run lint
	npm --prefix web test

# With the tests, so that dependencies have the features they were built with a moment ago.
#: test-e2e   the built binary with the real ffmpeg and the real Chromium
test-e2e: setup web
	cargo build --workspace --bins --tests --locked
	npm --prefix tests run tools
	ONMIC_BIN=$(abspath $(TARGET)/debug/onmic) npm --prefix tests run e2e

# The test fails when the document of the API is not the one in the repository; this writes it, and the types of web/ from it.
#: api-types  control/openapi.json from the routes, and web/src/api/schema.ts from it
api-types: setup
	UPDATE_OPENAPI=1 cargo test -p onmic-control --lib openapi
	npm --prefix web run api-types

# With private items, because no crate is published: its readers work on them. Links to private items lead somewhere then.
#: doc        the documentation of all crates, with warnings denied
doc: setup web
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --workspace --no-deps --document-private-items --locked
	@echo 'doc: passed'

#: audit      unused dependencies, licences, sources, and advisories where their database can be reached
audit: setup
	@scripts/audit

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
fuzz: setup fuzz/Cargo.lock
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p "fuzz/corpus/$$target"; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=512; \
	done

# The versions of the project's workspace, for the fuzzer's.
fuzz/Cargo.lock: Cargo.lock
	cp $< $@

#: fuzz-check compiles the fuzzer's binaries; what they call is tested by test-rust
fuzz-check: setup fuzz/Cargo.lock
	cargo check --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)
	@echo 'fuzz-check: passed'

clean:
	rm -rf $(STAMPS) web/dist web/dist-lib web/node_modules tests/node_modules
	cargo clean
