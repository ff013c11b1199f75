# make demo   the whole story on a virtual server, to watch
# make test   everything there is to test of Tacit alone
# make test-ipa   with ironic-python-agent: the two agents compared, our conductor leads the other one
# make test-interop   the same, and stock Ironic leads our agent
# make fuzz   every fuzz target for FUZZ_SECONDS (300), in turn
# make lint   format, clippy, licences and sources of dependencies
# make bench-imaging   Tacit's writer beside other people's, on this machine: docs/benchmarks.md
# make clean-lab   takes down what a killed test or demo left behind
SHELL := /bin/bash
.NOTPARALLEL:
.PHONY: help setup agent build images debian-image demo test test-ipa test-interop fuzz lint bench-imaging clean-lab

timed := tests/setup/timed.sh
# Tests and the demo make network namespaces and virtual machines: as somebody else than root, through sudo.
as_root := $(if $(filter 0,$(shell id -u)),,CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sudo --preserve-env")

help:
	@sed -n 's/^# make/make/p' Makefile

setup:
	@$(timed) set-up tests/setup/setup.sh

# The static agent of the ramdisk: target/agent/tacit-agent
agent: setup
	@$(timed) agent tests/setup/agent-build.sh

# One invocation for all crates: what is built here is what the tests use.
build: agent
	@$(timed) build cargo build --locked --workspace --bins
	@$(timed) medium tests/setup/medium.sh

images: setup
	@$(timed) "test image" tests/images/tiny.sh

debian-image: setup
	@$(timed) "Debian image" tests/images/debian.sh

demo: build images debian-image
	@$(as_root) cargo run --quiet --locked -p tacit-tests --bin demo

test: build images
	@tests/setup/run-tests.sh "$(if $(filter 0,$(shell id -u)),,sudo)"

test-ipa: build images
	@$(timed) "the two agents compared" tests/interop/parity.sh
	@$(timed) "conductor and stock IPA" tests/interop/dialect.sh

test-interop: test-ipa
	@$(timed) "stock Ironic and agent" tests/interop/ironic.sh "$(if $(filter 0,$(shell id -u)),,sudo)"

fuzz: setup
	@tests/fuzz/run.sh

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features tacit-tests/interop -- -D warnings
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources

# Needs quiet: whatever else runs on the machine is measured as well.
bench-imaging: setup
	@$(timed) "what is compared" tests/setup/bench.sh
	@$(timed) tacit-image tests/setup/agent-build.sh tacit-image
	@$(timed) digest-rate cargo build --locked --quiet -p tacit-tests --bin digest-rate
	@$(if $(filter 0,$(shell id -u)),,sudo --preserve-env) tests/bench/imaging.py target/agent/tacit-image $${CARGO_TARGET_DIR:-target}/debug/digest-rate

clean-lab:
	@$(as_root) cargo run --quiet --locked -p tacit-tests --bin lab clean
