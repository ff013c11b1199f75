# Builds the targets with the coverage that libFuzzer wants, by a stable compiler; sourced, not run.
. "$(dirname "${BASH_SOURCE[0]}")/../setup/env.sh"
FUZZ=$ROOT/tests/fuzz
# A directory of its own: nothing else is instrumented.
FUZZ_TARGET_DIR=${FUZZ_TARGET_DIR:-$ROOT/target/fuzz}
host=$(rustc -vV | sed -n 's/^host: //p')
mapfile -t targets < <(cd "$FUZZ/fuzz_targets" && printf '%s\n' *.rs | sed 's/\.rs$//')
# With --target, so that build scripts and macros stay as they are.
CARGO_TARGET_DIR=$FUZZ_TARGET_DIR CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-{level=4,inline-8bit-counters,pc-table,trace-compares} \
    --cfg=fuzzing | head -c -1) \
    cargo build --quiet --release --manifest-path "$FUZZ/Cargo.toml" --target "$host"
binaries=$FUZZ_TARGET_DIR/$host/release
# What earlier runs found interesting: not kept in the repository, but not lost either.
grown=$FUZZ_TARGET_DIR/corpus
