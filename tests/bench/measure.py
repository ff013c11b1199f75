"""One run of one case: what it took, and whether the disk holds the image afterwards."""

import json
import mmap
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

from machine import MIB, busy_seconds

SECTOR = 512


def timed(command, device, nginx, scratch):
    """Runs a command. Wall seconds, CPU seconds of its whole process tree, peak RSS of the largest process, CPU seconds of
    nginx and of the machine, bytes that nginx served, that were kept in temporary files, that the kernel moved on the
    device."""
    note = pathlib.Path(scratch, "time")
    with tempfile.TemporaryDirectory(dir=scratch) as temporary, Staged(temporary) as staged:
        before, nginx_cpu, served = device.counters(), nginx.cpu_seconds(), nginx.served()
        busy, start = busy_seconds(), time.monotonic()
        returncode, printed, complained = finished(
            ["/usr/bin/time", "-o", note, "-f", "%U %S %M", *command],
            {**os.environ, "TMPDIR": temporary, "LC_ALL": "C.UTF-8"},
        )
        wall, busy = time.monotonic() - start, busy_seconds() - busy
    after = device.counters()
    user, system, peak = note.read_text().split("\n")[-2].split()
    result = {
        "wall": wall,
        "cpu": float(user) + float(system),
        "rss_kib": int(peak),
        "nginx_cpu": nginx.cpu_seconds() - nginx_cpu,
        "machine_cpu": busy,
        "staged": staged.peak,
        "served": nginx.served() - served,
        **{name: after[name] - before[name] for name in before},
    }
    said = last_object(printed)
    if said:
        result["said"] = said
    if returncode:
        lines = (said or {}).get("error") or complained.strip() or f"exit status {returncode}"
        result["error"] = str(lines).split("\n")[-1][:300]
    return result


def finished(command, environment):
    """Exit status and output of a command. It runs in a session of its own, all of which ends with the benchmark."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            printed, complained = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, printed, complained


class Staged(threading.Thread):
    """Watches how much a tool keeps in temporary files; in a ramdisk, those are memory."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.peak, self.over = pathlib.Path(folder), 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.1):
            self.peak = max(self.peak, sum(map(self.allocated, self.folder.rglob("*"))))

    @staticmethod
    def allocated(path):
        try:
            return path.lstat().st_blocks * 512
        except FileNotFoundError:
            return 0


def last_object(text):
    """The last line of what was printed, when it is a JSON object."""
    try:
        value = json.loads(text.strip().split("\n")[-1])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def mapped_ranges(bmap):
    """Byte ranges that a block map names."""
    text = pathlib.Path(bmap).read_text()
    block = int(re.search(r"<BlockSize>\s*(\d+)", text)[1])
    size = int(re.search(r"<ImageSize>\s*(\d+)", text)[1])
    for first, last in re.findall(r"<Range[^>]*>\s*(\d+)(?:\s*-\s*(\d+))?\s*</Range>", text):
        yield int(first) * block, min((int(last or first) + 1) * block, size)


def compare(device, image, bmap):
    """How much of the disk equals the image: "everywhere", "where mapped", or the offset of a difference. The protective MBR
    and the GPT header name the size of the disk, and the backup GPT moves to its end: they are not compared."""
    size = os.stat(image).st_size
    os.sync()
    subprocess.run(["blockdev", "--flushbufs", device.path], check=True)
    different = first_difference(device.path, image, [(0, size)])
    if different is None:
        return "everywhere"
    if bmap and first_difference(device.path, image, mapped_ranges(bmap)) is None:
        return "where mapped"
    return f"differs at {different}"


def first_difference(device, image, ranges, chunk=4 * MIB):
    size = os.stat(image).st_size
    head, tail = 2 * SECTOR, size - 33 * SECTOR
    disk = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        with open(image, "rb") as file, mmap.mmap(-1, chunk) as buffer:
            for start, end in ranges:
                for offset in range(start - start % 4096, end, chunk):
                    length = min(chunk, end - offset)
                    os.preadv(disk, [buffer], offset)
                    file.seek(offset)
                    low, high = max(start, head) - offset, min(offset + length, tail) - offset
                    low, expected = max(low, 0), file.read(length)
                    if low < high and buffer[low:high] != expected[low:high]:
                        return next(offset + i for i in range(low, high) if buffer[i] != expected[i])
    finally:
        os.close(disk)
    return None
