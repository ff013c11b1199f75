"""The two agents as processes, and the requests to them byte by byte."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from cases import TOKEN

# The same name in every request, so that links and redirects are the same.
HOST = "agent.example:9999"
PATIENCE = 90


@dataclass
class Answer:
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""


class Agent:
    """A process that listens on a port of loopback."""

    def __init__(self, name, port, command, log):
        self.name, self.port = name, port
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            self.ready_after = self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self):
        """Seconds from its start to its first answer."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            if time.monotonic() - self.started > PATIENCE:
                raise RuntimeError(f"{self.name} does not answer")
            with contextlib.suppress(OSError):
                if self.ask("GET", "/v1/status").status == 200:
                    return time.monotonic() - self.started
            time.sleep(0.005)

    def ask(self, method, target, body=None, headers=()):
        """One request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close", *(f"{key}: {value}" for key, value in headers)]
        if body is not None:
            if not any(key.lower() == "content-type" for key, _ in headers):
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
            received = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
        return parse(bytes(received), method)

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    def closed(self):
        """Waits until nobody listens any more; tells whether that came about."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                self.ask("GET", "/v1/status")
            except (ConnectionRefusedError, ValueError):
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def parse(received, method):
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError(f"no HTTP answer: {received[:80]!r}")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = unchunked(body)
    if method != "HEAD" and "content-length" in headers and int(headers["content-length"]) != len(body):
        raise ValueError(f"{headers['content-length']} bytes were announced, {len(body)} came")
    return Answer(int(first.split()[1]), headers, body)


def unchunked(body):
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        size = int(size.split(b";")[0], 16)
        whole, body = whole + body[:size], body[size + 2 :]
        if size == 0:
            break
    return whole


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def ipa(disk, log):
    port = free_port()
    oracle = pathlib.Path(__file__).with_name("oracle.py")
    agent = Agent("IPA", port, [sys.executable, "-B", oracle, str(port), TOKEN, disk], log)
    try:
        yield agent
    finally:
        agent.stop()


@contextlib.contextmanager
def ours(program, disk, state, log, *more):
    port = free_port()
    # As patient as the other, by a configuration file of IPA's.
    settings = pathlib.Path(f"{state}.conf")
    settings.write_text("[DEFAULT]\nimage_download_connection_retries = 0\nimage_download_connection_retry_interval = 0\n")
    command = [program, "serve", "--ipa", "--no-power", "--config-file", settings, "--listen", f"127.0.0.1:{port}", "--agent-token", TOKEN, "--disk", disk]
    agent = Agent("ours", port, [*command, "--state-dir", state, *more], log)
    try:
        yield agent
    finally:
        agent.stop()
