#!/bin/bash
# dialect.sh [TACIT]: Tacit's conductor drives stock ironic-python-agent, a process on this machine with one loop device as its
# disk: inspection, cleaning, deployment, and what goes wrong in the middle of them.
. "$(dirname "$0")/../setup/env.sh"
tacit=$(readlink -f "${1:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/tacit}")
[ -x "$tacit" ] || fail "there is no conductor at $tacit: make build"
"$SETUP/packages.sh" openssl qemu-utils iproute2
"$SETUP/bench.sh"
python=$CACHE/bench/venv/bin/python
[ -x "$python" ] || fail "ironic-python-agent could not be installed"
# Namespaces of its own: no network but loopback, no process but its own, all gone at the end. The agent waits a minute for a
# network interface, and takes one with a number in its name for a VLAN's: it gets one that leads nowhere.
as_root unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private bash -c '
    PATH=$PATH:/usr/sbin:/sbin
    ip link set lo up && ip link add nic.7 type veth peer name other && mount -t sysfs sysfs /sys && exec "$@"' dialect \
    "$python" -B "$ROOT/tests/interop/dialect.py" "$tacit" "$python"
