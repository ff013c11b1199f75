#!/bin/bash
# What the imaging benchmark compares with: bmaptool, and ironic-python-agent with the tools that it calls. What cannot be
# installed is left out of the benchmark, which says so.
. "$(dirname "$0")/env.sh"
"$SETUP/packages.sh" time pigz || fail "the benchmark measures with GNU time"
"$SETUP/packages.sh" bmap-tools || say "bmaptool is left out"
venv=$CACHE/bench/venv
python=/usr/bin/python3
export STAMP_EXTRA="$($python --version) $venv"
inputs=("$SETUP/bench.sh" "$SETUP/bench-requirements.txt" "$SETUP/bench-constraints.txt")
# ironic-python-agent: sgdisk, partprobe, udevadm, fuser.
"$SETUP/packages.sh" gdisk parted udev psmisc || { say "ironic-python-agent is left out"; rm -rf "$venv"; exit 0; }
! stamped bench "${inputs[@]}" || exit 0
mkdir -p "$CACHE/bench"
rm -rf "$venv"
$python -m venv "$venv"
# The exact versions of everything below were tried with the Python of Debian 12; another Python gets what fits it.
constraints=()
[[ $($python --version) != "Python 3.11."* ]] || constraints=(-c "$SETUP/bench-constraints.txt")
if "$venv/bin/pip" install -q --disable-pip-version-check "${constraints[@]}" -r "$SETUP/bench-requirements.txt" &&
    "$venv/bin/python" -c 'import ironic_python_agent.cmd.agent'; then
    stamp bench "${inputs[@]}"
else
    say "ironic-python-agent is left out"
    rm -rf "$venv"
fi
