"""Flower: a SuperLink with TLS, two SuperNodes and `flwr run`, all by the name superlink.fate.org,
which is the hub. It tells Flower's services apart by its own port: {inbound_local_port}."""

import os
import shutil
import signal

from suite import process
from suite.case import Case
from suite.certs import Authority
from suite.check import check, say, wait_for
from suite.hub import WELL_ENDED, Hub, Tunnels, relays
from suite.paths import PARTS, VERSIONS
from suite.process import Process
from suite.sandbox import SUPERLINK
from suite.tls import handshakes

# Where the SuperLink listens, on the ports of the hub.
ADDRESS = "127.0.0.5"
WEIGHTS = 512 * 512 * 4


class Grpc:
    """1.22: gRPC, a port for the nodes and one for `flwr run`, whose address is the app's."""

    venv, fleet, control = "flower-1.22", 9092, 9093
    may_end = WELL_ENDED

    def superlink(self):
        return [
            "--serverappio-api-address", "127.0.0.1:9091", "--fleet-api-address", f"{ADDRESS}:{self.fleet}",
            "--control-api-address", f"{ADDRESS}:{self.control}",
        ]  # fmt: skip

    def supernode(self, node):
        return ["--clientappio-api-address", f"127.0.0.1:{9094 + node}"]

    def tell_address(self, app, home, authority):
        with open(app / "pyproject.toml", "a") as project:
            project.write(f'\n[tool.flwr.federations]\ndefault = "hub"\n[tool.flwr.federations.hub]\n{address(self, authority)}')


class Https:
    """The newest: HTTPS, one port for all, whose address is the user's."""

    venv, fleet, control = "flower-new", 8000, 8000
    # The SuperLink ends a connection after 5 unused seconds; its clients then close without reading
    # TLS's farewell, which their kernel tells as a reset.
    may_end = WELL_ENDED | {"client_reset"}
    # The app needs nothing that is not there, and there is no registry inside.
    APART = ("--disable-runtime-dependency-installation",)

    def superlink(self):
        return [*self.APART, "--host", ADDRESS, "--port", str(self.fleet)]

    def supernode(self, node):
        return ["--port", str(9094 + node)]

    def tell_address(self, app, home, authority):
        (home / "config.toml").write_text(f'[superlink]\ndefault = "hub"\n[superlink.hub]\n{address(self, authority)}')


def address(flower, authority):
    return f'address = "{SUPERLINK}:{flower.control}"\nroot-certificates = "{authority.certificate}"\n'


def flower(place, flower):
    authority = Authority(place.hub, place.state / "pki")
    # The SuperLink's own helpers ask it by its address.
    authority.issue("flower", SUPERLINK, ADDRESS)
    app, home = place.state / "app", place.state / "home"
    shutil.copytree(PARTS / "flower_app", app)
    home.mkdir()
    flower.tell_address(app, home, authority)
    ports = sorted({flower.fleet, flower.control})
    routes = f"sni:\n  - fqdn: {SUPERLINK}\n    tunnel_route: {ADDRESS}:{{inbound_local_port}}\n"
    with Hub(place.hub, place.logs / "hub", routes, listen=ports) as hub:
        mean, handshake = run(place, flower, authority, app, home)
        return [judge(flower, hub, mean, handshake)]


def run(place, flower, authority, app, home):
    """Starts all parts, runs the app, and returns the line with its result, and handshakes' time
    and sources."""
    tools = place.cache.venv(flower.venv) / "bin"
    # The SuperLink starts its helpers by name.
    path = f"{tools}:{os.environ['PATH']}"
    env = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_HOME": str(home), "HOME": str(home), "PATH": path}
    certificate, key = authority.pair("flower", SUPERLINK)
    tls = ["--ssl-ca-certfile", authority.certificate, "--ssl-certfile", certificate, "--ssl-keyfile", key]
    parts = [Process("SuperLink", [tools / "flower-superlink", *tls, *flower.superlink()], place.logs / "superlink.log", env)]

    def listens():
        parts[0].check_alive()
        return handshakes(flower.fleet, SUPERLINK, authority.certificate, ADDRESS, times=1)

    wait_for("the SuperLink", 60, lambda: quiet(listens))
    for node in (0, 1):
        argv = [
            tools / "flower-supernode", "--root-certificates", authority.certificate,
            "--superlink", f"{SUPERLINK}:{flower.fleet}", *flower.supernode(node),
            "--node-config", f"partition-id={node} num-partitions=2",
        ]  # fmt: skip
        parts.append(Process(f"SuperNode {node}", argv, place.logs / f"supernode-{node}.log", env))
    say("the SuperLink and two SuperNodes are up")
    argv = [tools / "flwr", "run", ".", "hub", "--stream"]
    printed = process.run("flwr run", argv, place.logs / "flwr.log", 150, env, cwd=app, beside=parts)
    logs = printed + "".join(part.log.read_text(errors="replace") for part in parts)
    means = [line for line in logs.splitlines() if "FEDERATED MEAN" in line]
    check(means, f"the run ended without a result: {place.logs}/flwr.log\n{printed[-1500:]}")
    handshake = handshakes(flower.fleet, SUPERLINK, authority.certificate)
    for part in parts:
        part.stop(signal.SIGKILL)
    return means[0][means[0].index("FEDERATED") :], handshake


def quiet(probe):
    try:
        return probe()
    except OSError:
        return None


def judge(flower, hub, mean, handshake):
    took, own = handshake
    say(mean)
    check("MEAN 3.000" in mean, f"the average is wrong: {mean}")
    hub.stop()
    tunnels = {
        port: Tunnels(hub, SUPERLINK, f"{ADDRESS}:{port}", without=own, at_port=port, may_end=flower.may_end)
        for port in (flower.fleet, flower.control)
    }
    fleet = tunnels[flower.fleet]
    # Up: what two nodes sent in two rounds. Down: what they were sent, for training and evaluation.
    fleet.carried(4 * WEIGHTS, back=8 * WEIGHTS)
    return {
        "with": VERSIONS["python"][flower.venv]["packages"][0].replace("==", " "),
        "payload_mb": 12 * WEIGHTS / 1e6,
        "hub_mb": sum(t.bytes + t.back for t in tunnels.values()) / 1e6,
        "tunnels": sum(len(t.records) for t in tunnels.values()),
        "relay": relays(tunnels.values()),
        "handshake_ms": took,
        "seen": mean.lower(),
    }


CASES = [
    Case("flower-1.22", "a federated average by Flower 1.22 (gRPC) through two ports of the hub",
         lambda place: flower(place, Grpc()), needs=("python flower-1.22",)),
    Case("flower-new", "the same with the newest Flower (HTTPS)",
         lambda place: flower(place, Https()), needs=("python flower-new",)),
]  # fmt: skip
