#!/bin/bash
# enclosed.sh DEVICE COMMAND... : runs a command in a mount namespace of its own, whose /dev holds one loop device and no other
# disk, with the programs of ./bin first in PATH: stock ironic-python-agent takes that device for the machine's only disk, and
# can neither switch the machine off nor touch its clock, modules and network. Ends with the command.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${IPA_ENCLOSED:-}" ]; then
    export IPA_ENCLOSED=1
    exec unshare --mount --propagation private "$0" "$@"
fi
export IPA_DISK=${1#/dev/}
shift
[[ $IPA_DISK =~ ^loop[0-9]+$ ]] || { echo "enclosed.sh: $IPA_DISK is no loop device" >&2; exit 2; }

mount -t tmpfs -o mode=755,size=1m none /mnt
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<< "$node"
    mknod -m 666 "/mnt/$name" c "$major" "$minor"
done
mknod -m 660 "/mnt/$IPA_DISK" b 7 "${IPA_DISK#loop}"
# The agent wants a persistent name for its disk.
mkdir -p /mnt/shm /mnt/disk/by-path
ln -s "../../$IPA_DISK" /mnt/disk/by-path/pci-0000:00:1f.2-ata-1
ln -s /proc/self/fd /mnt/fd
mount --bind /dev/shm /mnt/shm
mount --rbind /mnt /dev
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
export PATH=$here/bin:$PATH

# There is no udev here: partitions of the disk get their nodes from this loop, which ends with the command.
"$@" &
command=$!
trap 'kill -TERM $command 2>/dev/null' TERM INT
while kill -0 $command 2>/dev/null; do
    for partition in /sys/block/"$IPA_DISK/$IPA_DISK"p*; do
        node=/dev/${partition##*/}
        if [ -e "$partition/dev" ] && [ ! -e "$node" ]; then
            IFS=: read -r major minor < "$partition/dev" && mknod "$node" b "$major" "$minor" || true
        fi
    done
    for node in /dev/"$IPA_DISK"p*; do
        [ -e "/sys/block/$IPA_DISK/${node##*/}" ] || rm -f "$node"
    done
    sleep 0.1
done
wait $command
