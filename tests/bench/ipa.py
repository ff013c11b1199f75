"""Runs the image writer of ironic-python-agent, as installed, on one device: StandbyExtension.prepare_image.

    python ipa.py URL DISK_FORMAT ALGORITHM HEX DEVICE

Prints one JSON object: wall and CPU seconds of that call alone (no start, no import), peak RSS of the largest process.
Only the search for a disk is replaced (the device is given) and the set-up of a real machine left out (modules, RAID assembly).
"""

import json
import os
import resource
import sys
import time

from ironic_python_agent import config  # noqa: F401 (registers the options)
from ironic_python_agent import hardware, utils
from ironic_python_agent.extensions import base
from oslo_config import cfg
from oslo_log import log


def cpu_seconds():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def without_noise(execute):
    """Where a process hides what it has open (PID 1 of some containers), fuser says so, and any word of fuser's on stderr is a
    busy disk for the agent, for twenty seconds."""

    def quieter(*command, **options):
        out, err = execute(*command, **options)
        if command[0] == "fuser":
            err = "".join(line for line in err.splitlines(True) if not line.startswith("Cannot stat file /proc/"))
        return out, err

    return quieter


def main(url, disk_format, algorithm, hexdigest, device):
    log.register_options(cfg.CONF)
    cfg.CONF(args=[], default_config_files=[])
    cfg.CONF.set_override("image_download_connection_retries", 0)
    log.setup(cfg.CONF, "ipa")
    utils.execute = without_noise(utils.execute)
    hardware.GenericHardwareManager.initialize = lambda self: None
    hardware.GenericHardwareManager.get_os_install_device = lambda self, permit_refresh=False: device
    base.init_ext_manager(None)
    hardware.get_managers()
    standby = base.get_extension("standby")
    image = {
        "id": "benchmark",
        "urls": [url],
        "os_hash_algo": algorithm,
        "os_hash_value": hexdigest,
        "disk_format": disk_format,
        "stream_raw_images": True,
        "image_type": "whole-disk",
        "container_format": "bare",
        "node_uuid": "00000000-0000-4000-8000-000000000000",
    }
    cpu, start = cpu_seconds(), time.monotonic()
    result = standby.execute("prepare_image", image_info=image)
    result.join()
    wall, cpu = time.monotonic() - start, cpu_seconds() - cpu
    answer = result.serialize()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        json.dumps({"wall": wall, "cpu": cpu, "rss_kib": peak, "error": str(answer["command_error"] or "")}), flush=True
    )
    # Threads of its own that are still there are not waited for.
    os._exit(0 if answer["command_status"] == "SUCCEEDED" else 1)


main(*sys.argv[1:])
