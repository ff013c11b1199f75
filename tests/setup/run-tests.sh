#!/bin/bash
# run-tests.sh [sudo]: every test of the workspace, the lab's one at a time. With nextest where it is installed.
. "$(dirname "$0")/env.sh"
cd "$ROOT"
[ "${1:-}" != sudo ] || export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sudo --preserve-env"
"$SETUP/timed.sh" "build of the tests" cargo test --quiet --locked --workspace --no-run
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --locked --workspace --no-fail-fast
fi
exec cargo test --locked --workspace --no-fail-fast -- --test-threads=1 --nocapture
