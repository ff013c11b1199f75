#!/bin/bash
# ironic.sh [sudo]: stock Ironic leads the lab's virtual server through its life with our ramdisk and bridge.
. "$(dirname "$0")/../setup/env.sh"
cd "$ROOT"
"$SETUP/interop.sh"
[ "${1:-}" != sudo ] || export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sudo --preserve-env"
# The whole workspace's features: nothing is built again that the other tests use.
select=(--locked --workspace --features tacit-tests/interop --test interop_ironic)
"$SETUP/timed.sh" "build of the tests" cargo test --quiet "${select[@]}" --no-run
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run "${select[@]}" --no-fail-fast
fi
exec cargo test "${select[@]}" --no-fail-fast -- --test-threads=1 --nocapture
