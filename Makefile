# make demo   starts a gateway with a test picture and prints the URLs to watch it; make demo-cohost adds a co-host
# make test   runs everything that the continuous integration runs
#
# Both install what they need on Debian 12 with Rust (rustup) and Node. Stamps record the steps that are done, so the
# second call is quick.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Selects the pinned toolchain by the name under which it is installed, so that rustup does not download it again.
ifndef RUSTUP_TOOLCHAIN
export RUSTUP_TOOLCHAIN := $(shell scripts/toolchain)
endif

TARGET := $(or $(CARGO_TARGET_DIR),target)
STAMPS := $(TARGET)/stamps
PROFILE ?= dev
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/onmic
FUZZ_SECONDS ?= 60
WEB_SOURCES := $(shell find web -name node_modules -prune -o -path web/dist -prune -o -path web/dist-lib -prune -o -path web/test/out -prune -o -type f -print 2>/dev/null)

.PHONY: help setup web build demo demo-cohost test lint test-rust test-web test-e2e api-types doc audit measure pictures soak bench fuzz fuzz-check clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo 'make test runs these stages. Each can be run alone:'
	@sed -n 's/^#: /  make /p' Makefile
	@echo 'also: setup, web, build, measure, pictures, soak, bench, fuzz, clean'

# Installs Debian packages, rustfmt and clippy, npm packages, and the ffmpeg 8 of a test.
setup: packages $(STAMPS)/web-packages $(STAMPS)/tests-packages $(STAMPS)/tests-ffmpeg

.PHONY: packages
packages:
	@scripts/setup

$(STAMPS)/%-packages: %/package-lock.json %/package.json
	npm ci --prefix $*
	@mkdir -p $(STAMPS) && touch $@

# Installs into a folder of its own, so that the system's packages stay as they are.
$(STAMPS)/tests-ffmpeg: tests/requirements.txt | packages
	rm -rf tests/python_packages
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps --require-hashes --target tests/python_packages -r $<
	@mkdir -p $(STAMPS) && touch $@

# Builds the pages, which the binary embeds. Cargo does not notice a file with a new name, so pages.rs is touched.
web: $(STAMPS)/web
$(STAMPS)/web: $(STAMPS)/web-packages $(WEB_SOURCES)
	npm --prefix web run build
	@touch -c src/pages.rs && mkdir -p $(STAMPS) && touch $@

build: setup web
	cargo build --profile $(PROFILE) --bin onmic

# Uses the dev profile, which builds minutes faster than release. Dependencies are optimised in both.
demo: build
	@ONMIC_BIN=$(abspath $(BINARY)) node scripts/demo.js

# Adds a co-host to a running demo. NAME=ben adds another one.
demo-cohost:
	@NAME=$(NAME) node scripts/demo_cohost.js
NAME ?= anna

# Runs everything that the continuous integration runs. Checks that only compile or read run beside the web tests, which
# mostly wait for a browser, and with lower priority. The other tests run alone on the machine.
test: setup web
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse static test-web
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-e2e

# Runs one check after another, because cargo locks its target folder, and each check uses what the one before compiled.
.PHONY: static
static:
	@nice -n 10 $(MAKE) --no-print-directory lint
	@nice -n 10 $(MAKE) --no-print-directory doc
	@nice -n 10 $(MAKE) --no-print-directory fuzz-check
	@nice -n 10 $(MAKE) --no-print-directory audit

#: lint       checks the format, and runs clippy with warnings denied
lint: setup web
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo 'lint: passed'

#: test-rust  runs unit and integration tests, invariants (tidy), seeds of the fuzz targets, snapshots
test-rust: setup web
	INSTA_UPDATE=no cargo test --workspace --locked --no-fail-fast

#: test-web   checks types and style of the pages and the player, and runs their tests
test-web: setup web
	npm --prefix web run lint
	npm --prefix web test

# Builds the tests too, so that dependencies keep the features with which test-rust built them.
#: test-e2e   tests the built binary with the real ffmpeg, Chromium and Firefox
test-e2e: setup web
	cargo build --workspace --bins --tests --locked
	npm --prefix tests run tools
	ONMIC_BIN=$(abspath $(TARGET)/debug/onmic) npm --prefix tests run e2e

# A test fails if the API document differs from the one in the repository. This target writes the document again, and
# the types of web/ from it.
#: api-types  writes control/openapi.json from the routes, and web/src/api/schema.ts from it
api-types: setup
	UPDATE_OPENAPI=1 cargo test -p onmic-control --lib openapi
	npm --prefix web run api-types

# Documents private items too, because no crate is published, and its readers work on the crates. So links to private
# items work.
#: doc        builds the documentation of all crates, with warnings denied
doc: setup web
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --workspace --no-deps --document-private-items --locked
	@echo 'doc: passed'

#: audit      checks for unused dependencies, licences, sources, and advisories if their database can be reached
audit: setup
	@scripts/audit

# Takes the pictures of the README from the running product, on a machine with nothing else to do.
pictures: setup web
	cargo build --release --bin onmic
	ONMIC_BIN=$(abspath $(TARGET)/release/onmic) node tests/readme/run.js

# Measures the figures of docs/ with real clients and a release build. `make measure ONLY="rtmp_to_whep"` measures one.
measure: setup web
	cargo build --release --bin onmic
	ONMIC_BIN=$(abspath $(TARGET)/release/onmic) node tests/measure/run.js $(ONLY)

# Lets publishers, viewers, co-hosts and hostile clients come and go for MINUTES.
MINUTES ?= 30
soak: setup web
	cargo build --release --bin onmic
	ONMIC_BIN=$(abspath $(TARGET)/release/onmic) node tests/soak/run.js $(MINUTES)

bench: setup web
	cargo bench --workspace

# Fuzzes each parser of outside bytes for FUZZ_SECONDS. The sanitiser needs nightly's flags, but no nightly compiler.
FUZZ_TARGETS ?= $$(cargo fuzz list)
fuzz: setup fuzz/Cargo.lock
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p "fuzz/corpus/$$target"; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=512; \
	done

# Gives the fuzzer's workspace the same versions as the project's workspace.
fuzz/Cargo.lock: Cargo.lock
	cp $< $@

#: fuzz-check compiles the fuzzer's binaries; test-rust tests the code that they call
fuzz-check: setup fuzz/Cargo.lock
	cargo check --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)
	@echo 'fuzz-check: passed'

clean:
	rm -rf $(STAMPS) web/dist web/dist-lib web/node_modules tests/node_modules tests/python_packages
	cargo clean
