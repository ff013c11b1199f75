"""Orders that do something: each is given to both agents, with what they need of files."""

import json

from cases import NODE, TOKEN, Case, command

STEP = {"step": "erase_devices_metadata", "interface": "deploy", "priority": 10, "args": {}, "a\u00e4": [1.5, None, True]}
SECOND_TOKEN = "fedcba9876543210fedcba9876543210-abc"


def image(server, file, **more):
    info = {
        "id": "tiny", "urls": [server.url(file)], "os_hash_algo": "sha256", "os_hash_value": server.sha256(file), "disk_format": "raw",
        "container_format": "bare", "stream_raw_images": True, "image_type": "whole-disk", "node_uuid": NODE["uuid"],
    }  # fmt: skip
    return {"image_info": {**info, **more}}


def questions():
    """Before anything was done."""
    yield command("standby.get_partition_uuids", {})
    yield command("standby.sync", {})
    yield command("poll.get_hardware_info", {})
    for family in ("clean", "deploy", "service"):
        for ports in ([], {}):
            yield command(f"{family}.get_{family}_steps", {"node": NODE, "ports": ports}, f"{family} steps, ports {ports}")
    yield command("log.collect_system_logs", {})
    for name in ("standby.sync", "standby.get_partition_uuids"):
        yield command(name, {}, f"{name} without waiting", wait=False)


def steps(versions):
    """`versions`: what this agent said of itself."""
    for family in ("clean", "deploy", "service"):
        name, key = f"{family}.execute_{family}_step", f"{family}_version"

        def execute(label, step, version, **more):
            params = {"step": step, "node": NODE, "ports": [], key: version, **more}
            return command(name, params, f"{family} step {label}")

        for label, step in {"without name": {}, "null": {"step": None}, "unknown": {"step": "nope"}, "number": {"step": 5}}.items():
            yield execute(label, {**step, "interface": "deploy"} if step else step, versions)
        yield execute("of another version", STEP, {"generic_hardware_manager": "0.1"})
        yield execute("of no versions", STEP, {})
        yield execute("without version", {"step": "nope", "interface": "deploy"}, None)
        yield execute("with more arguments", {"step": "nope", "interface": "deploy"}, versions, extra=1)
    yield command("clean.execute_clean_step", {"step": STEP, "node": NODE, "ports": [], "clean_version": versions}, "metadata wiped")


def writing(server):
    wrong = image(server, "tiny.raw", os_hash_value="0" * 64)
    yield command("standby.prepare_image", image(server, "nothing.raw"), "no such image")
    yield command("standby.prepare_image", image(server, "junk.raw"), "an image without partitions")
    yield command("standby.prepare_image", {"image_info": {**wrong["image_info"], "id": "other"}}, "another digest")
    yield command("standby.prepare_image", image(server, "tiny.raw", urls=["http://127.0.0.1:1/x"], id="nobody"), "nobody serves")
    yield command("standby.prepare_image", image(server, "tiny.raw", id="nope", nope=1) | {"nope": 1}, "an unknown parameter beside the image")
    yield command("standby.get_partition_uuids", {}, "what is there after failures")
    yield command("standby.prepare_image", image(server, "tiny.raw"), "an image")
    yield command("standby.get_partition_uuids", {}, "what is there now")
    yield command("image.install_bootloader", {"root_uuid": "0x00000000", "efi_system_part_uuid": None, "prep_boot_part_uuid": None, "target_boot_mode": "bios"})
    yield command("image.install_bootloader", {"root_uuid": None})
    yield command("image.install_bootloader", {"root_uuid": "6e0a9d5c-0000-0000-0000-000000000000"})
    yield command("image.install_bootloader", {"root_uuid": "6e0a9d5c-0000-0000-0000-000000000000", "ignore_bootloader_failure": True})
    yield command("standby.prepare_image", image(server, "efi.raw", id="efi", deploy_boot_mode="uefi"), "an image with an EFI system partition")
    yield command("standby.get_partition_uuids", {}, "what is there of an EFI system partition")
    yield command("standby.prepare_image", image(server, "tiny.raw", id="drive") | {"configdrive": {"meta_data": {}}}, "a config drive that is no text")
    yield command("standby.prepare_image", image(server, "tiny.raw", id="drive") | {"configdrive": 5}, "a config drive that is a number")


def while_busy(server):
    """Between the start of a slow image and its end."""
    yield command("standby.prepare_image", image(server, "slow.raw", id="slow"), "a slow image", wait=False)
    for name in ("standby.sync", "standby.power_off", "poll.get_hardware_info", "log.collect_system_logs", "nope.nope", "standby.nope", "standby.prepare_image", "system.lockdown"):
        yield command(name, {}, f"busy: {name}")
    yield command("nodot", {}, "busy: no dot")
    yield Case("busy: body broken", "POST", f"/v1/commands/?agent_token={TOKEN}", b"{")
    yield Case("busy: status", "GET", "/v1/status")
    yield Case("busy: the command", "GET", f"/v1/commands/{{id}}?agent_token={TOKEN}")
    yield Case("busy: the command without version", "GET", f"/commands/{{id}}?agent_token={TOKEN}&wait=false")
    yield Case("busy: the command with a slash", "GET", f"/v1/commands/{{id}}/?agent_token={TOKEN}")


def after_busy():
    yield Case("waited for", "GET", f"/v1/commands/{{id}}?agent_token={TOKEN}&wait=TRUE")
    yield Case("again", "GET", f"/commands/{{id}}?agent_token={TOKEN}")
    yield command("standby.run_image", {})
    yield command("standby.power_off", {})


def the_end():
    """A new token, rescue, lockdown: nothing is answered afterwards."""
    info = {"node": NODE, "config": {"heartbeat_timeout": 300, "agent_token": "short", "agent_md5_checksum_enable": False}}
    yield command("poll.set_node_info", {"node_info": info}, "a token that is too short")
    info = {**info, "config": {**info["config"], "agent_token": "******"}}
    yield command("poll.set_node_info", {"node_info": info}, "a token that was given away")
    info = {**info, "config": {**info["config"], "agent_token": SECOND_TOKEN, "agent_md5_checksum_enable": True, "new option": 1}}
    yield command("poll.set_node_info", {"node_info": info}, "a new token")
    yield Case("the old token", "GET", f"/v1/commands/no-such-id?agent_token={TOKEN}")
    yield Case("the new token", "GET", f"/v1/commands/no-such-id?agent_token={SECOND_TOKEN}")
    md5 = {"image_info": {"id": "m", "urls": ["http://127.0.0.1:1/x"], "checksum": "a" * 32, "disk_format": "raw", "stream_raw_images": True}}
    yield command("standby.prepare_image", md5, "MD5 allowed by Ironic", token=SECOND_TOKEN)


def farewell(name, params):
    body = json.dumps({"name": name, "params": params}).encode()
    return Case(f"farewell {name}", "POST", f"/v1/commands/?agent_token={TOKEN}", body)
