"""The hub, its peers, the floors: who is measured in which rows, and how each is started."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from suite import peers
from suite.check import wait_for
from suite.process import Process

from . import account, configurations
from .load import EXACT, ORIGIN, WILDCARD

ROUTES = {EXACT: ORIGIN, WILDCARD: ORIGIN}
ALL = {"bulk", "open", "pingpong", "idle", "mixed", "two-fat"}


@dataclass(frozen=True)
class Place:
    """What is there to run, and where to put state: a folder that ends with the sandbox."""

    hub: Path
    load: Path
    debian: Path
    sid: Path
    state: Path
    authority: object
    # Tunnels that everyone has to be able to carry, and the limit of open files.
    tunnels: int
    files: int


@dataclass(frozen=True)
class Proxy:
    key: str
    title: str
    kind: str  # hub, peer or floor
    families: frozenset
    launch: Callable | None
    # What is said of it below the tables.
    remark: str = ""
    # Held to the pipes that a user without privileges may have.
    unprivileged: bool = False
    splices: bool = False


def everyone():
    """In the order of the tables."""
    small = ALL - {"two-fat"}
    own = "`workers: 2`, `admin: off` and, where its default would be less, `limits.tunnels`; the rest by default"
    hub = f"{own}; `--log-level warn`: no line per tunnel, as everyone else"
    logging = f"{own}, so two lines per tunnel, to a file in memory"
    nginx = "errors only; `proxy_half_close on`: FIN as FIN"
    lonely = (
        "errors only; two processes on one port, it has one thread; a FIN ends both directions, and what the other end "
        "would still have sent is lost"
    )
    user, user_splicing = "the same under a user id of its own", {"unprivileged": True, "splices": True}
    found = [
        proxy("hub", "snihub", "hub", ALL, hub_as(None), hub, splices=True),
        proxy("hub-log", "snihub, with its log", "hub", {"open"}, hub_as(None, "info"), logging, splices=True),
        proxy("hub-user", "snihub, unprivileged", "hub", {"bulk"}, hub_as(60001), user, **user_splicing),
    ]
    for suite, launch in (("stable", stable_haproxy), ("sid", sid_haproxy)):
        for mode, (name, rows) in {
            "plain": ("plain", small),
            "splice": ("splice-auto", ALL if suite == "sid" else {"bulk"}),
            "splice, 1 MiB pipes": ("splice-1m", {"bulk", "mixed"} if suite == "sid" else {"bulk"}),
        }.items():
            title = f"HAProxy {suite}, {mode}"
            key, splices = f"haproxy-{suite}-{name}", name != "plain"
            found.append(proxy(key, title, "peer", rows, launch(mode), "no log", splices=splices))
    for number, (mode, name) in enumerate((("splice", "splice-auto"), ("splice, 1 MiB pipes", "splice-1m")), start=60002):
        title = f"HAProxy sid, {mode}, unprivileged"
        launch = sid_haproxy(mode, number)
        found.append(proxy(f"haproxy-sid-{name}-user", title, "peer", {"bulk"}, launch, user, **user_splicing))
    return found + [
        proxy("nginx-stable", "nginx stable", "peer", small, stable_nginx, nginx),
        proxy("nginx-sid", "nginx sid", "peer", ALL, sid_nginx, nginx),
        proxy(
            "nginx-sid-64k", "nginx sid, 64 KiB buffers", "peer", {"bulk"}, sid_nginx_64k,
            f"{nginx}, `proxy_buffer_size 64k` instead of 16k",
        ),  # fmt: skip
        proxy("sniproxy", "sniproxy", "peer", small, sniproxy, lonely),
        proxy("ats", "Traffic Server", "peer", ALL, traffic_server, "errors only"),
        proxy("direct", "no proxy", "floor", {"bulk", "open", "pingpong", "mixed"}, None, "client and origin alone"),
        proxy("floor-splice", "bare loop, splice", "floor", small, floor("splice"), "no routes, no limits, no log", splices=True),
        proxy("floor-copy", "bare loop, copy", "floor", {"bulk"}, floor("copy"), "no routes, no limits, no log"),
    ]


def proxy(key, title, kind, families, launch, remark, **more):
    return Proxy(key, title, kind, frozenset(families), launch, remark, **more)


class Standing:
    """A proxy that runs."""

    def __init__(self, proxy, place, port):
        self.proxy, self.port, self.process = proxy, port, None
        self.direct = proxy.launch is None
        if self.direct:
            self.port = None
            return
        folder = place.state / proxy.key
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.log.unlink(missing_ok=True)
        argv, env = proxy.launch(place, folder, port)
        self.process = Process(proxy.title, argv, self.log, env)
        try:
            peers.listening(self.process, port)
        except BaseException:
            self.stop()
            raise

    def pids(self):
        return [] if self.direct else account.tree(self.process.pid)

    def cpu(self):
        return account.cpu_seconds(self.pids())

    def is_alive(self):
        return self.direct or self.process.child.poll() is None

    def words(self):
        """The last it wrote, for a failure's record."""
        return "" if self.direct or not self.log.exists() else self.log.read_text(errors="replace")[-300:].strip()

    def stop(self):
        """No tunnel is left that an orderly end would wait for."""
        # Parents first: they would replace their workers.
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.child.wait()
            wait_for(f"{self.proxy.title}: its port", 10, lambda: not port_is_taken(self.port), every=0.02)


