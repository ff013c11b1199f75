#!/bin/bash
# parity.sh [AGENT]: the agent in IPA's place beside ironic-python-agent itself, on this machine: IPA's own functional tests,
# hundreds of requests to both, start-up time and memory of both. What it finds is in .cache/interop/parity.json. With --learn
# behind AGENT, the list of differences that are meant is written anew, to be read and explained.
. "$(dirname "$0")/../setup/env.sh"
agent=$(readlink -f "${1:-$ROOT/target/agent/tacit-agent}")
[ -x "$agent" ] || fail "there is no agent at $agent: make agent"
"$SETUP/parity.sh"
mkdir -p "$CACHE/interop"
(cd "$ROOT/tests/interop/parity" && "$CACHE/bench/venv/bin/python" -B -m unittest -q test_compare)
# Namespaces of its own: no disk but two loop devices, no network but loopback, no process but its own, all gone at the end.
as_root unshare --mount --net --pid --fork --kill-child --propagation private \
    "$CACHE/bench/venv/bin/python" -B "$ROOT/tests/interop/parity/main.py" "$agent" "$CACHE/interop/parity.json" "${@:2}"
