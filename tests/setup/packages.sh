#!/bin/bash
# Debian packages (12 and 13): what building and testing need, or those that are named. No recommended packages, and no
# service is started or enabled by their installation.
. "$(dirname "$0")/env.sh"
. /etc/os-release
[ "${ID:-}" = debian ] || [[ " ${ID_LIKE:-} " == *" debian "* ]] || fail "this is ${PRETTY_NAME:-an unknown system}; the set-up knows Debian 12 and 13"

wanted=(
    build-essential musl-tools pkg-config python3-dev python3-venv                  # to build
    qemu-system-x86 qemu-utils ovmf libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libvirt-dev   # virtual servers
    systemd-boot-efi xorriso mtools dosfstools gdisk e2fsprogs busybox-static cpio faketime zstd xz-utils kmod       # images
    nftables tcpdump iproute2 nginx openssl curl jq file                                                    # the lab's network
    mdadm dmsetup                                                                                           # software RAID, stacks of volumes
    lvm2 xfsprogs btrfs-progs cryptsetup-bin ntfs-3g exfatprogs f2fs-tools udftools squashfs-tools erofs-utils      # what the metadata wipe
    jfsutils nilfs-tools ocfs2-tools gfs2-utils bcache-tools testdisk                                               # is checked against
    dmidecode                                                                                            # what the inventory is compared with
    mmdebstrap                                                                                              # the demo's Debian
)
[ $# = 0 ] || wanted=("$@")
# Debian 13 has libvirt's storage driver (virtual media live in a storage pool) and the tools for cramfs in packages of
# their own.
[ $# = 0 ] && [ "${VERSION_ID:-12}" -ge 13 ] && wanted+=(libvirt-daemon-driver-storage util-linux-extra)

installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
missing=()
for package in "${wanted[@]}"; do installed "$package" || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0

apt() { as_root apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q "$@"; }
target=()
# Debian 12's own QEMU refuses to live beside a qemu-utils from backports: then the rest of QEMU has to come from there too,
# that is, from the same archive that this machine is set up with.
if dpkg-query -W -f='${Version}\n' 'qemu-*' 2>/dev/null | grep -q '~bpo'; then
    suite=$VERSION_CODENAME-backports
    # Stanzas of what apt is configured with, one a line: release, address, keyring.
    sources=$(apt-get indextargets 'Created-By: Packages' | awk -v RS= -F'\n' '{
        release = uri = key = ""
        for (i = 1; i <= NF; i++) { split($i, kv, ": ")
            if (kv[1] == "Release") release = kv[2]; if (kv[1] == "Repo-URI") uri = kv[2]; if (kv[1] == "Signed-By") key = kv[2] }
        print release, uri, key }')
    if ! grep -q "^$suite " <<<"$sources"; then
        read -r _ uri key < <(grep "^$VERSION_CODENAME " <<<"$sources") || true
        [ -n "${uri:-}" ] || fail "apt has no source for $VERSION_CODENAME"
        as_root tee /etc/apt/sources.list.d/tacit-backports.sources >/dev/null < <(
            printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
            [ -z "$key" ] || printf 'Signed-By: %s\n' "$key")
    fi
    target=(-t "$suite")
fi

say "apt: ${missing[*]}"
apt update
# Packages with services would start them; this says no for as long as the installation runs.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    trap 'as_root rm -f $policy' EXIT
fi
from_target=() from_release=()
for package in "${missing[@]}"; do
    case $package in
    qemu-*) from_target+=("$package") ;;
    *) from_release+=("$package") ;;
    esac
done
[ ${#from_target[@]} = 0 ] || apt install -y --no-install-recommends "${target[@]}" "${from_target[@]}"
[ ${#from_release[@]} = 0 ] || apt install -y --no-install-recommends "${from_release[@]}"
# The lab runs nginx by hand; nobody asked for a web server on this machine.
case " ${missing[*]} " in *" nginx "*)
    if command -v systemctl >/dev/null; then as_root systemctl disable nginx.service >/dev/null 2>&1 || say "note: nginx.service could not be disabled"; fi ;;
esac
