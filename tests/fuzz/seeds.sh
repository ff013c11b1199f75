#!/bin/bash
# seeds.sh DIRECTORY: real inputs for every target, one directory each, to begin a corpus with.
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
seed() { mkdir -p "$out/$1"; cat > "$out/$1/$2"; }
le32() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 24 & 255)))"; }
bytes() { dd if="$1" iflag=skip_bytes,count_bytes,fullblock skip="$2" count="$3" status=none; }

# Tables, as sgdisk makes them. `gpt`: flags, blocks, MBR from 440 on, header, entries.
truncate -s 4M gpt.img
sgdisk -a 1 -n 1:64:+64K -t 1:ef00 -c 1:EFI -n 2:0:+1M -c 2:root gpt.img > /dev/null
blocks=$((4 * 2048))
{ printf '\0'; le32 $blocks; bytes gpt.img 440 72; bytes gpt.img 512 92; bytes gpt.img 1024 512; } | seed gpt two-partitions
{ printf '\0'; le32 $((blocks * 2)); bytes gpt.img 440 72; bytes gpt.img 512 92; bytes gpt.img 1024 512; } | seed gpt larger-disk
{ printf '\1'; le32 1024; bytes gpt.img 440 72; bytes gpt.img 512 92; bytes gpt.img 1024 512; } | seed gpt large-sectors
cp gpt.img mbr.img && sgdisk -m 1:2 mbr.img > /dev/null
{ le32 $blocks; bytes mbr.img 0 512; } | seed mbr two-partitions
{ le32 $blocks; bytes gpt.img 0 512; } | seed mbr protective

# Config drives: an ISO image, packed and plain.
mkdir drive && echo '{"uuid": "00000000-0000-0000-0000-000000000001"}' > drive/meta_data.json
xorriso -as mkisofs -quiet -V config-2 -J -r -o drive.iso drive 2>/dev/null
gzip -9nc drive.iso | base64 | seed config_drive travelling
{ printf '\0'; gzip -9nc drive.iso; } | seed config_drive packed
{ printf '\0'; bytes drive.iso 32768 4096; } | seed config_drive plain
# Runs of zeros become a zero and their length.
squeeze() { perl -0777 -pe 's/(\0{1,255})/"\0" . chr length $1/ge'; }

# From the volume descriptors on; plain names, Rock Ridge, Joliet.
for names in --norock -R "--norock -J" "-R -J"; do
    # shellcheck disable=SC2086
    xorriso -as mkisofs -quiet -no-pad -V config-2 $names -o names.iso drive 2>/dev/null
    bytes names.iso 32768 1M | squeeze | seed iso "names-$(tr -d ' -' <<<"$names")"
done

# qcow2, both versions, of small clusters: data, zeros, holes, packed.
{ seq 1 300; head -c 3000 /dev/zero; seq 1 500; } > disk && truncate -s 8K disk
for options in compat=0.10 compat=1.1 compat=1.1,compression_type=zstd; do
    for packed in "" -c; do
        # shellcheck disable=SC2086
        qemu-img convert -q $packed -f raw -O qcow2 -o "cluster_size=512,$options" disk disk.qcow2
        squeeze < disk.qcow2 | seed qcow2 "$options$packed"
    done
done

# Block maps. The checksum is made right by the target.
sum=$(printf %64s | tr ' ' 0)
for version in 1.3 1.4 2.0; do
    seed bmap "version-$version" <<XML
<?xml version="1.0" ?>
<bmap version="$version">
    <ImageSize> 20000 </ImageSize>
    <BlockSize> 4096 </BlockSize>
    <BlocksCount> 5 </BlocksCount>
    <MappedBlocksCount> 3 </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <!-- of this file -->
    <BmapFileChecksum> $sum </BmapFileChecksum>
    <BlockMap>
        <Range chksum="$sum"> 0-1 </Range>
        <Range chksum="$sum"> 4 </Range>
    </BlockMap>
</bmap>
XML
done