def port_is_taken(port):
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in open("/proc/net/tcp"))


def as_user(number):
    """The words that give up root, its groups and its right to any number of pipes."""
    return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"] if number else []


def hub_as(user, level="warn"):
    def launch(place, folder, port):
        fitting = (place.files - min(256, place.files // 4)) // 3
        settings, routes = configurations.hub(port, ROUTES, place.tunnels if fitting < place.tunnels else None)
        # Beside the log, whose writing the watch of the routes' folder would see.
        configuration = folder / "etc"
        configuration.mkdir(exist_ok=True)
        (configuration / "hub.yaml").write_text(settings)
        (configuration / "sni.yaml").write_text(routes)
        files = ["--config", configuration / "hub.yaml", "--routes", configuration / "sni.yaml"]
        return as_user(user) + [place.hub, "run", *files, "--log-level", level], None

    return launch


def haproxy_file(place, folder, port, mode):
    path = folder / "haproxy.cfg"
    limits = f"maxconn {place.tunnels}\n  maxpipes 150"
    path.write_text(peers.haproxy_configuration(port, ROUTES, mode, limits))
    return path


def stable_haproxy(mode):
    def launch(place, folder, port):
        path = haproxy_file(place, folder, port, mode)
        return [place.debian / "usr/sbin/haproxy", "-db", "-f", path], peers.libraries(place.debian)

    return launch


def in_sid(place, *argv, user=None):
    """State is at the same path inside."""
    return ["chroot", *([f"--userspec={user}:{user}", "--groups="] if user else []), place.sid, *argv], None


def sid_haproxy(mode, user=None):
    return lambda place, folder, port: in_sid(
        place, "/usr/sbin/haproxy", "-db", "-f", haproxy_file(place, folder, port, mode), user=user
    )


def nginx_file(place, folder, port, module, buffer=None):
    path = folder / "nginx.conf"
    path.write_text(configurations.nginx(port, ROUTES, module, folder, place.tunnels, buffer))
    return ["-p", folder, "-c", path, "-e", "stderr"]


MODULE = "usr/lib/nginx/modules/ngx_stream_module.so"


def stable_nginx(place, folder, port):
    options = nginx_file(place, folder, port, place.debian / MODULE)
    return [place.debian / "usr/sbin/nginx", *options], peers.libraries(place.debian)


def sid_nginx(place, folder, port, buffer=None):
    return in_sid(place, "/usr/sbin/nginx", *nginx_file(place, folder, port, f"/{MODULE}", buffer))


def sid_nginx_64k(place, folder, port):
    return sid_nginx(place, folder, port, "64k")


def sniproxy(place, folder, port):
    both, program = [], place.debian / "usr/sbin/sniproxy"
    for name in "ab":
        part = folder / name
        part.mkdir(exist_ok=True)
        (part / "sniproxy.conf").write_text(configurations.sniproxy(port, ROUTES, part))
        both.append(f"'{program}' -f -c '{part}/sniproxy.conf'")
    # A shell that waits for both.
    return ["sh", "-c", f"ulimit -n {place.files}; {both[0]} & {both[1]} & wait"], peers.libraries(place.debian)


def traffic_server(place, folder, port):
    return peers.traffic_server_files(place.debian, folder, port, ROUTES, place.authority), peers.libraries(place.debian)


def floor(mode):
    return lambda place, folder, port: (
        [place.load, "floor", "--listen", f"127.0.0.1:{port}", "--to", ORIGIN, "--mode", mode, "--seconds", 86400],
        None,
    )
