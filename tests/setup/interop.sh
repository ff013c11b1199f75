#!/bin/bash
# What the interoperability tests need besides `make setup`: stock Ironic in a virtual environment of its own, what Ironic
# makes boot media with, the boot loader that an operator gives to Ironic for them, and what boots machines by network.
# ->  .cache/interop
. "$(dirname "$0")/env.sh"
"$SETUP/packages.sh" genisoimage dnsmasq-base ipxe grub-efi-amd64-bin grub-common mtools dosfstools openssh-client
out=$CACHE/interop
venv=$out/ironic
python=/usr/bin/python3
mkdir -p "$out"

export STAMP_EXTRA="$($python --version) $venv"
inputs=("$SETUP/interop.sh" "$SETUP/interop-requirements.txt" "$SETUP/interop-constraints.txt")
if ! stamped interop-ironic "${inputs[@]}"; then
    say "python: $(grep -m1 '^ironic==' "$SETUP/interop-requirements.txt")"
    rm -rf "$venv"
    $python -m venv "$venv"
    # The exact versions of everything below were tried with the Python of Debian 12; another Python gets what fits it.
    constraints=()
    [[ $($python --version) != "Python 3.11."* ]] || constraints=(-c "$SETUP/interop-constraints.txt")
    "$venv/bin/pip" install -q --disable-pip-version-check "${constraints[@]}" -r "$SETUP/interop-requirements.txt"
    "$venv/bin/python" -c 'import ironic.conductor.manager'
    stamp interop-ironic "${inputs[@]}"
fi

# What the ramdisk of the tests lets a rescue user in with: an SSH server and a shell, as packages, not installed.
rescue=(busybox-static dropbear-bin libc6 libcrypt1 libgmp10 libtomcrypt1 libtommath1 zlib1g)
STAMP_EXTRA="${rescue[*]}"
if ! stamped interop-rescue "$SETUP/interop.sh"; then
    rm -rf "$out/rescue"; mkdir -p "$out/rescue"
    # Some have another name in Debian 13.
    names=()
    for package in "${rescue[@]}"; do
        apt-cache show "$package" >/dev/null 2>&1 || package=${package}t64
        names+=("$package")
    done
    ( cd "$out/rescue" && apt-get download -q "${names[@]}" 2> >(grep -v unsandboxed >&2) )
    stamp interop-rescue "$SETUP/interop.sh"
fi

# GRUB in an EFI system partition: it finds the medium's own menu, which Ironic writes.
STAMP_EXTRA="$(dpkg-query -W -f='${Version}' grub-efi-amd64-bin)"
if ! stamped interop-esp "$SETUP/interop.sh" || [ ! -e "$out/esp.img" ]; then
    work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
    cat > "$work/grub.cfg" <<'G'
search --no-floppy --file --set=root /EFI/BOOT/grub.cfg
set timeout=0
configfile ($root)/EFI/BOOT/grub.cfg
G
    grub-mkstandalone --format=x86_64-efi --output="$work/bootx64.efi" --locales= --themes= --fonts= \
        --install-modules="iso9660 search search_fs_file configfile linux normal echo part_gpt part_msdos fat all_video" \
        "boot/grub/grub.cfg=$work/grub.cfg"
    truncate -s 8M "$work/esp.img"
    PATH=$PATH:/usr/sbin:/sbin mkfs.vfat --invariant -n ESP "$work/esp.img" >/dev/null
    mmd -i "$work/esp.img" ::EFI ::EFI/BOOT
    mcopy -i "$work/esp.img" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
    install -m 644 "$work/esp.img" "$out/esp.img"
    stamp interop-esp "$SETUP/interop.sh"
fi
