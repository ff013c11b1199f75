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
            found[f"header {header}"] = plain(answer.headers[header], disk, names)
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
    """Log bundles as lists of their files; times away."""
    if isinstance(body, dict):
        if "started_at" in body:
            body["started_at"] = type(body["started_at"]).__name__
        result = body.get("command_result")
        if isinstance(result, dict) and "system_logs" in result:
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(result["system_logs"]))) as bundle:
                result["system_logs"] = {member.name: "a file" for member in bundle}
    return body


def flatten(value, place, found, text):
    if isinstance(value, dict) and value:
        for key, member in value.items():
            flatten(member, f"{place}.{text(key)}", found, text)
    elif isinstance(value, list) and value and all(isinstance(member, dict) and "step" in member for member in value):
        # Steps have names; their order among each other means nothing.
        for member in value:
            flatten(member, f"{place}.{member['step']}", found, text)
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
