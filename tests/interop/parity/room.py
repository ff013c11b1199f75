"""The room in which both agents run: a private /dev with two loop devices, a private /etc, loopback, and nothing else of the
machine that could be written to. Everything here assumes namespaces of its own (parity.sh)."""

import contextlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0), "kmsg": (1, 11)}
LOOP_MAJOR = 7
# Above the smallest disk that IPA takes for a root device.
DISK_BYTES = 5 << 30


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def room():
    """Yields a folder for files and the two disks."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="tacit-parity.", dir="/var/tmp"))
    disks, held = [], []
    try:
        run("mount", "-t", "proc", "proc", "/proc")
        run("mount", "-t", "sysfs", "sysfs", "/sys")
        if os.path.exists("/proc/sysrq-trigger"):
            run("mount", "--bind", "/dev/null", "/proc/sysrq-trigger")
        run("ip", "link", "set", "lo", "up")
        for name in ("disk-ipa", "disk-ours"):
            with open(work / name, "xb") as file:
                file.truncate(DISK_BYTES)
            disks.append(run("losetup", "--find", "--show", work / name))
            held.append(os.open(disks[-1], os.O_RDONLY))
            # Takes effect when nobody has it open any more: however this process ends, no loop device is left.
            run("losetup", "--detach", disks[-1])
        _private_etc(work)
        _private_dev(work, disks)
        yield work, disks
    finally:
        for descriptor in held:
            os.close(descriptor)
        for mounted in (work / "dev", "/dev", "/etc"):
            # Those that were not made yet are not there.
            subprocess.run(["umount", "--lazy", mounted], capture_output=True)
        shutil.rmtree(work)


def _private_etc(work):
    """Rescue writes there."""
    copy = work / "etc"
    shutil.copytree("/etc", copy, symlinks=True, ignore_dangling_symlinks=True)
    (copy / "ipa-rescue-config").mkdir(exist_ok=True)
    run("mount", "--bind", copy, "/etc")


def _private_dev(work, disks):
    new = work / "dev"
    new.mkdir()
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tacit-parity", new)
    numbers = {disk: os.stat(disk).st_rdev for disk in disks}
    for name, number in NODES.items():
        os.mknod(new / name, 0o666 | stat.S_IFCHR, os.makedev(*number))
    for disk, number in numbers.items():
        os.mknod(new / os.path.basename(disk), 0o660 | stat.S_IFBLK, number)
    os.mknod(new / "loop-control", 0o660 | stat.S_IFCHR, os.makedev(10, 237))
    (new / "shm").mkdir()
    (new / "fd").symlink_to("/proc/self/fd")
    run("mount", "--rbind", new, "/dev")
