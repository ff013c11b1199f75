#!/bin/bash
# What the static agent is built with. First choice: rustup's own target. Where rustup cannot fetch it (closed networks):
# Debian's current rustc with its source of the standard library, and zig from PyPI as C compiler and linker.
# agent-build.sh reads which of the two it is from .cache/rust-target.
. "$(dirname "$0")/env.sh"
target=x86_64-unknown-linux-musl
command -v cargo >/dev/null || fail "no cargo: install Rust (rustup.rs, or Debian's rustup package) first"
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || { command -v rustup >/dev/null && (cd "$ROOT" && rustup target add "$target" >&2); }; then
    echo rustup > "$CACHE/rust-target"
    exit 0
fi
say "rustup cannot fetch $target: building the standard library with Debian's toolchain and zig"
installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
packages=(rustc-web cargo-web rust-web-src)
apt-cache show "${packages[@]}" >/dev/null 2>&1 || packages=(rustc cargo rust-src)
for package in "${packages[@]}"; do
    installed "$package" || { as_root apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends "${packages[@]}"; break; }
done
if ! stamped zig "$SETUP/rust-target.sh"; then
    rm -rf "$CACHE/zig"; /usr/bin/python3 -m venv "$CACHE/zig"
    "$CACHE/zig/bin/pip" install -q --disable-pip-version-check ziglang==0.17.0 cargo-zigbuild==0.24.0
    stamp zig "$SETUP/rust-target.sh"
fi
echo zig > "$CACHE/rust-target"
