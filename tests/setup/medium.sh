#!/bin/bash
# The shared boot medium of the lab: Debian's cloud kernel and the agent.  ->  .cache/media/tacit.iso
. "$(dirname "$0")/env.sh"
builder=${CARGO_TARGET_DIR:-$ROOT/target}/debug/tacit-image
agent=$ROOT/target/agent/tacit-agent
inputs=("$SETUP/medium.sh" "$builder" "$agent" "$CACHE/kernel/linux-image.deb")
if stamped medium "${inputs[@]}" && [ -e "$CACHE/media/tacit.iso" ]; then exit 0; fi
mkdir -p "$CACHE/media"
# What it says by default, and that the timer of an emulated machine is not doubted.
"$builder" build --kernel "$CACHE/kernel/linux-image.deb" --agent "$agent" --profile virtual --out "$CACHE/media" \
    --cmdline "console=tty0 console=ttyS0,115200 quiet panic=30 no_timer_check"
[ -s "$CACHE/media/tacit.iso" ] || fail "the image builder left no tacit.iso"
stamp medium "${inputs[@]}"
