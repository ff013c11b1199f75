# Settings of the set-up scripts; sourced, not run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=$ROOT/.cache
SETUP=$ROOT/tests/setup
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mkdir -p "$CACHE/stamps"

say() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

# Runs a command as root: directly, or through sudo where that is how it is done.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=DEBIAN_FRONTEND,LC_ALL "$@"
    else
        fail "'$1' needs root, and there is no sudo: run this as root"
    fi
}

# stamped NAME INPUT... : true when NAME was stamped with the content of these files (and of $STAMP_EXTRA).
stamp_of() { { printf '%s\n' "${STAMP_EXTRA:-}"; cat "$@"; } | sha256sum | cut -c1-64; }
stamped() { local name=$1; shift; [ "$(cat "$CACHE/stamps/$name" 2>/dev/null)" = "$(stamp_of "$@")" ]; }
stamp() { local name=$1; shift; stamp_of "$@" > "$CACHE/stamps/$name"; }
