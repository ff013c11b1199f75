"""Small images, and a server of them that can be held up."""

import contextlib
import hashlib
import http.server
import pathlib
import subprocess
import threading

TINY_BYTES = 8 << 20


def make(folder):
    """Disks with a GPT and one partition, the same byte for byte each time, and junk without partitions."""
    tiny = pathlib.Path(folder, "tiny.raw")
    with open(tiny, "wb") as file:
        file.truncate(TINY_BYTES)
    guids = ["--disk-guid=6E0A9D5C-1111-4111-8111-111111111111", "--partition-guid=1:6E0A9D5C-2222-4222-8222-222222222222"]
    subprocess.run(["sgdisk", "--new=1:2048:+4M", *guids, tiny], check=True, capture_output=True)
    efi = pathlib.Path(folder, "efi.raw")
    efi.write_bytes(tiny.read_bytes())
    subprocess.run(["sgdisk", "--typecode=1:EF00", efi], check=True, capture_output=True)
    pathlib.Path(folder, "slow.raw").write_bytes(tiny.read_bytes())
    pathlib.Path(folder, "junk.raw").write_bytes(b"neither table nor system " * 40000)


class Server:
    """Serves a folder on loopback; the second half of `slow.raw` comes when it may."""

    def __init__(self, folder):
        self.folder, self.gate = pathlib.Path(folder), threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                name = pathlib.PurePosixPath(self.path).name
                path = server.folder / name
                if not path.exists():
                    self.send_error(404)
                    return
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                half = len(content) // 2 if name == "slow.raw" else len(content)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(content[:half])
                    if half < len(content):
                        server.gate.wait(60)
                        self.wfile.write(content[half:])

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.http.server_port}/{name}"

    def sha256(self, name):
        path = self.folder / name
        return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()
