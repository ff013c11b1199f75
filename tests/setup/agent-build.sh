#!/bin/bash
# Builds the agent of the ramdisk: release profile, static, stripped. Result: target/agent/tacit-agent
# With an argument, another package's program of the same name in the same way: agent-build.sh tacit-image
. "$(dirname "$0")/env.sh"
program=${1:-tacit-agent}
target=x86_64-unknown-linux-musl
limit_bytes=$((12 * 1024 * 1024))
# A directory of its own: the flags and the compiler may differ from those of everything else.
export CARGO_TARGET_DIR=${TACIT_AGENT_TARGET_DIR:-$ROOT/target/agent}
cd "$ROOT"
case $(cat "$CACHE/rust-target") in
rustup)
    cargo build --locked --release --target "$target" -p "$program" --bin "$program"
    ;;
zig)
    PATH=$CACHE/zig/bin:/usr/bin:$PATH RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-C link-self-contained=no -C relocation-model=static" \
        "$CACHE/zig/bin/cargo-zigbuild" build --locked -Zbuild-std=std,panic_unwind --release --target "$target" -p "$program" --bin "$program"
    ;;
*) fail "run 'make setup' first" ;;
esac
built=$CARGO_TARGET_DIR/$target/release/$program
kind=$(file -b "$built")
[[ $kind == *"statically linked"* || $kind == *"static-pie linked"* ]] || fail "$program is not statically linked: $kind"
size=$(stat -c %s "$built")
[ "$program" != tacit-agent ] || [ "$size" -le "$limit_bytes" ] || fail "the agent has $size bytes, the limit is $limit_bytes"
mkdir -p "$ROOT/target/agent"
# Only a changed program gets a new time: what is made from it is rebuilt when it is newer.
cmp -s "$built" "$ROOT/target/agent/$program" || install -m 755 "$built" "$ROOT/target/agent/$program"
say "$program: $size bytes, ${kind%%,*}, $(grep -oE 'static[a-z-]* linked' <<<"$kind")"
