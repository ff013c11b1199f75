#!/bin/bash
# The small operating system of the tests: GPT, an ESP with systemd-boot and Debian's kernel, an ext4 root with a marker.
# It proves that firmware started the written disk and that the root file system arrived whole, and it is quick where every
# byte is costly (emulated CPUs). Same inputs, same bytes; nothing is mounted.  ->  .cache/images/tiny.raw{,.gz,.zst,.xz}
. "$(dirname "$0")/../setup/env.sh"
PATH=$PATH:/usr/sbin:/sbin
kernel=$CACHE/kernel/root out=$CACHE/images
version=$(basename "$kernel"/lib/modules/*)
stub=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
inputs=("$ROOT/tests/images/tiny.sh" "$kernel/boot/vmlinuz-$version" "$stub" /bin/busybox)
if stamped tiny "${inputs[@]}" && [ -e "$out/tiny.sha512" ]; then exit 0; fi

start=$SECONDS
export TZ=UTC SOURCE_DATE_EPOCH=1700000000 E2FSPROGS_FAKE_TIME=1700000000
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"; mkdir -p "$out" first/{bin,proc,sys,dev,root,lib/modules} root/{bin,sbin,proc,sys,dev,etc,mnt}

# First stage: loads what disks need, hands over to the root file system.
cp /bin/busybox first/bin/; cp /bin/busybox root/bin/; ln -s busybox root/bin/sh
for module in virtio_blk sd_mod ahci virtio_scsi nvme ext4 isofs vfat nls_ascii nls_cp437; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p' || true
done | awk '!seen[$0]++' > modules
while read -r path; do
    name=$(basename "${path%.xz}")
    case $path in *.xz) xz -dc "$path" ;; *) cat "$path" ;; esac > "first/lib/modules/$name"
    echo "$name" >> first/lib/order
done < modules
cat > first/init <<'I'
#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /lib/order); do insmod "/lib/modules/$m" 2>/dev/null; done
for i in $(seq 50); do D=$(findfs LABEL=tacit-tiny 2>/dev/null) && break; sleep 0.2; done
mount -t ext4 -o ro "$D" /root && exec switch_root /root /sbin/init
echo "TACIT-TINY no root file system" > /dev/console
exec sleep 100000
I
# Second stage: says who it is. The network stays down: what is captured is the ramdisk's doing alone.
cat > root/sbin/init <<'I'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc p /proc; $b mount -t sysfs s /sys; $b mount -t devtmpfs d /dev
name=$($b cat /etc/hostname); marker=$($b cat /etc/marker)
if D=$($b findfs LABEL=config-2 2>/dev/null) && $b mount -o ro "$D" /mnt 2>/dev/null; then
    given=$($b sed -n 's/.*"hostname": *"\([^"]*\)".*/\1/p' /mnt/openstack/latest/meta_data.json | $b head -n 1)
    echo "TACIT-CONFIG-DRIVE $D hostname=$given" > /dev/console
    name=${given:-$name}
fi
echo "TACIT-DEPLOYED $name $marker up=$($b cut -d' ' -f1 /proc/uptime)" > /dev/console
while :; do $b sleep 100000; done
I
chmod +x first/init root/sbin/init
echo tiny > root/etc/hostname; echo verified-image-1 > root/etc/marker
find first root -exec touch -hd @$SOURCE_DATE_EPOCH {} +
(cd first && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc --reproducible -R 0:0 --quiet) | zstd -q -19 -f -o initrd.img

# mtools stamps directories with the clock.
at_fixed_time() { faketime -f '2023-11-14 22:13:20' "$@"; }
esp_mib=24 root_mib=12
truncate -s ${root_mib}M root.ext4
mke2fs -q -t ext4 -b 4096 -O ^has_journal,^metadata_csum_seed,^orphan_file -U 7ac17000-0000-4000-8000-0000000000aa -L tacit-tiny \
    -E hash_seed=7ac17000-0000-4000-8000-0000000000aa,root_owner=0:0 -d root root.ext4 2>/dev/null ||
mke2fs -q -t ext4 -b 4096 -O ^has_journal -U 7ac17000-0000-4000-8000-0000000000aa -L tacit-tiny \
    -E hash_seed=7ac17000-0000-4000-8000-0000000000aa,root_owner=0:0 -d root root.ext4
# mke2fs copies the change times of its sources, which nothing else can set.
(cd root && find . -mindepth 1 -printf '/%P\n') | while read -r path; do
    printf 'set_inode_field "%s" ctime @%s\nset_inode_field "%s" ctime_extra 0\nset_inode_field "%s" crtime @%s\nset_inode_field "%s" crtime_extra 0\n' \
        "$path" $SOURCE_DATE_EPOCH "$path" "$path" $SOURCE_DATE_EPOCH "$path"
done > times
debugfs -w -f times root.ext4 >/dev/null 2>&1
printf 'timeout 0\ndefault tiny\n' > loader.conf
printf 'title tiny\nlinux /vmlinuz\ninitrd /initrd.img\noptions console=ttyS0 quiet loglevel=0 no_timer_check\n' > tiny.conf
# What distributions leave for firmware: the loader by its own name and the line that says what to call it (UTF-16, with BOM).
{ printf '\xff\xfe'; printf 'systemd-bootx64.efi,Tacit tiny,,The tests of Tacit\r\n' | iconv -t UTF-16LE; } > BOOTX64.CSV
cp "$kernel/boot/vmlinuz-$version" vmlinuz; cp "$stub" boot.efi
touch -d @$SOURCE_DATE_EPOCH ./*
truncate -s ${esp_mib}M esp.fat; mkfs.vfat --invariant -F 16 -i 7ac17e5b -n ESP esp.fat >/dev/null
at_fixed_time mmd -i esp.fat ::EFI ::EFI/BOOT ::EFI/tiny ::loader ::loader/entries
at_fixed_time mcopy -m -i esp.fat boot.efi ::EFI/BOOT/BOOTX64.EFI
at_fixed_time mcopy -m -i esp.fat boot.efi ::EFI/tiny/systemd-bootx64.efi
at_fixed_time mcopy -m -i esp.fat BOOTX64.CSV ::EFI/tiny/BOOTX64.CSV
at_fixed_time mcopy -m -i esp.fat vmlinuz initrd.img ::
at_fixed_time mcopy -m -i esp.fat loader.conf ::loader/loader.conf
at_fixed_time mcopy -m -i esp.fat tiny.conf ::loader/entries/tiny.conf

rm -f tiny.raw; truncate -s $((esp_mib + root_mib + 2))M tiny.raw
sgdisk -a 2048 -U 7ac17000-0000-4000-8000-000000000001 \
    -n 1:2048:+${esp_mib}M -t 1:ef00 -c 1:ESP -u 1:7ac17000-0000-4000-8000-000000000011 \
    -n 2:0:+${root_mib}M -t 2:8304 -c 2:root -u 2:7ac17000-0000-4000-8000-000000000012 tiny.raw >/dev/null
dd if=esp.fat of=tiny.raw bs=1M seek=1 conv=notrunc status=none
dd if=root.ext4 of=tiny.raw bs=1M seek=$((1 + esp_mib)) conv=notrunc status=none
gzip -6 -n -c tiny.raw > tiny.raw.gz
zstd -q -9 -f tiny.raw -o tiny.raw.zst
xz -2 -T1 -c tiny.raw > tiny.raw.xz
sha512sum tiny.raw tiny.raw.gz tiny.raw.zst tiny.raw.xz > tiny.sha512
install -m 644 tiny.raw tiny.raw.gz tiny.raw.zst tiny.raw.xz "$out"
install -m 644 tiny.sha512 "$out"
stamp tiny "${inputs[@]}"
say "tiny image: $(stat -c %s tiny.raw) bytes raw, $(stat -c %s tiny.raw.gz) gzip, $(stat -c %s tiny.raw.zst) zstd ($((SECONDS - start)) s)"
