"""ironic-python-agent itself, as installed, without Ironic: listens on loopback, knows one disk, and cannot leave the machine.

    python oracle.py PORT TOKEN DEVICE

Commands that would end the machine or change it outside of the disk are answered without being run; a loop device is told to
be a disk. Everything else is IPA's own.
"""

import json
import os
import sys

from ironic_python_agent import agent, config  # noqa: F401 (registers the options)
from ironic_python_agent import hardware, utils
from oslo_config import cfg
from oslo_log import log

# Programs that would reach beyond the one disk.
NEVER_RUN = {
    "reboot", "poweroff", "hwclock", "chronyd", "chronyc", "ntpdate", "modprobe", "mdadm", "multipath", "multipathd",
    "iscsistart", "ipmitool",
}  # fmt: skip


def confined(execute, device):
    """`utils.execute` that runs nothing of the above, and shows one loop device as a disk."""
    kernel_name = os.path.basename(device)

    def instead(*command, **options):
        if command[0] in NEVER_RUN or "sysrq" in command[0]:
            return (b"", b"") if options.get("binary") else ("", "")
        out, err = execute(*command, **options)
        if command[0] == "lsblk" and "--json" in command:
            found = json.loads(out)
            # Where one device is asked for, its name may not be among the answers.
            found["blockdevices"] = [as_disk(each) for each in found["blockdevices"] if each.get("kname", kernel_name) == kernel_name]
            out = json.dumps(found)
        if command[0] == "fuser":
            # Where a process hides what it has open, fuser says so; for IPA any such word is a busy disk.
            err = "".join(line for line in err.splitlines(True) if not line.startswith("Cannot stat file /proc/"))
        return out, err

    return instead


def as_disk(found):
    return {**found, "type": "disk"} if found.get("type") == "loop" else found


def main(port, token, device):
    log.register_options(cfg.CONF)
    cfg.CONF(args=[], default_config_files=[])
    for option, value in {"image_download_connection_retries": 0, "image_download_connection_retry_interval": 0, "disk_wait_attempts": 1, "disk_wait_delay": 0}.items():
        cfg.CONF.set_override(option, value)
    log.setup(cfg.CONF, "ipa")
    utils.execute = confined(utils.execute, device)
    hardware.utils.execute = utils.execute
    listen = agent.Host("127.0.0.1", int(port))
    # The API's address makes no call: an agent on its own (`standalone`) looks nothing up. It needs one for its heartbeats' object.
    agent.IronicPythonAgent(
        api_url="http://127.0.0.1:1", advertise_address=listen, listen_address=listen, ip_lookup_attempts=1, ip_lookup_sleep=0,
        network_interface=None, lookup_timeout=1, lookup_interval=1, standalone=True, agent_token=token,
    ).run()  # fmt: skip


main(*sys.argv[1:])
