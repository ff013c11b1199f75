"""What a run is made of: memory, loop devices, nginx. Each is taken down by whoever made it, and nothing else is."""

import contextlib
import glob
import mmap
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

MIB = 1 << 20
# What the disk holds before it is written to: neither zeros nor an image.
OLD_CONTENT = b"\xa5" * (4 * MIB)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()


@contextlib.contextmanager
def tmpfs(size):
    """A file system in memory of at most so many bytes."""
    where = pathlib.Path(tempfile.mkdtemp(prefix="bench-memory."))
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tacit-bench", where)
        try:
            yield where
        finally:
            # Lazily: a command that was killed a moment ago may still hold a file.
            run("umount", "--lazy", where)
    finally:
        where.rmdir()


class Device:
    """A loop device over a file."""

    def __init__(self, kind, path, backing):
        self.kind, self.path, self.backing = kind, path, backing
        self.sys = pathlib.Path("/sys/block", os.path.basename(path))
        self.size = os.stat(backing).st_size

    def fill(self, everything):
        """Gives what the backing file has no blocks for (or all of it) old content, so that every tool finds the same disk:
        allocated to its end. What an earlier run wrote is otherwise left."""
        for partition in glob.glob(f"{self.sys}/{self.sys.name}p*"):
            run("partx", "--delete", "--nr", pathlib.Path(partition, "partition").read_text().strip(), self.path)
        holes = [(0, self.size)] if everything else list(self._holes())
        with contextlib.closing(mmap.mmap(-1, len(OLD_CONTENT))) as aligned:
            aligned.write(OLD_CONTENT)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_DIRECT)
            try:
                for start, end in holes:
                    # Blocks of 4 KiB are the smallest that the file systems below have.
                    start -= start % 4096
                    while start < end:
                        length = min(len(aligned), -(-(end - start) // 4096) * 4096)
                        with memoryview(aligned) as whole, whole[:length] as part:
                            os.pwrite(descriptor, part, start)
                        start += length
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        run("blockdev", "--flushbufs", self.path)

    def _holes(self):
        descriptor = os.open(self.backing, os.O_RDONLY)
        try:
            end = 0
            while end < self.size:
                start = os.lseek(descriptor, end, os.SEEK_HOLE)
                if start >= self.size:
                    return
                try:
                    end = os.lseek(descriptor, start, os.SEEK_DATA)
                except OSError:
                    end = self.size
                yield start, end
        finally:
            os.close(descriptor)

    def counters(self):
        """Bytes read, written and discarded since the device exists, as the kernel counts them."""
        fields = (self.sys / "stat").read_text().split()
        return {"read": int(fields[2]) * 512, "written": int(fields[6]) * 512, "discarded": int(fields[13]) * 512}


@contextlib.contextmanager
def loop_device(kind, folder, size, direct):
    """A disk of so many bytes over a file in `folder`."""
    backing = pathlib.Path(folder, f"disk-{os.getpid()}")
    try:
        with open(backing, "xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        path = run("losetup", "--find", "--show", f"--direct-io={'on' if direct else 'off'}", backing)
        try:
            yield Device(kind, path, backing)
        finally:
            run("losetup", "--detach", path)
    finally:
        backing.unlink(missing_ok=True)


class Nginx:
    """Serves one folder on a free port of loopback."""

    def __init__(self, folder, scratch):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config, self.log = pathlib.Path(scratch, "nginx.conf"), pathlib.Path(scratch, "served")
        config.write_text(
            f"daemon off; worker_processes 2; pid {scratch}/nginx.pid; error_log stderr crit;\n"
            "events { worker_connections 256; }\n"
            f"http {{ log_format bytes $body_bytes_sent; access_log {self.log} bytes; sendfile on; tcp_nopush on; default_type application/octet-stream;\n"
            f"  server {{ listen 127.0.0.1:{self.port}; root {folder}; }} }}\n"
        )
        self.process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c", config])

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def ready(self):
        run("curl", "-sfI", "--retry", "50", "--retry-connrefused", "--retry-delay", "0", self.url("sha256"))
        return self

    def served(self):
        """Bytes of files, since the start."""
        return sum(map(int, self.log.read_text().split()))

    def cpu_seconds(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ticks = 0
        for pid in children:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.terminate()
        self.process.wait()


def busy_seconds():
    """CPU seconds of the whole machine, kernel threads included, since it started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[index] for index in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def version(*command):
    """The first number with a dot in what a program says about itself; empty when it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    found = re.search(r"\d+\.[\w.]*\w", done.stdout + done.stderr)
    return found[0] if found else ""


def description(tacit, python):
    """The machine, without anything that names it."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: next(
        (line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith(name)), "?"
    )
    flags = field("flags").split()
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    tools = {
        "tacit-image": version(tacit, "--version"),
        "curl": version("curl", "--version"),
        "dd": version("dd", "--version"),
        "openssl": version("openssl", "version"),
        "zstd": version("zstd", "--version"),
        "qemu-img": version("qemu-img", "--version"),
        "bmaptool": version("bmaptool", "--version"),
        "nginx": version("/usr/sbin/nginx", "-v"),
        "ironic-python-agent": version(
            python, "-m", "pip", "--disable-pip-version-check", "show", "ironic-python-agent"
        ),
    }
    return {
        "cpu": field("model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / MIB),
        "flags": [flag for flag in ("sha_ni", "avx2", "avx512f") if flag in flags],
        "no_flags": [flag for flag in ("sha_ni", "avx2", "avx512f") if flag not in flags],
        "kernel": os.uname().release.split("-")[0],
        "tools": tools,
    }
