#!/usr/bin/env python3
"""An example of a hardware manager for Tacit: it clears the scratch area of disks, and proves it.

A made-up vendor puts a megabyte of scratch data at the beginning of its disks. This program offers the step
`clear_scratch_area`, which overwrites it and reads it back, and it hides the vendor's service volumes from everybody.

docs/hardware-managers.md tells what the requests and the answers mean.
"""

import json
import mmap
import os
import sys
import threading

SCRATCH_BYTES = 1 << 20
BLOCK_BYTES = 64 << 10
STEP = "clear_scratch_area"
SERVICE_MODEL = "ACME SERVICE LUN"


class Refused(Exception):
    """Something that the request asks for cannot be done; the text says why."""


def say(message, **members):
    """Writes one message: one JSON object on one line, at once."""
    print(json.dumps({"message": message, **members}), flush=True)


def describe(_request):
    say("description", protocol=1, name="scratch_disk", version="1.0", filters=["disk"])


def evaluate(_request):
    # A real manager looks here whether its hardware is there, in /sys for example, and answers 0 if it is not.
    say("support", level=2)


def filter_device(request):
    answers = []
    for device in request["devices"]:
        if device.get("model") == SERVICE_MODEL:
            answers.append({"hide": "the storage controller keeps its own data there"})
        else:
            answers.append("pass")
    say("devices", devices=answers)


def steps(_request):
    say(
        "steps",
        steps=[
            {
                "step": STEP,
                "interface": "deploy",
                "clean": 0,
                "service": 0,
                "destructive": True,
                "abortable": True,
                "timeout_seconds": 600,
                "argsinfo": {
                    "devices": {"description": "Paths of the disks.", "required": True},
                },
            }
        ],
    )


def disks_of(request):
    if request["step"] != STEP:
        say("unsupported")
        sys.exit()
    disks = request["args"].get("devices")
    if not isinstance(disks, list) or not disks or not all(isinstance(disk, str) for disk in disks):
        raise Refused("devices must be a list of paths")
    return disks


def size_of(disk):
    with open(disk, "rb") as file:
        return file.seek(0, os.SEEK_END)


def plan_step(request):
    """What run_step would do. Nothing is written here."""
    plan = []
    for disk in disks_of(request):
        size = size_of(disk)
        method = {"method": "scratch-clear", "standard": "none", "reason": "the only way there is"}
        plan.append(
            {
                "device": disk,
                "verdict": "erase" if size >= SCRATCH_BYTES else "refuse",
                "reasons": [f"it has {size} bytes, {SCRATCH_BYTES} of them are scratch area"],
                "methods": [method],
            }
        )
    say("plan", step=STEP, plan=plan)


def run_step(request):
    disks = disks_of(request)
    stop = threading.Event()
    threading.Thread(target=hear, args=(stop,), daemon=True).start()
    for disk in disks:
        # All of them are looked at before the first one is touched.
        if size_of(disk) < SCRATCH_BYTES:
            raise Refused(f"{disk} has no scratch area")
    proofs = []
    for disk in disks:
        clear(disk, stop)
        proofs.append(prove(disk))
    say("result", step=STEP, result={"cleared": len(proofs)}, proofs=proofs)


def hear(stop):
    """A step under way can be asked to stop: by a line, and when that does not help by SIGTERM."""
    for line in sys.stdin:
        if json.loads(line).get("request") == "cancel":
            stop.set()


def clear(disk, stop):
    # Exclusive, so that a disk that is mounted or part of an array is refused by the kernel.
    with open(os.open(disk, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC), "wb", buffering=0) as file:
        for done in range(0, SCRATCH_BYTES, BLOCK_BYTES):
            if stop.is_set():
                say("error", details=f"stopped, {disk} is cleared in part", retry=True, touched=True)
                sys.exit()
            say("progress", stage="clear", device=disk, done=done, total=SCRATCH_BYTES, unit="bytes")
            file.write(bytes(BLOCK_BYTES))
        os.fsync(file.fileno())
    say("progress", stage="clear", device=disk, done=SCRATCH_BYTES, total=SCRATCH_BYTES, unit="bytes")


def prove(disk):
    """Reads back what is on the disk, not what is in memory. No proof, no success."""
    buffer = mmap.mmap(-1, SCRATCH_BYTES)
    descriptor, way = open_direct(disk)
    try:
        if os.readv(descriptor, [buffer]) != SCRATCH_BYTES or buffer[:] != bytes(SCRATCH_BYTES):
            raise Refused(f"{disk} still holds scratch data after it was overwritten")
    finally:
        os.close(descriptor)
    return {
        "device": disk,
        "size": size_of(disk),
        "method": "scratch-clear",
        "standard": "none",
        "actions": [f"{SCRATCH_BYTES} bytes from the beginning overwritten with zeros"],
        "verification": [f"{SCRATCH_BYTES} bytes read back, {way}: all of them zero"],
        "result": "proven",
    }


def open_direct(disk):
    try:
        return os.open(disk, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), "past the page cache"
    except OSError:
        # Files in memory have no direct I/O.
        return os.open(disk, os.O_RDONLY | os.O_CLOEXEC), "through the page cache"


REQUESTS = {
    "describe": describe,
    "evaluate": evaluate,
    "filter_device": filter_device,
    "steps": steps,
    "plan_step": plan_step,
    "run_step": run_step,
}


def main():
    request = json.loads(sys.stdin.readline())
    answer = REQUESTS.get(request["request"])
    if answer is None:
        say("unsupported")
        return
    try:
        answer(request)
    except (OSError, Refused) as error:
        say("error", details=str(error))


main()