# zstd streams; the first byte says how they are cut.
{ seq 1 400; head -c 3000 /dev/zero; } > text
{ printf '\3'; zstd -qc --check text; } | seed frames one
{ printf '\3'; zstd -qc --no-check text; zstd -qc text; } | seed frames two
{ printf '\3'; zstd -qc --no-content-size < text; } | seed frames size-unknown
{ printf '\3'; printf '\x50\x2a\x4d\x18\x04\x00\x00\x00skip'; head -c 1000 /dev/zero | zstd -q -c -19; } | seed frames skippable

# Whole images; the first byte says how they are written.
head -c 20K gpt.img > small-gpt.img; head -c 3K mbr.img > small-mbr.img
for image in small-gpt.img small-mbr.img; do
    { printf '\0'; cat $image; } | seed write "$image"
    { printf '\1'; gzip -9nc $image; } | seed write "$image.gz"
    { printf '\2'; xz -9c $image; } | seed write "$image.xz"
    { printf '\3'; zstd -qc -19 $image; } | seed write "$image.zst"
    { printf '\4'; zstd -qc -19 $image; } | seed write "$image.forged"
    qemu-img convert -q -f raw -O qcow2 -o cluster_size=512,compression_type=zlib -c $image $image.qcow2
    { printf '\0'; cat $image.qcow2; } | seed write "$image.qcow2"
done

# Text.
sum=$(sha256sum < text | cut -c1-64)
printf 'disk.img\n%s\n' "$sum" | seed checksum bare
printf 'disk.img\n# images\n%s  other.img\n%s *disk.img\n' "${sum^^}" "$sum" | seed checksum gnu
printf 'disk.img\nSHA256 (disk.img) = %s\n' "$sum" | seed checksum bsd
cat > network.json <<'J'
{"links": [{"id": "l0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "mtu": 9000},
  {"id": "b0", "type": "bond", "bond_mode": "802.3ad", "bond_links": ["l0"], "bond_miimon": 100, "bond_xmit_hash_policy": "layer3+4"},
  {"id": "v0", "type": "vlan", "vlan_link": "b0", "vlan_id": 7, "vlan_mac_address": "52:54:00:00:00:02"}],
 "networks": [{"id": "n0", "link": "v0", "network_id": "x", "type": "ipv4", "ip_address": "192.0.2.7", "netmask": "255.255.255.0",
  "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}],
 "services": [{"type": "dns", "address": "192.0.2.53"}]}
J
seed node_config network < network.json
printf '{"version": 1, "node_uuid": "u", "made_at": 1, "ca_certificate": "c", "certificate": "d", "private_key": "k", "network_data": %s, "port": 9999}    ' \
    "$(cat network.json)" | seed node_config region
# A signature and its key, of the kind that is taken and of the one that is not.
key=RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
{ printf 'untrusted comment: signature\nRUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n'
  printf 'trusted comment: timestamp:1556193335\tfile:test\ny/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n\0%s' $key; } | seed signature prehashed
{ printf 'untrusted comment: signature\nRWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n'
  printf 'trusted comment: timestamp:1555779966\tfile:test\nQtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n\0%s' $key; } | seed signature legacy
# Entry point, BIOS, system, board, processor, memory device, end.
{ printf '_SM3_\0\x18\x03\x02\0\1\0\0\x10\0\0\0\0\0\0\0\0\0\0'
  printf '\0\x18\0\0\1\2\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0Vendor\0Version\0001/01/2026\0\0'
  printf '\1\x1b\1\0\1\2\3\4\x33\x22\x11\0\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff\6\0\0Maker\0Product\0Version\0Serial\0\0'
  printf '\2\x08\2\0\1\2\3\4Maker\0Board\0Version\0Serial\0\0'
  printf '\4\x1a\4\0\1\3\2\3\0\0\0\0\0\0\0\0\4\0\0\0\xb8\x0b\xb8\x0b\x41\1Socket\0Processor\0CPU\0\0'
  printf '\x11\x22\5\0\0\0\0\0\x40\0\x40\0\xff\x7f\x09\0\1\0\x1a\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0DIMM\0\0'
  printf '\x7f\4\6\0\0\0'; } | seed smbios machine
