#!/bin/bash
# A real Debian for the demo: mmdebstrap into a directory, then ESP and ext4 root put together without mounting anything.
# Packages come from the mirror that this machine's apt is set up with.  ->  .cache/images/debian.raw.zst, debian.sha512
. "$(dirname "$0")/../setup/env.sh"
PATH=$PATH:/usr/sbin:/sbin
. /etc/os-release
suite=$VERSION_CODENAME out=$CACHE/images
boot=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
inputs=("$ROOT/tests/images/debian.sh" "$boot")
if stamped debian "${inputs[@]}" && [ -e "$out/debian.sha512" ]; then exit 0; fi
[ "$(id -u)" = 0 ] || { say "the Debian image needs root (chroot): using sudo"; exec sudo --preserve-env "$0"; }

start=$SECONDS
export TZ=UTC SOURCE_DATE_EPOCH=1700000000
mkdir -p "$out"
work=$(mktemp -d "$CACHE/debian.XXXXXX"); trap 'rm -rf "$work"' EXIT
cd "$work"; chmod 755 .
mirror=$(apt-get indextargets 'Created-By: Packages' | awk -v RS= -v suite="$suite" -F'\n' '{
    release = uri = ""
    for (i = 1; i <= NF; i++) { split($i, kv, ": "); if (kv[1] == "Release") release = kv[2]; if (kv[1] == "Repo-URI") uri = kv[2] }
    if (release == suite) { print uri; exit } }')
[ -n "$mirror" ] || fail "apt has no source for $suite"

cat > marker.service <<'U'
[Unit]
Description=Tells the serial console that this system runs
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "TACIT-DEPLOYED $(cat /etc/hostname) Debian $(cat /etc/debian_version), up $(cut -d" " -f1 /proc/uptime) s" > /dev/console'
[Install]
WantedBy=multi-user.target
U
say "Debian image: mmdebstrap $suite"
mmdebstrap --mode=root --variant=minbase --include=systemd-sysv,udev,linux-image-cloud-amd64,initramfs-tools,zstd,iproute2,dbus \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; printf "MODULES=most\nCOMPRESS=zstd\n" > "$1/etc/initramfs-tools/conf.d/tacit"' \
    --customize-hook='echo debian > "$1/etc/hostname"; printf "127.0.0.1 localhost debian\n" > "$1/etc/hosts"' \
    --customize-hook="cp '$work/marker.service' \"\$1/etc/systemd/system/tacit-marker.service\"; chroot \"\$1\" systemctl enable -q tacit-marker.service" \
    --customize-hook='chroot "$1" systemctl mask -q systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer' \
    "$suite" root "$mirror" > log 2>&1 || { tail -20 log >&2; fail "mmdebstrap failed"; }
say "Debian image: $(du -sm root | cut -f1) MiB after $((SECONDS - start)) s; making the disk"

uuid=7ac17000-0000-4000-8000-0000000000de
esp_mib=80 root_mib=$(($(du -sm root | cut -f1) * 125 / 100 + 64))
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" > root/etc/fstab
truncate -s ${root_mib}M root.ext4
mke2fs -q -t ext4 -U $uuid -L debian -E hash_seed=$uuid -d root root.ext4
printf 'timeout 0\ndefault debian\n' > loader.conf
printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions root=UUID=%s ro console=ttyS0 quiet no_timer_check systemd.show_status=0 loglevel=3\n' $uuid > debian.conf
{ printf '\xff\xfe'; printf 'systemd-bootx64.efi,Debian,,\r\n' | iconv -t UTF-16LE; } > BOOTX64.CSV
truncate -s ${esp_mib}M esp.fat; mkfs.vfat --invariant -F 32 -i 7ac17e5d -n ESP esp.fat >/dev/null
mmd -i esp.fat ::EFI ::EFI/BOOT ::EFI/debian ::loader ::loader/entries
mcopy -i esp.fat "$boot" ::EFI/BOOT/BOOTX64.EFI
mcopy -i esp.fat "$boot" ::EFI/debian/systemd-bootx64.efi
mcopy -i esp.fat BOOTX64.CSV ::EFI/debian/BOOTX64.CSV
mcopy -i esp.fat root/boot/vmlinuz-* ::vmlinuz
mcopy -i esp.fat root/boot/initrd.img-* ::initrd.img
mcopy -i esp.fat loader.conf ::loader/loader.conf
mcopy -i esp.fat debian.conf ::loader/entries/debian.conf

truncate -s $((esp_mib + root_mib + 2))M debian.raw
sgdisk -a 2048 -U 7ac17000-0000-4000-8000-000000000002 \
    -n 1:2048:+${esp_mib}M -t 1:ef00 -c 1:ESP -n 2:0:+${root_mib}M -t 2:8304 -c 2:root debian.raw >/dev/null
dd if=esp.fat of=debian.raw bs=1M seek=1 conv=notrunc,sparse status=none
dd if=root.ext4 of=debian.raw bs=1M seek=$((1 + esp_mib)) conv=notrunc,sparse status=none
zstd -q -6 -T2 -f debian.raw -o debian.raw.zst
sha512sum debian.raw.zst > debian.sha512
install -m 644 debian.raw.zst debian.sha512 "$out"
stamp debian "${inputs[@]}"
say "Debian image: $(stat -c %s debian.raw) bytes raw, $(stat -c %s debian.raw.zst) zstd ($((SECONDS - start)) s)"
