#!/bin/bash
# The images of the benchmark: one disk (GPT: ESP, ext4 root; 40 % files of installed packages, the rest holes) in every
# format.  images.sh SIZE-IN-MIB  ->  .cache/bench/images-SIZE/
. "$(dirname "$0")/../setup/env.sh"
PATH=$PATH:/usr/sbin:/sbin
mib=${1:?size in MiB}
out=$CACHE/bench/images-$mib
export STAMP_EXTRA="$mib $(command -v bmaptool || true)"
inputs=("$ROOT/tests/bench/images.sh")
if stamped "bench-images-$mib" "${inputs[@]}" && [ -e "$out/disk.raw" ]; then exit 0; fi

export TZ=UTC SOURCE_DATE_EPOCH=1700000000
rm -rf "$out"; mkdir -p "$out"; chmod 755 "$out"
tree=$(mktemp -d "$CACHE/bench/tree.XXXXXX"); trap 'rm -rf "$tree"' EXIT
cd "$out"
start=$SECONDS
took() { say "bench images: $1 ($((SECONDS - start)) s)"; }

# Files of packages in an order that mixes programs, libraries, texts and headers and is the same every time.
want=$((mib * 1048576 * 4 / 10))
sort -u /var/lib/dpkg/info/*.list | grep '^/usr/' | sort -R --random-source=<(yes) | tr '\n' '\0' |
    xargs -0 stat --printf '%F|%s|%n\n' 2>/dev/null |
    awk -F'|' -v want="$want" '/^regular file/ && $2 < 60e6 && NF == 3 { if (sum >= want) exit; print substr($3, 2); sum += int(($2 + 4095) / 4096) * 4096 }' > "$tree.list" || true
tar -C / --no-recursion --mode=a-s --ignore-failed-read -cT "$tree.list" 2>/dev/null | tar -x -C "$tree" --no-same-owner
took "$(wc -l < "$tree.list") files, $(du -sm "$tree" | cut -f1) MiB"
rm "$tree.list"

esp_mib=64 uuid=7ac17000-0000-4000-8000-0000000000be
truncate -s "${mib}M" disk.raw
sgdisk -a 2048 -U 7ac17000-0000-4000-8000-0000000000bf \
    -n 1:2048:+${esp_mib}M -t 1:ef00 -c 1:ESP -n 2:0:0 -t 2:8304 -c 2:root disk.raw >/dev/null
mkfs.vfat --invariant -F 32 -n ESP --offset 2048 disk.raw $((esp_mib * 1024)) > /dev/null 2> >(grep -v 'block count mismatch' >&2)
mke2fs -q -F -t ext4 -U $uuid -L root -E "hash_seed=$uuid,offset=$(((1 + esp_mib) * 1048576))" -d "$tree" disk.raw $((mib - esp_mib - 2))M
sync disk.raw
took "raw: $(($(stat -c %b disk.raw) / 2048)) of $mib MiB are data"

qemu-img convert -O qcow2 disk.raw disk.qcow2
qemu-img convert -c -O qcow2 -o compression_type=zlib disk.raw disk-zlib.qcow2
qemu-img convert -c -O qcow2 -o compression_type=zstd disk.raw disk-zstd.qcow2
took "qcow2"
zstd -q -3 -T0 disk.raw -o disk.raw.zst
# Independent frames, as pzstd and the seekable format make them.
pzstd -q -3 disk.raw -o disk-frames.raw.zst
pigz -k -6 disk.raw
took "zstd, gzip"
# A quick preset: what is measured is unpacking.
xz -k -T0 -2 disk.raw
took "xz"
! command -v bmaptool >/dev/null || bmaptool -q create -o disk.bmap disk.raw
for algorithm in sha256 sha512; do openssl dgst -r -$algorithm disk* | sed 's/ \*/  /' > sums.$algorithm.new; done
for algorithm in sha256 sha512; do mv sums.$algorithm.new $algorithm; done
chmod 644 ./*
stamp "bench-images-$mib" "${inputs[@]}"
took "done: $(du -sm . | cut -f1) MiB"
