#!/bin/bash
# What the parity tests need: ironic-python-agent as for the imaging benchmark, and the library of its functional tests.
. "$(dirname "$0")/env.sh"
"$SETUP/bench.sh"
venv=$CACHE/bench/venv
[ -d "$venv" ] || fail "ironic-python-agent cannot be installed here"
"$SETUP/packages.sh" dosfstools mdadm gdisk parted udev psmisc lshw
export STAMP_EXTRA="$(cat "$CACHE/stamps/bench")"
! stamped parity "$SETUP/parity.sh" || exit 0
"$venv/bin/pip" install -q --disable-pip-version-check "oslotest==6.1.1"
"$venv/bin/python" -c 'import ironic_python_agent.tests.functional.base'
stamp parity "$SETUP/parity.sh"
