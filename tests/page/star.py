"""A real hub, and parties that talk TLS through it: each at a loopback address of its own."""

import asyncio
import contextlib
import os
import random
import re
import socket
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

END = ".fate.org"
CHUNK = bytes(16 * 1024)


def address(place):
    return f"127.1.{place // 250}.{place % 250 + 1}"


class Star:
    """`names`: the parties, in the order of sni.yaml; `more`: entries that are no such party; `settings`: of hub.yaml."""

    def __init__(self, hub, names, more="", settings=""):
        self.folder = tempfile.TemporaryDirectory(prefix="snihub-star-")
        folder = Path(self.folder.name)
        self.names = names
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=star", "-addext", f"subjectAltName=DNS:*{END}",
                "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        self.listeners = []
        for place in range(len(names)):
            # All at the port that the first one was given.
            port = self.listeners[0].getsockname()[1] if place else 0
            self.listeners.append(socket.create_server((address(place), port), backlog=512))
        port = self.listeners[0].getsockname()[1]
        self.targets = [f"{address(place)}:{port}" for place in range(len(names))]
        entries = [f"- fqdn: {name}\n  tunnel_route: {target}\n" for name, target in zip(names, self.targets)]
        self.routes = "sni:\n" + "".join(entries) + more
        self.edit(self.routes)
        (folder / "hub.yaml").write_text(f"admin: admin.sock\nadmin_listen: 127.0.0.1:0\ndrain: 1s\n{settings}")
        self.program = hub
        self.hub = subprocess.Popen(
            [hub, "run", "--listen", "127.0.0.1:0", "--config", folder / "hub.yaml", "--routes", folder / "sni.yaml"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "NOTIFY_SOCKET": ""},
        )  # fmt: skip
        said, self.page, self.port = "", None, None
        for line in self.hub.stdout:
            said += line
            if found := re.search(r"admin_listen: (http://\S+)", line):
                self.page = found[1]
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if self.page and self.port:
                break
        else:
            raise AssertionError(f"the hub does not start:\n{said}")
        threading.Thread(target=lambda: [None for _ in self.hub.stdout], daemon=True).start()
        self.loop = asyncio.new_event_loop()
        self.links, self.stopping = [], False
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.do(self.serve())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_hub()
        self.do(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.folder.cleanup()

    def stop_hub(self):
        self.hub.kill()
        self.hub.wait()

    def edit(self, text):
        folder = Path(self.folder.name)
        (folder / "new").write_text(text)
        (folder / "new").rename(folder / "sni.yaml")

    def command(self, *words):
        """What this command of the hub's program says, in the folder of its files."""
        done = subprocess.run([self.program, *words], cwd=self.folder.name, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    async def end(self):
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def serve(self):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(Path(self.folder.name) / "cert.pem", Path(self.folder.name) / "key.pem")
        for listener in self.listeners:
            await asyncio.start_server(self.answer, sock=listener, ssl=tls)

    async def answer(self, reader, writer):
        """Takes everything, and says one byte in sixteen back."""
        try:
            while data := await reader.read(1 << 16):
                writer.write(data[: max(1, len(data) // 16)])
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def call(self, caller, name, rate=0, tunnels=1):
        """Tunnels from the party at this place, with so many bytes a second in all."""
        self.do(self.open(caller, name, rate, tunnels))

    async def open(self, caller, name, rate, tunnels):
        tls = ssl.create_default_context(cafile=Path(self.folder.name) / "cert.pem")
        for _ in range(tunnels):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=tls, server_hostname=name, local_addr=(address(caller), 0)
            )
            self.links.append((asyncio.ensure_future(self.talk(writer, rate / tunnels)), asyncio.ensure_future(self.drain(reader)), writer))

    async def talk(self, writer, rate):
        chunk = CHUNK[: max(64, int(rate / 3))]
        with contextlib.suppress(OSError):
            while rate:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(len(chunk) / rate)

    async def drain(self, reader):
        with contextlib.suppress(OSError):
            while await reader.read(1 << 16):
                pass

    def try_call(self, caller, name):
        """A call that is not to succeed."""
        tls = ssl.create_default_context(cafile=Path(self.folder.name) / "cert.pem")
        try:
            with socket.create_connection(("127.0.0.1", self.port), source_address=(address(caller), 0)) as raw:
                raw.settimeout(20)
                tls.wrap_socket(raw, server_hostname=name).close()
        except (ssl.SSLError, ConnectionError, socket.timeout):
            return
        raise AssertionError(f"{name} was reached")

    def busy(self, seed, pairs, most, least=2_000):
        """So many pairs, each with a rate of its own between these."""
        chance = random.Random(seed)
        some = [(a, b) for a in range(len(self.names)) for b in range(len(self.names)) if a != b]
        for a, b in chance.sample(some, pairs):
            rate = least * (most / least) ** chance.random()
            self.call(a, self.names[b], rate, chance.randint(1, 4))
