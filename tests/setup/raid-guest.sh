#!/bin/bash
# Takes the RAID steps through their paces in a virtual machine with four disks, the real mdadm and Debian's kernel
# (the host's kernel may have no md). Needs the packages mdadm, qemu-system-x86 and kmod, and `make setup` for the kernel.
# About a minute; prints the machine's console; exit status 0 when all went well.
. "$(dirname "$0")/env.sh"
guest=${1:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/examples/raid-guest}
[ -x "$guest" ] || fail "$guest is missing: cargo build -p tacit-hardware --example raid-guest"
mdadm=$(command -v mdadm || echo /sbin/mdadm)
[ -x "$mdadm" ] || fail "mdadm is missing"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree/sbin" "$tree/tmp" "$work/kernel"
dpkg-deb -x "$CACHE/kernel/linux-image.deb" "$work/kernel"
vmlinuz=$(echo "$work"/kernel/boot/vmlinuz-*)
version=${vmlinuz##*/vmlinuz-}
[ -d "$work/kernel/lib" ] || ln -s usr/lib "$work/kernel/lib"
depmod -b "$work/kernel" "$version"
for module in virtio_pci virtio_blk md_mod raid0 raid1 raid10 raid456; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' | while read -r file; do
    name=$(basename "$file"); name=${name%.xz}
    case $file in *.xz) xz -dc "$file" >"$tree/$name" ;; *) cp "$file" "$tree/$name" ;; esac
    echo "/$name" >>"$tree/modules"
done
install -m 755 "$guest" "$tree/init"
install -m 755 "$mdadm" "$tree/sbin/mdadm"
for program in "$guest" "$mdadm"; do
    ldd "$program" | grep -oE '/[^ ]+\.so[^ ]*' || true
done | sort -u | while read -r library; do
    mkdir -p "$tree$(dirname "$library")"
    cp -L "$library" "$tree$library"
done
(cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd"
drives=()
for number in 0 1 2 3; do
    truncate -s 3G "$work/disk$number"
    drives+=(-drive "file=$work/disk$number,format=raw,if=none,id=d$number,cache=unsafe"
        -device "virtio-blk-pci,drive=d$number,serial=RAID$number")
done
timeout 900 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none \
    -no-reboot -serial stdio -kernel "$vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" \
    "${drives[@]}" </dev/null | tee "$work/console"
grep -q "RAID-GUEST: passed" "$work/console" || fail "the RAID steps failed, see above"
