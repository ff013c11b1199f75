"""Answers made comparable, and what differs between two of them, place by place."""

import base64
import io
import json
import re
import tarfile

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
# Headers that tell a caller something; the others are the framework's own.
HEADERS = ("content-type", "location", "allow", "server", "www-authenticate", "retry-after", "set-cookie")
ABSENT = "<absent>"


def places(answer, disk, names):
    """Everything of an answer by its place: {"status": 200, "body.command_name": "sync", …}. `names` are texts of this run."""
    found = {"status": answer.status}
    for header in HEADERS:
        if header in answer.headers:
            # Methods are a set.
            value = ", ".join(sorted(answer.headers[header].split(", "))) if header == "allow" else answer.headers[header]
            found[f"header {header}"] = plain(value, disk, names)
    if answer.headers.get("content-type") == "application/json" and answer.body:
        try:
            flatten(shortened(json.loads(answer.body)), "body", found, lambda text: plain(text, disk, names))
        except ValueError:
            found["body"] = "no JSON"
    elif answer.body:
        found["body"] = plain(answer.body.decode("utf-8", "replace"), disk, names)
    return found


def plain(text, disk, names):
    """Without what is another one each time: ids, the disk's name, ports."""
    for name, word in names.items():
        text = text.replace(name, word)
    text = text.replace(disk, "<disk>").replace(disk.removeprefix("/dev/"), "<disk>")
    return UUID.sub("<id>", text)


def shortened(body):
    """Only what a caller can rely on: log bundles as lists of their files, lists of commands as names and statuses, steps without
    the prose about their arguments; times away."""
    if isinstance(body, dict):
        if "started_at" in body:
            body["started_at"] = type(body["started_at"]).__name__
        if isinstance(body.get("commands"), list) and body["commands"] and "command_name" in body["commands"][0]:
            body["commands"] = [" ".join((each["command_name"], each["command_status"], *sorted(each))) for each in body["commands"]]
        result = body.get("command_result")
        if isinstance(result, dict):
            if "system_logs" in result:
                # What is in it is what this machine has; that there is something is not.
                with tarfile.open(fileobj=io.BytesIO(base64.b64decode(result["system_logs"])), mode="r:gz") as bundle:
                    result["system_logs"] = "tar.gz with files" if bundle.getmembers() else "tar.gz, empty"
            if "interfaces" in result:
                body["command_result"] = inventory(result)
            for key in ("clean_steps", "deploy_steps", "service_steps"):
                if key in result:
                    result[key] = {step["step"]: step_line(manager, step) for manager, steps in result[key].items() for step in steps}
    return body


# What only our inventory has (docs/inventory.md).
OURS = {"": ("accelerators", "tpm"), "boot": ("secure_boot", "setup_mode"),
        "disks": ("discard_max_bytes", "firmware", "ineligible", "numa_node", "provisioning", "read_only", "removable")}  # fmt: skip


def inventory(found):
    """What is another number each time, or known to one of both only, as what it is: IPA counts memory banks by lshw, we by
    SMBIOS; where firmware tells nothing, lshw has an empty text."""
    for key in OURS[""]:
        found.pop(key, None)
    for key in OURS["boot"]:
        found["boot"].pop(key, None)
    for disk in found["disks"]:
        for key in OURS["disks"]:
            disk.pop(key, None)
    found["cpu"]["frequency"] = type(found["cpu"]["frequency"]).__name__
    found["memory"]["physical_mb"] = "a number or nothing"
    vendor = found["system_vendor"]
    for part in (vendor, vendor["firmware"]):
        for key, value in part.items():
            part[key] = "" if value is None else value
    return found


def step_line(manager, step):
    arguments = step.get("argsinfo") or {}
    words = [f"{name}{'*' if about.get('required') else ''}" for name, about in sorted(arguments.items())]
    more = [f"{key}={step[key]}" for key in sorted(step) if key not in ("step", "argsinfo", "requires_ramdisk")]
    return f"{manager} {' '.join(more)} ({', '.join(words)})"


def flatten(value, place, found, text):
    if isinstance(value, dict) and value:
        for key, member in value.items():
            flatten(member, f"{place}.{text(key)}", found, text)
    elif isinstance(value, list) and value and all(isinstance(member, str) for member in value):
        found[place] = " | ".join(text(member) for member in value)
    elif isinstance(value, list) and value:
        for number, member in enumerate(value):
            flatten(member, f"{place}[{number}]", found, text)
    else:
        found[place] = text(value) if isinstance(value, str) else value


def differences(theirs, ours):
    """(place, theirs, ours), in the order of places."""
    for place in sorted(theirs | ours):
        pair = theirs.get(place, ABSENT), ours.get(place, ABSENT)
        if pair[0] != pair[1] or type(pair[0]) is not type(pair[1]):
            yield (place, *pair)
