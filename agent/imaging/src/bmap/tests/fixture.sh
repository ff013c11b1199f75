#!/bin/sh
# Makes bmaptool.bmap: the map that Yocto's bmaptool (Debian: bmap-tools) makes of a small sparse image, without its
# comments, and with the checksum that it has without them.
# The image: 4 KiB blocks 0-1, 5 and 7 full of "a", the rest holes; it ends within block 7, at 32000 bytes.
set -eu
cd "$(dirname "$0")"
image=$(mktemp) map=$(mktemp)
trap 'rm -f "$image" "$map"' EXIT
letters() { head -c "$2" /dev/zero | tr '\0' a | dd of="$image" bs=4096 seek="$1" conv=notrunc status=none; }
truncate -s 32000 "$image"
letters 0 8192
letters 5 4096
letters 7 3328
bmaptool --quiet create -o "$map" "$image"
sed -Ez 's/<!--([^-]|-[^-])*-->//g; s/\n[ \n]*\n/\n/g; s/(BmapFileChecksum> )[0-9a-f]{64}/\1'"$(printf %064d 0)"'/' \
    "$map" >bmaptool.bmap
sum=$(sha256sum <bmaptool.bmap | cut -c-64)
sed -Ei "s/(BmapFileChecksum> )0{64}/\1$sum/" bmaptool.bmap
