#!/bin/bash
# The kernel of the ramdisk and of the test image: the package that linux-image-cloud-amd64 stands for, downloaded and
# unpacked into .cache/kernel, not installed.
. "$(dirname "$0")/env.sh"
kernel=$CACHE/kernel
! stamped kernel "$SETUP/kernel.sh" || [ ! -e "$kernel/linux-image.deb" ] || exit 0
PATH=$PATH:/usr/sbin:/sbin
policy=$(apt-cache policy linux-image-cloud-amd64)
[ -n "$policy" ] || { as_root apt-get -o DPkg::Lock::Timeout=300 -q update; }
package=linux-image-cloud-amd64
. /etc/os-release
# Where backports are set up their kernel is taken: it is the newest that the release's users run.
release=()
! apt-get indextargets --format '$(RELEASE)' 2>/dev/null | grep -qx "$VERSION_CODENAME-backports" || release=("$VERSION_CODENAME-backports")
version=$( { [ ${#release[@]} = 0 ] || apt-cache madison $package | awk -v r="${release[0]}/" 'index($0, r) {print $3; exit}'; } )
[ -n "$version" ] || version=$(apt-cache madison $package | awk '{print $3; exit}')
[ -n "$version" ] || fail "apt knows no $package"
image=$(apt-cache show "$package=$version" | sed -nE 's/^Depends: .*(linux-image-[0-9][^ ,]*).*/\1/p' | head -1)
[ -n "$image" ] || fail "$package $version depends on no kernel"
say "kernel: $image"
rm -rf "$kernel"; mkdir -p "$kernel/download"
# apt drops its rights for downloads; in a directory of root alone that is a warning only.
( cd "$kernel/download" && apt-get download -q "$image" 2> >(grep -v unsandboxed >&2) )
mv "$kernel"/download/*.deb "$kernel/linux-image.deb"; rmdir "$kernel/download"
dpkg-deb -x "$kernel/linux-image.deb" "$kernel/root"
# From Debian 13 on packages have everything below /usr.
[ -d "$kernel/root/lib/modules" ] || ln -s usr/lib "$kernel/root/lib"
depmod -b "$kernel/root" "$(basename "$kernel"/root/lib/modules/*)"
stamp kernel "$SETUP/kernel.sh"
