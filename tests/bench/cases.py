"""What is measured: limits, peers, Tacit."""

import pathlib
import shlex
import shutil
from dataclasses import dataclass, field

from measure import mapped_ranges


@dataclass
class Case:
    name: str
    tool: str
    command: list
    # File that is read.
    source: str = ""
    # Bytes that have to be hashed by one thread (a whole digest), or by all (digests of ranges).
    hashed: dict = field(default_factory=dict)
    hashed_in_parallel: dict = field(default_factory=dict)
    # Bytes that have to be written and read.
    write: int = 0
    read: int = 0
    # How much of the disk has to equal the image: "everywhere", "where mapped", or "" where nothing is written.
    equal: str = "everywhere"
    # Runs before the measured command, unmeasured.
    first: list = None


class Images:
    """The folder that images.sh made."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.sums = {name: self._sums(name) for name in ("sha256", "sha512")}
        self.size = self.bytes("disk.raw")
        self.bmap = self.folder / "disk.bmap" if (self.folder / "disk.bmap").exists() else None
        self.mapped = sum(end - start for start, end in mapped_ranges(self.bmap)) if self.bmap else self.size

    def _sums(self, name):
        lines = (self.folder / name).read_text().split("\n")
        return {file: digest for digest, file in (line.split() for line in lines if line)}

    def bytes(self, name):
        return (self.folder / name).stat().st_size


def shell(script):
    return ["bash", "-c", "set -o pipefail; " + script]


def limits(images, nginx, device):
    raw, size = shlex.quote(str(images.folder / "disk.raw")), images.size
    blocks = -(-size // (4 << 20))
    direct = "bs=4M status=none"
    yield Case("limit: curl to /dev/null", "limit", ["curl", "-sf", "-o", "/dev/null", nginx.url("disk.raw")], equal="")
    yield Case(
        "limit: device write, dd from zero",
        "limit",
        shell(f"dd if=/dev/zero of={device} count={blocks} oflag=direct {direct}"),
        equal="",
    )
    yield Case("limit: device write, dd from file", "limit", shell(f"dd if={raw} of={device} oflag=direct {direct}"))
    yield Case(
        "limit: device read, dd",
        "limit",
        shell(f"dd if={device} of=/dev/null count={blocks} iflag=direct {direct}"),
        equal="",
    )
    yield Case(
        "limit: zstd -d to /dev/null",
        "limit",
        shell(f"zstd -qdc {shlex.quote(str(images.folder / 'disk.raw.zst'))} > /dev/null"),
        equal="",
    )


def peers(images, nginx, device, python, scratch):
    """The peers that are installed; and the names of those that are not."""
    raw, size = nginx.url("disk.raw"), images.size
    write = f"dd of={device} bs=4M iflag=fullblock oflag=direct status=none"
    cases, missing = [], []
    cases.append(Case("curl, dd", "pipe", shell(f"curl -sf {raw} | {write}"), "disk.raw", write=size))
    for algorithm in ("sha512", "sha256"):
        digest = images.sums[algorithm]["disk.raw"]
        # A named pipe, so that the digest is waited for and its CPU time counted.
        script = (
            f"cd {shlex.quote(str(scratch))}; rm -f pipe; mkfifo pipe; openssl dgst -r -{algorithm} pipe > digest & "
            f"curl -sf {raw} | tee pipe | {write} && wait $! && grep -q {digest} digest"
        )
        cases.append(
            Case(
                f"curl, tee openssl {algorithm}, dd",
                "pipe",
                shell(script),
                "disk.raw",
                hashed={algorithm: size},
                write=size,
            )
        )
    cases.append(
        Case(
            "curl, zstd -d, dd",
            "pipe",
            shell(f"curl -sf {nginx.url('disk.raw.zst')} | zstd -qdc | {write}"),
            "disk.raw.zst",
            write=size,
        )
    )
    for name in ("qcow2", "zstd.qcow2"):
        file = "disk.qcow2" if name == "qcow2" else "disk-zstd.qcow2"
        convert = [
            "qemu-img",
            "convert",
            "-n",
            "-W",
            "-t",
            "none",
            "-f",
            "qcow2",
            "-O",
            "raw",
            str(images.folder / file),
            device,
        ]
        cases.append(
            Case(f"qemu-img convert {label(file)}, local file", "qemu-img", convert, file, write=images.mapped)
        )
    if shutil.which("bmaptool") and images.bmap:
        for file in ("disk.raw", "disk.raw.gz"):
            copy = ["bmaptool", "-q", "copy", "--bmap", nginx.url("disk.bmap"), nginx.url(file), device]
            ranges = {"sha256": images.mapped}
            cases.append(
                Case(
                    f"bmaptool {label(file)}",
                    "bmaptool",
                    copy,
                    file,
                    hashed=ranges,
                    write=images.mapped,
                    equal="where mapped",
                )
            )
    else:
        missing.append("bmaptool")
    if python.exists():
        here = pathlib.Path(__file__).with_name("ipa.py")
        for file, disk_format, algorithm in (
            ("disk.raw", "raw", "sha512"),
            ("disk.raw", "raw", "sha256"),
            ("disk.qcow2", "qcow2", "sha256"),
            ("disk-zstd.qcow2", "qcow2", "sha256"),
        ):
            write_image = [
                str(python),
                str(here),
                nginx.url(file),
                disk_format,
                algorithm,
                images.sums[algorithm][file],
                device,
            ]
            written = size if disk_format == "raw" else images.mapped
            hashed = {algorithm: images.bytes(file)}
            cases.append(Case(f"IPA {label(file)} {algorithm}", "ipa", write_image, file, hashed=hashed, write=written))
    else:
        missing.append("ironic-python-agent")
    return cases, missing


def label(file):
    return {
        "disk.raw": "raw",
        "disk.raw.gz": "raw.gz",
        "disk.raw.xz": "raw.xz",
        "disk.raw.zst": "raw.zst",
        "disk.qcow2": "qcow2",
        "disk-frames.raw.zst": "raw.zst of many frames",
        "disk-zlib.qcow2": "qcow2-zlib",
        "disk-zstd.qcow2": "qcow2-zstd",
    }[file]


def tacit(images, nginx, device, program):
    size, mapped = images.size, images.mapped
    write = [program, "write", "--yes", "--json"]

    def verify(algorithm, file):
        return ["--verify", f"{algorithm}:{images.sums[algorithm][file]}"]

    def case(name, file, digests, *options, **more):
        command = [
            *write,
            *(word for algorithm in digests for word in verify(algorithm, file)),
            *options,
            nginx.url(file),
            device,
        ]
        hashed = {algorithm: images.bytes(file) for algorithm in digests}
        return Case(f"tacit {name}", "tacit", command, file, **{"hashed": hashed, "write": size, **more})

    for algorithm in ("sha512", "sha256"):
        yield case(f"raw {algorithm}", "disk.raw", [algorithm])
    yield case("raw sha512, --full-verify", "disk.raw", ["sha512"], "--full-verify", read=size)
    for file in ("disk.qcow2", "disk-zstd.qcow2", "disk-zlib.qcow2"):
        yield case(f"{label(file)} sha256", file, ["sha256"], write=mapped)
    for file in ("disk.raw.zst", "disk-frames.raw.zst", "disk.raw.gz", "disk.raw.xz"):
        yield case(f"{label(file)} sha256", file, ["sha256"])
    unchanged = case(
        "qcow2 sha256, --changed, nothing changed", "disk.qcow2", ["sha256"], "--changed", write=0, read=mapped
    )
    unchanged.first = [word for word in unchanged.command if word != "--changed"]
    yield unchanged
    if images.bmap:
        bmap = ["--bmap", nginx.url("disk.bmap"), "--bmap-digest", f"sha256:{images.sums['sha256']['disk.bmap']}"]
        ranges = {"hashed_in_parallel": {"sha256": mapped}, "write": mapped, "equal": "where mapped"}
        yield case("raw+bmap", "disk.raw", [], *bmap, **ranges)
        yield case("raw+bmap, sha256 too", "disk.raw", ["sha256"], *bmap, **ranges)
        unchanged = case(
            "raw+bmap, --changed, nothing changed",
            "disk.raw",
            [],
            *bmap,
            "--changed",
            **{**ranges, "write": 0, "read": mapped},
        )
        unchanged.first = [word for word in unchanged.command if word != "--changed"]
        yield unchanged
