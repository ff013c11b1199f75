#!/usr/bin/env python3
"""Tacit's conductor drives stock ironic-python-agent: a process with one loop device as its disk.

    dialect.py TACIT PYTHON        (through dialect.sh; PYTHON is the one that ironic-python-agent is installed for)

Inspection, automated cleaning, deployment of a raw and of a qcow2 image, undeployment; once more with the conductor killed in
the middle of a step, with the agent killed in the middle of one, and with what must be refused. Prints what took how long.
"""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "stock-agent-token-0123456789abcdef"
MIB = 1 << 20
DISK, IMAGE = 256 * MIB, 48 * MIB
PATIENCE = 180


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, process=None):
    """Waits for a condition; never longer than PATIENCE, nor for a process that has ended."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        assert process is None or process.poll() is None, f"{what}: the process has ended"
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


class Images(http.server.ThreadingHTTPServer):
    """Serves the images; as slowly as it is told."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.pause, self.served = folder, 0.0, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = (self.server.folder / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), MIB):
            time.sleep(self.server.pause)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content[start : start + MIB])
                self.server.served += MIB

    def log_message(self, *words):
        pass


class Agent:
    """Stock ironic-python-agent, enclosed with the disk."""

    def __init__(self, python, folder, device):
        self.folder, self.device, self.port = folder, device, free_port()
        self.command = [str(HERE / "ipa/enclosed.sh"), device, str(pathlib.Path(python).parent / "ironic-python-agent")]
        self.log = folder / "ipa.log"
        self.certificate, key = folder / "ipa.crt", folder / "ipa.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "7",
            "-subj", "/CN=ipa", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate)  # fmt: skip
        (folder / "ipa-tmp").mkdir()
        (folder / "ipa.conf").write_text(
            "[DEFAULT]\n"
            f"listen_host = 127.0.0.1\nlisten_port = {self.port}\nadvertise_host = 127.0.0.1\n"
            f"listen_tls = true\nenable_auto_tls = false\ntls_cert_file = {self.certificate}\ntls_key_file = {key}\n"
            f"agent_token = {TOKEN}\n"
            "disk_wait_attempts = 1\ndisk_wait_delay = 0\nimage_download_connection_retries = 0\n"
        )
        self.start()

    def start(self):
        started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--config-file", str(self.folder / "ipa.conf")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.folder / "ipa-tmp")},
            )  # fmt: skip
        until("ironic-python-agent listens", self.listens, self.process)
        return time.monotonic() - started

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self):
        """As a machine that loses its power: the whole session at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until("ironic-python-agent is gone", lambda: not self.listens())

    def begun(self, command):
        """How often a command was begun since the log began."""
        return self.log.read_text(errors="replace").count(f"Asynchronous command {command} started execution")


class Conductor:
    def __init__(self, tacit, folder):
        self.tacit, self.folder, self.port = tacit, folder, free_port()
        self.log = folder / "conductor.log"
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.tacit, "serve", "--state-dir", self.folder / "state", "--listen", f"127.0.0.1:{self.port}",
                 "--media-listen", f"127.0.0.1:{free_port()}", "--erase-devices-priority", "0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until("the conductor answers", self.answers, self.process)

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def node(self, *arguments, fails=False):
        """`tacit node …`; its standard output, or what it says when it has to fail."""
        command = [self.tacit, "--url", f"http://127.0.0.1:{self.port}", "node", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert (done.returncode != 0) == fails, f"tacit node {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def show(self):
        command = [self.tacit, "--url", f"http://127.0.0.1:{self.port}", "--json", "node", "show", "stock"]
        return json.loads(run(*command))

    def settles(self, state):
        def settled():
            node = self.show()
            at, target = node["provision_state"], node["target_provision_state"]
            return node if node["reservation"] is None and (target is None or at.endswith("failed")) else None

        node = until(f"the node settles in {state}", settled, self.process)
        assert node["provision_state"] == state, f"{node['provision_state']} instead of {state}: {node['last_error']}"
        return node

    def history(self):
        return self.node("history", "stock")


def timed(what, work, *arguments, **options):
    started = time.monotonic()
    result = work(*arguments, **options)
    print(f"{time.monotonic() - started:7.1f} s  {what}", flush=True)
    return result


def make_images(folder):
    """A disk image with one partition of random bytes, raw and as qcow2; its bytes."""
    raw = folder / "disk.raw"
    with open(raw, "wb") as file:
        file.truncate(IMAGE)
    run("sgdisk", "--new=1:2048:0", "--typecode=1:8300", raw)
    with open(raw, "r+b") as file:
        file.seek(MIB)
        file.write(os.urandom(IMAGE - 2 * MIB))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, folder / "disk.qcow2")
    return raw.read_bytes()


def digest(path):
    return "sha512:" + hashlib.sha512(path.read_bytes()).hexdigest()


class Disk:
    def __init__(self, folder):
        self.backing = folder / "disk"
        with open(self.backing, "wb") as file:
            file.write((b"left by a former tenant".ljust(512, b".")) * (DISK // 512))
            file.seek(510)
            file.write(b"\x55\xaa")
        self.device = run("losetup", "--find", "--show", self.backing)

    def read(self, offset, length):
        run("blockdev", "--flushbufs", self.device)
        with open(self.device, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def holds(self, image):
        # The agent moves the second GPT to the end of the disk, and with it some bytes of the first.
        assert self.read(MIB, IMAGE - 2 * MIB) == image[MIB : IMAGE - MIB], "the disk does not hold the image"
        assert self.read(512, 8) == b"EFI PART" == self.read(DISK - 512, 8), "the disk has not both tables"

    def is_wiped(self):
        head, tail = self.read(0, 33 * 512), self.read(DISK - 33 * 512, 33 * 512)
        assert not any(head) and not any(tail), "metadata is left on the disk"

    def close(self):
        run("losetup", "--detach", self.device)


def deploy(conductor, images, name, disk_format, *more, **options):
    arguments = ["--image", images.url(name), "--checksum", digest(images.folder / name), "--disk-format", disk_format]
    return conductor.node("deploy", "stock", *arguments, *more, **options)


def story(conductor, agent, disk, images, image):
    certificate = agent.certificate.read_text()
    conductor.node(
        "create", "stock", "--driver", "manual", "--driver-info", f"agent_address=127.0.0.1:{agent.port}",
        "--driver-info", "agent_dialect=ipa", "--driver-info", f"agent_token={TOKEN}",
        "--driver-info", f"agent_certificate={certificate}", "--root-device", f"name={disk.device}",
        "--mac", pathlib.Path("/sys/class/net/nic.7/address").read_text().strip(),
    )  # fmt: skip
    said = conductor.node("set", "stock", "--driver-info", "agent_dialect=other", fails=True)
    assert "driver_info.agent_dialect" in said, said
    conductor.node("manage", "stock", "--wait")

    timed("inspection", conductor.node, "inspect", "stock", "--wait")
    inventory = conductor.node("inventory", "stock")
    assert disk.device in inventory and "256" in inventory, inventory

    timed("automated cleaning (erase_devices_metadata)", conductor.node, "provide", "stock", "--wait")
    disk.is_wiped()
    node, history = conductor.show(), conductor.history()
    assert "done by IPA's word; nothing was proven" in history, history
    assert "reports no progress" in history, history
    assert node["driver_internal_info"]["agent_dialect"] == "ipa", node
    assert "proves nothing" in node["driver_internal_info"]["agent_limits"], node
    assert node["driver_info"]["agent_token"] == "******", "the API shows the token"
    erasures = conductor.node("erasure", "stock")
    assert disk.device not in erasures, f"a certificate for what nobody proved: {erasures}"
    text = conductor.node("show", "stock")
    assert re.search(r"driver_info.agent_dialect\s+ipa", text), text

    deploy(conductor, images, "disk.raw", "raw")
    timed("deployment of a raw image, 48 MiB", conductor.settles, "active")
    disk.holds(image)
    assert "by IPA's word" in conductor.history()

    timed("undeployment with cleaning", conductor.node, "undeploy", "stock", "--wait")
    disk.is_wiped()

    drive = images.folder / "drive"
    (drive / "openstack/latest").mkdir(parents=True)
    (drive / "openstack/latest/meta_data.json").write_text('{"uuid": "told-by-the-config-drive"}')
    deploy(conductor, images, "disk.qcow2", "qcow2", "--config-drive", drive)
    timed("deployment of the same as qcow2, with a config drive", conductor.settles, "active")
    disk.holds(image)
    assert b"told-by-the-config-drive" in disk.read(IMAGE, DISK - IMAGE), "the config drive is not on the disk"
    conductor.node("undeploy", "stock", "--wait")
    deploy(conductor, images, "disk.qcow2", "qcow2")
    conductor.settles("active")
    disk.holds(image)  # The agent would not have written it again under the same id.
    conductor.node("undeploy", "stock", "--wait")


def refusals(conductor, images):
    source = ["--image", "file:///etc/hostname", "--checksum", "sha256:" + "0" * 64, "--disk-format", "raw"]
    said = conductor.node("deploy", "stock", *source, fails=True)
    assert "image_source" in said and "lent no connection" in said, said
    url, checksum = images.url("disk.raw"), digest(images.folder / "disk.raw")
    said = conductor.node("deploy", "stock", "--image", url, "--checksum", checksum, "--disk-format", "vmdk", fails=True)
    assert "image_disk_format" in said, said
    assert conductor.show()["provision_state"] == "available"


def killed_conductor(conductor, agent, disk, images, image):
    images.pause, images.served = 0.1, 0
    before = agent.begun("execute_deploy_step")
    deploy(conductor, images, "disk.raw", "raw")
    until("the image is being written", lambda: images.served > 8 * MIB)
    conductor.kill9()
    conductor.start()
    conductor.settles("active")
    images.pause = 0.0
    assert agent.begun("execute_deploy_step") == before + 1, "the command was sent again"
    disk.holds(image)
    conductor.node("undeploy", "stock", "--wait")


def killed_agent(conductor, agent, images):
    images.pause, images.served = 0.1, 0
    before = agent.begun("execute_deploy_step")
    deploy(conductor, images, "disk.raw", "raw")
    until("the image is being written", lambda: images.served > 8 * MIB)
    agent.kill()
    print(f"{agent.start():7.1f} s  start of ironic-python-agent", flush=True)
    node = conductor.settles("deploy failed")
    images.pause = 0.0
    assert "restarted" in node["last_error"] or "started again" in node["last_error"], node["last_error"]
    assert agent.begun("execute_deploy_step") == before + 1, "the step was repeated"


def wrong_token(conductor):
    conductor.node("undeploy", "stock", "--wait")
    conductor.node("manage", "stock", "--wait")
    conductor.node("set", "stock", "--driver-info", "agent_token=another-token-0123456789")
    conductor.node("provide", "stock")
    node = conductor.settles("clean failed")
    assert "driver_info.agent_token" in node["last_error"], node["last_error"]


def show_logs(folder):
    for log in folder.glob("*.log"):
        print(f"--- {log.name}\n{log.read_text(errors='replace')[-12000:]}", file=sys.stderr)


def main(tacit, python):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tacit-dialect.")))
        image = make_images(folder)
        disk = Disk(folder)
        stack.callback(disk.close)
        images = Images(folder)
        stack.callback(images.shutdown)
        stack.push(lambda kind, *_: kind and show_logs(folder))
        agent = Agent(python, folder, disk.device)
        stack.callback(agent.kill)
        conductor = Conductor(tacit, folder)
        stack.callback(conductor.kill9)
        story(conductor, agent, disk, images, image)
        refusals(conductor, images)
        timed("conductor killed in the middle of a write", killed_conductor, conductor, agent, disk, images, image)
        timed("agent killed in the middle of a write", killed_agent, conductor, agent, images)
        timed("wrong token", wrong_token, conductor)
        assert TOKEN not in conductor.log.read_text(), "the conductor's log holds the token"
    print("stock ironic-python-agent is driven")


if __name__ == "__main__":
    main(*sys.argv[1:])
