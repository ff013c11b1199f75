#!/bin/bash
# A virtual environment with the Redfish emulator and the `baremetal` command line.
. "$(dirname "$0")/env.sh"
venv=$CACHE/venv
python=/usr/bin/python3
# libvirt-python is compiled against the installed libvirt and has to be of its version.
libvirt=$(pkg-config --modversion libvirt)
export STAMP_EXTRA="$($python --version) libvirt-python==$libvirt $venv"
inputs=("$SETUP/python.sh" "$SETUP/requirements.txt")
[ -f "$SETUP/constraints.txt" ] && inputs+=("$SETUP/constraints.txt")
! stamped python "${inputs[@]}" || exit 0
say "python: sushy-tools, python-ironicclient, libvirt-python $libvirt"
rm -rf "$venv"
$python -m venv "$venv"
constraints=()
# The exact versions of everything below were tried with the Python of Debian 12; another Python gets what fits it.
[[ $($python --version) != "Python 3.11."* || ! -f $SETUP/constraints.txt ]] || constraints=(-c "$SETUP/constraints.txt")
"$venv/bin/pip" install -q --disable-pip-version-check "${constraints[@]}" -r "$SETUP/requirements.txt"
"$venv/bin/pip" install -q --disable-pip-version-check --no-build-isolation "libvirt-python==$libvirt" ||
    "$venv/bin/pip" install -q --disable-pip-version-check "libvirt-python==$libvirt"
"$venv/bin/python" -c 'import libvirt, sushy_tools.emulator.main'
"$venv/bin/baremetal" --version >/dev/null
stamp python "${inputs[@]}"
