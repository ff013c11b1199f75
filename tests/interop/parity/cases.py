"""The requests that both agents get, in order: (name, method, target, body, what to wait for). `{token}` and `{id}` are filled in.

Nothing here changes a disk; orders that do are in deeds.py."""

import json
from dataclasses import dataclass

TOKEN = "0123456789abcdef0123456789abcdef"
NODE = {"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "properties": {}, "instance_info": {}, "driver_internal_info": {}}


@dataclass
class Case:
    name: str
    method: str
    target: str
    body: bytes | None = None
    headers: tuple = ()


def command(name, params, case=None, wait=True, method="POST", token=TOKEN):
    body = json.dumps({"name": name, "params": params}).encode()
    label = case or f"{name} {json.dumps(params, sort_keys=True)}"
    return Case(label, method, f"/v1/commands/?agent_token={token}&wait={'true' if wait else 'false'}", body)


def with_token(path):
    return f"{path}{'&' if '?' in path else '?'}agent_token={TOKEN}"


def routes():
    """Every method on every path, with the token and without."""
    paths = [
        "/", "/v1", "/v1/", "/v1/status", "/v1/status/", "/status", "/status/", "/v1/commands", "/v1/commands/", "/commands",
        "/commands/", "/v1/commands/no-such-id", "/commands/no-such-id", "/v1/commands/a/b", "/v1/commands/a%2Fb",
        "/v1/commands/%C3%A4", "/v1/commands/%FF", "/v1/commands/..", "/v1/nope", "/v2/status", "/v2", "/V1/status", "/nope",
        "/v1/commands/00000000-0000-4000-8000-000000000000", "/v1/commands/" + "x" * 500, "/v1//status", "//v1/status",
    ]  # fmt: skip
    for path in paths:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            body = b"{}" if method in ("POST", "PUT", "PATCH") else None
            yield Case(f"{method} {path}", method, path, body)
        for method in ("GET", "POST"):
            yield Case(f"{method} {path} with token", method, with_token(path), b"{}" if method == "POST" else None)


def tokens():
    """Where a token may be, and what may stand there."""
    sync = json.dumps({"name": "standby.sync", "params": {}}).encode()
    places = {
        "none": ("", ()),
        "empty": ("?agent_token=", ()),
        "wrong": ("?agent_token=wrong", ()),
        "prefix": (f"?agent_token={TOKEN[:-1]}", ()),
        "longer": (f"?agent_token={TOKEN}0", ()),
        "upper": (f"?agent_token={TOKEN.upper()}", ()),
        "long": ("?agent_token=" + "x" * 4000, ()),
        "key in capitals": (f"?AGENT_TOKEN={TOKEN}", ()),
        "header": ("", (("X-OpenStack-Ironic-Agent-Token", TOKEN),)),
        "bearer": ("", (("Authorization", f"Bearer {TOKEN}"),)),
        "cookie": ("", (("Cookie", f"agent_token={TOKEN}"),)),
        "other key": (f"?token={TOKEN}", ()),
        "first wrong": (f"?agent_token=x&agent_token={TOKEN}", ()),
        "first right": (f"?agent_token={TOKEN}&agent_token=x", ()),
        "escaped": ("?agent_token=" + "".join(f"%{ord(c):02x}" for c in TOKEN), ()),
        "escaped key": (f"?agent%5Ftoken={TOKEN}", ()),
        "invalid escape": ("?agent_token=%zz", ()),
        "no utf-8": ("?agent_token=%ff", ()),
        "among others": (f"?a=b&agent_token={TOKEN}&wait=maybe&&", ()),
        "semicolon": (f"?a=b;agent_token={TOKEN}", ()),
    }
    for place, (query, headers) in places.items():
        yield Case(f"token {place}: GET list", "GET", f"/v1/commands/{query}", None, headers)
        yield Case(f"token {place}: GET one", "GET", f"/v1/commands/no-such-id{query}", None, headers)
        yield Case(f"token {place}: POST", "POST", f"/v1/commands/{query}", b"{}", headers)
        yield Case(f"token {place}: POST without version", "POST", f"/commands/{query}", b"{}", headers)
    yield Case("token in body", "POST", "/v1/commands/", sync[:-1] + f', "agent_token": "{TOKEN}"}}'.encode())


def bodies():
    """What is no command, and what only looks like none."""
    texts = {
        "empty": b"", "blank": b" ", "broken": b'{"name": ', "list": b"[]", "list of names": b'["name", "params"]', "string": b'"x"',
        "string with both words": b'"name params"', "null": b"null", "number": b"5", "float": b"5.5", "true": b"true", "object": b"{}",
        "no params": b'{"name": "standby.nope"}', "no name": b'{"params": {}}', "params list": b'{"name": "standby.nope", "params": []}',
        "params null": b'{"name": "standby.nope", "params": null}', "params text": b'{"name": "standby.nope", "params": "x"}',
        "params number": b'{"name": "standby.nope", "params": 1}', "name number": b'{"name": 5, "params": {}}',
        "name null": b'{"name": null, "params": {}}', "name list": b'{"name": ["standby.nope"], "params": {}}',
        "name object": b'{"name": {}, "params": {}}', "name true": b'{"name": true, "params": {}}', "name float": b'{"name": 1.5, "params": {}}',
        "more keys": b'{"name": "standby.nope", "params": {}, "extra": 1}', "command_name": b'{"name": "standby.nope", "params": {"command_name": "x"}}',
        "twice": b'{"name": "x.y", "name": "standby.nope", "params": {}}', "utf-16": '{"name": "standby.nope", "params": {}}'.encode("utf-16"),
        "utf-8 with mark": b"\xef\xbb\xbf" + b'{"name": "standby.nope", "params": {}}', "no utf-8": b"\xff\xfe", "form": b"name=standby.nope&params=",
        "trailing": b'{"name": "standby.nope", "params": {}} x', "trailing comma": b'{"name": "standby.nope", "params": {},}',
        "single quotes": b"{'name': 'standby.nope', 'params': {}}", "comment": b"// x\n{}", "nul": b"\x00", "bare word": b"name",
        "nested": b'{"name": "standby.nope", "params": {"a": ' + b"[" * 50 + b"]" * 50 + b"}}", "infinity": b'{"name": "standby.nope", "params": {"a": Infinity}}',
        "unfinished text": b'{"name": "standby.nope', "control character": b'{"name": "standby.\x01", "params": {}}', "lone surrogate": b'{"name": "standby.\\ud800", "params": {}}',
        "bad escape": b'{"name": "standby.\\x", "params": {}}', "second line": b'{\n"name": x}',
    }  # fmt: skip
    for name, text in texts.items():
        yield Case(f"body {name}", "POST", with_token("/v1/commands/"), text)
        yield Case(f"body {name}, wait", "POST", with_token("/commands/?wait=true"), text, (("Content-Type", "text/plain"),))


def names():
    """What is no command's name."""
    for name in ["", ".", "..", "x", "sync", "standby", "standby.", ".sync", "standby.nope", "standby.sync.x", "standby..sync", "STANDBY.sync",
                 "standby.SYNC", " standby.sync", "standby.sync ", "nope.nope", "bad_extension.fake_command", "iscsi.start_iscsi_target", "decom.erase",
                 "standby.cache_image", "standby.reboot", "clean.execute", "image.__init__", "standby.execute", "ä.ö", "a.b.c", "standby.sync\n", "😀.x",
                 "x" * 2000 + ".y", "rescue.nope", "system.nope", "flow.nope", "poll.nope", "log.nope", "deploy.nope", "service.nope", "image.nope"]:  # fmt: skip
        for params in ({}, {"x": 1}):
            yield command(name, params)


ASYNC_PARAMETERS = {
    "deploy.execute_deploy_step": ("step", "node", "ports"),
    "clean.execute_clean_step": ("step", "node", "ports"),
    "service.execute_service_step": ("step", "node", "ports"),
    "image.install_bootloader": ("root_uuid",),
    "standby.execute_bootc_install": ("image_source",),
}


def parameters():
    """Missing and unknown parameters of asynchronous commands. (IPA does not survive those of synchronous ones: see docs/ipa-parity.md.)"""
    for name, required in ASYNC_PARAMETERS.items():
        yield command(name, {})
        for missing in required:
            yield command(name, {each: {} for each in required if each != missing})
        if name.startswith("image."):
            yield command(name, {each: None for each in required} | {"nope": 1})
    for name in ("standby.run_image", "standby.power_off"):
        yield command(name, {"nope": 1})
        yield command(name, {"": None})
    yield command("flow.start_flow", {"flow": [], "nope": 1})


def images():
    """`image_info` before anything is fetched."""
    sums = {
        "sha256": {"os_hash_algo": "sha256", "os_hash_value": "0" * 64},
        "none": {},
    }
    whole = {"id": "x", "urls": ["http://127.0.0.1:1/x"], **sums["sha256"]}
    wrong = {
        "nothing": None, "empty": {}, "text": "x", "list": [], "no id": {"urls": ["http://x"]}, "no urls": {"id": "x"}, "urls null": {**whole, "urls": None},
        "urls text": {**whole, "urls": "http://x"}, "urls empty": {**whole, "urls": []}, "urls object": {**whole, "urls": {}}, "urls number": {**whole, "urls": 3},
        "no sum": {"id": "x", "urls": ["http://x"]},
    }  # fmt: skip
    checks = [
        {"checksum": ""}, {"checksum": 5}, {"checksum": []}, {"checksum": True}, {"checksum": None}, {"checksum": "a" * 32}, {"checksum": "a" * 31},
        {"checksum": "x"}, {"os_hash_algo": "sha512"}, {"os_hash_value": "a" * 128}, {"os_hash_algo": "", "os_hash_value": ""},
        {"os_hash_algo": "sha256", "os_hash_value": ""}, {"os_hash_algo": "", "os_hash_value": "a"}, {"os_hash_algo": 5, "os_hash_value": "a"},
        {"os_hash_algo": "sha256", "os_hash_value": 5}, {"os_hash_algo": None, "os_hash_value": "a"}, {"checksum": "a" * 32, "os_hash_algo": None},
        {"checksum": 5, **sums["sha256"]}, {"checksum": "", **sums["sha256"]},
    ]  # fmt: skip
    for label, image in wrong.items():
        yield command("standby.prepare_image", {"image_info": image}, f"image {label}")
    for check in checks:
        yield command("standby.prepare_image", {"image_info": {"id": "x", "urls": ["http://x"], **check}}, f"image {json.dumps(check)}")
    yield command("standby.prepare_image", {}, "image not given")
    yield command("standby.prepare_image", {"configdrive": "x"}, "image not given, but a config drive")


def flows():
    for flow in ([], [{}], [{"nope.x": {}}], [{"standby.nope": {}}], [{"sync": {}}], [{"standby.sync": {}}, {"nope.x": {}}],
                 [{"standby.sync": {}}], [{"standby.sync": {}, "standby.get_partition_uuids": {}}], [{"clean.execute_clean_step": {}}]):  # fmt: skip
        yield command("flow.start_flow", {"flow": flow})


def harmless():
    """All that is refused, or does nothing to a disk."""
    for group in (routes, tokens, bodies, names, parameters, images, flows):
        yield from group()
