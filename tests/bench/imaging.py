#!/usr/bin/python3
"""The imaging benchmark: Tacit's writer beside other people's, on the same images and devices, in one run.

    imaging.py TACIT-IMAGE DIGEST-RATE     measures, keeps .cache/bench/last.json, prints the tables
    imaging.py --render                    prints them again from .cache/bench/last.json

A whole run (4 GiB, all devices, all cases) also puts its tables into docs/benchmarks.md.
BENCH_SIZE (MiB or 4G), BENCH_REPS, BENCH_DEVICES (memory,file), BENCH_ONLY (a regular expression on the cases' names).
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import cases
import measure
import report
from machine import MIB, Nginx, description, loop_device, run, tmpfs

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/bench"
LAST = CACHE / "last.json"
PYTHON = CACHE / "venv/bin/python"
# MiB of the image that the stored tables are about.
WHOLE = 4096


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.argv[1:] == ["--render"]:
        show(json.loads(LAST.read_text()))
        return
    if os.geteuid() != 0:
        sys.exit("the imaging benchmark makes loop devices: run it as root")
    tacit, digest_rate = sys.argv[1:]
    size = os.environ.get("BENCH_SIZE", str(WHOLE)).upper()
    mib = int(size[:-1]) * 1024 if size.endswith("G") else int(size.removesuffix("M"))
    settings = {
        "mib": mib,
        "reps": int(os.environ.get("BENCH_REPS", "3")),
        "devices": os.environ.get("BENCH_DEVICES", "memory,file").split(","),
        "only": os.environ.get("BENCH_ONLY", ""),
    }
    subprocess.run([ROOT / "tests/bench/images.sh", str(mib)], check=True)
    show(measured(settings, tacit, digest_rate))


def show(record):
    text = report.render(record)
    print(text)
    settings = record["settings"]
    if settings["mib"] == WHOLE and not settings["only"] and len(record["devices"]) == 2:
        report.store(ROOT / "docs/benchmarks.md", text)


def measured(settings, tacit, digest_rate):
    images = cases.Images(CACHE / f"images-{settings['mib']}")
    # A fourth more than the image: the backup GPT has to move.
    size = settings["mib"] * MIB * 5 // 4
    record = {
        "settings": settings,
        "machine": description(tacit, PYTHON),
        "date": datetime.date.today().isoformat(),
        "devices": {},
        "image": {
            "size": images.size,
            "mapped": images.mapped,
            "files": {name: images.bytes(name) for name in images.sums["sha256"]},
        },
    }
    with contextlib.ExitStack() as stack:
        # The disk, and what a tool stages in a ramdisk's memory: at most a whole uncompressed qcow2.
        memory = stack.enter_context(tmpfs(size + images.bytes("disk.qcow2") + 256 * MIB))
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        nginx = stack.enter_context(contextlib.closing(Nginx(images.folder, scratch))).ready()
        record["digest_rates"] = rates(digest_rate)
        # Again after each device: the best that was seen counts.
        for kind in settings["devices"]:
            folder, direct = (memory, False) if kind == "memory" else (CACHE, True)
            with loop_device(kind, folder, size, direct) as device:
                for results, record["missing"] in repeated(settings, images, nginx, device, tacit, scratch):
                    record["devices"][kind] = results
                    # What is measured is kept, should the rest never be.
                    LAST.write_text(json.dumps(record, indent=1))
            for name, found in rates(digest_rate).items():
                known = record["digest_rates"][name]
                known.update({algorithm: max(rate, known[algorithm]) for algorithm, rate in found.items()})
    LAST.write_text(json.dumps(record, indent=1))
    return record


def rates(digest_rate):
    """Bytes per second that one core hashes: with the agent's library, and with OpenSSL."""
    found = {"agent's library": json.loads(run(digest_rate)), "OpenSSL": {}}
    for name in ("sha256", "sha512"):
        line = run("openssl", "speed", "-seconds", "2", "-bytes", "1048576", "-evp", name).split("\n")[-1]
        found["OpenSSL"][name] = float(line.split()[1].removesuffix("k")) * 1000
    return found


def repeated(settings, images, nginx, device, tacit, scratch):
    """All cases on one device, in turn, every other time in reverse: what is known after each round."""
    peers, missing = cases.peers(images, nginx, device.path, PYTHON, scratch)
    everything = [*cases.limits(images, nginx, device.path), *peers]
    if subprocess.run([tacit, "write", "--help"], capture_output=True, check=False).returncode == 0:
        everything += cases.tacit(images, nginx, device.path, tacit)
    else:
        missing.append("tacit-image write")
    wanted = [case for case in everything if re.search(settings["only"], case.name)]
    results = {case.name: {**vars(case), "command": None, "first": None, "runs": []} for case in wanted}
    for repetition in range(settings["reps"]):
        for case in wanted if repetition % 2 == 0 else reversed(wanted):
            result = results[case.name]
            if "error" in result:
                continue
            once(case, result, images, nginx, device, scratch, new=repetition == 0)
            print(
                f"{device.kind} {repetition + 1}/{settings['reps']}  {report.one_line(case.name, result, images.size)}",
                file=sys.stderr,
                flush=True,
            )
        yield results, missing


def once(case, result, images, nginx, device, scratch, new):
    """One run. The first of a case finds old content everywhere, and is looked at afterwards."""
    for name in {case.source or "disk.raw", "disk.bmap" if images.bmap else "disk.raw"}:
        warm(images.folder / name)
    device.fill(everything=new and bool(case.equal))
    if case.first:
        before = measure.timed(case.first, device, nginx, scratch)
        if "error" in before:
            result["error"] = f"before: {before['error']}"
            return
    taken = measure.timed(case.command, device, nginx, scratch)
    if case.tool == "ipa" and "said" in taken:
        # Start and import are not counted.
        taken.update({name: taken["said"][name] for name in ("wall", "cpu", "rss_kib")})
    if "error" in taken:
        result["error"] = taken["error"]
        return
    result["runs"].append(taken)
    if new and case.equal:
        result["found"] = measure.compare(device, images.folder / "disk.raw", images.bmap)
        if result["found"] not in ("everywhere", case.equal):
            result["error"] = f"the disk {result['found']}"


def warm(path):
    """Reads a file, so that the first of the tools does not pay for the disk that it lies on."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(4 * MIB)
        while file.readinto(buffer):
            pass


if __name__ == "__main__":
    main()
