#!/bin/bash
# The user and group that libvirt's QEMU driver asks for by name; libvirt-daemon-system, which is not installed, would make them.
. "$(dirname "$0")/env.sh"
getent group libvirt >/dev/null || as_root groupadd --system libvirt
getent passwd libvirt-qemu >/dev/null || as_root useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin libvirt-qemu
