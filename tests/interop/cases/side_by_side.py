"""The same star without anything in the middle, through the hub, and through its peers."""

import concurrent.futures
import statistics
import time

from suite import peers, sandbox
from suite.case import Case
from suite.check import check, say
from suite.hub import ENDED_BY_PEERS, Tunnels, relays
from suite.sandbox import HUB_NAME
from suite.star import Star, name_of, way
from suite.tls import Echo, greet, handshakes, survives

A, B = PARTIES = ("9999", "10000")
ROUNDS, MEGABYTES = 5, 50
# Parties besides the brokers: one that echoes, and one that is not there.
ECHO, ABSENT = ("echo.fate.org", "127.0.0.6"), ("absent.fate.org", "127.0.0.7")
UNKNOWN = "unknown.fate.org"
# Longer than ATS, configured by FATE's guide, leaves a tunnel alone.
IDLE_SECONDS = 35


class Middle:
    """One thing that may stand in the middle, on a port of its own."""

    def __init__(self, name, port=None, process=None):
        self.name, self.port, self.process = name, port, process
        self.key = "".join(c if c.isalnum() else "-" for c in name).lower()
        self.megabytes_a_second, self.cpu_a_gigabyte = [], []
        # Bytes it was sent, by client: of links that are cut while they are idle, too.
        self.came = {}

    def cpu(self):
        return self.process.cpu_seconds() if self.process else 0


def side_by_side(place):
    with Star(place, PARTIES) as star:
        routes = {name_of(party): broker.upstream for party, broker in star.brokers.items()}
        routes |= {name: f"{address}:6651" for name, address in (ECHO, ABSENT)}
        star.hub.edit("sni:\n" + "".join(f"- fqdn: {name}\n  tunnel_route: {to}\n" for name, to in routes.items()))
        with star.hub:
            middles = start(place, star, routes)
            for middle in middles:
                join(star, middle)
            traffic(star, middles)
            Echo(*ECHO, star.authority)
            manners = meet(star, [middle for middle in middles if middle.port])
            reconnects = reconnect(star, middles)
            rows = [row(middle, manners, reconnects, star) for middle in middles]
            star.hub.stop()
            for party, broker in star.brokers.items():
                # Two directions: each party was sent the half of what went by the hub.
                tunnels = Tunnels(star.hub, name_of(party), broker.upstream, may_end=ENDED_BY_PEERS)
                tunnels.carried(ROUNDS * MEGABYTES * 1_000_000)
                say(f"{party} by the hub: {relays([tunnels])}")
    check_hub(manners["snihub"])
    return rows


def start(place, star, routes):
    """All of them at once, each idle while another is measured."""
    debian, logs = place.cache.debian, place.logs
    middles = [Middle("direct"), Middle("snihub", 443, star.hub.process)]
    version = peers.versions(debian)
    for port, mode in enumerate(peers.HAPROXY_MODES, start=4431):
        name = f"HAProxy {version['HAProxy']}, {mode}"
        middles.append(Middle(name, port, peers.haproxy(debian, logs / name.replace(" ", "-"), port, routes, mode)))
    ats = peers.traffic_server(debian, logs / "trafficserver", 4434, routes, star.authority)
    middles.append(Middle(f"Traffic Server {version['Traffic Server']}", 4434, ats))
    return middles


def join(star, middle):
    """A namespace that is replicated by this way alone: a cluster entry is never updated."""
    for me, peer in ((A, B), (B, A)):
        cluster = f"{peer}-{middle.key}"
        star.brokers[me].know(cluster, peer, proxy=middle.port and f"{HUB_NAME}:{middle.port}")
        star.brokers[me].share(way(middle.key, me, peer), [cluster])
        star.brokers[peer].share(way(middle.key, me, peer), [])


def traffic(star, middles):
    """In rounds, each begun by another one, so that what else the machine does hits all alike."""
    for number in range(ROUNDS + 1):
        # Links are made, and the brokers' code compiled, in a round that does not count.
        counts, megabytes = number > 0, MEGABYTES if number else 5
        first = number % len(middles)
        for middle in middles[first:] + middles[:first]:
            before = middle.cpu()
            results = star.replicate(megabytes, namespace=middle.key, topic=f"round-{number}-{middle.key}", quiet=True)
            if middle.port:
                middle.came |= sandbox.tcp_info(middle.port, "bytes_received")
            received = [result for result in results if "received" in result]
            sent = sum(result["bytes"] for result in received)
            repeated = sum(result["repeated"] for result in received)
            check(middle.port != 443 or not repeated, f"{repeated} messages came twice: a link of the hub was cut")
            if counts:
                took = max(result["seconds"] for result in results)
                middle.megabytes_a_second.append(sent / 1e6 / took)
                middle.cpu_a_gigabyte.append((middle.cpu() - before) / (sent / 1e9))
        say(f"round {number} of {ROUNDS}")
    for middle in (middle for middle in middles if middle.port):
        came = sum(middle.came.values())
        due = 2 * ROUNDS * MEGABYTES * 1_000_000
        check(came >= due, f"{middle.name} was sent {came} bytes, less than the payload's {due}: it is not in the middle")


def meet(star, middles):
    """What a client meets at each."""
    trust = star.authority.certificate
    seen = {
        middle.name: {
            "two_segments": greet(middle.port, name_of(A), apart=0.05),
            "unknown": greet(middle.port, UNKNOWN),
            "absent": greet(middle.port, ABSENT[0]),
            "handshake_ms": handshakes(middle.port, name_of(A), trust, times=50)[0],
        }
        for middle in middles
    }

    def idle(middle):
        seen[middle.name]["idle"] = survives(middle.port, ECHO[0], trust, IDLE_SECONDS)

    at_once(idle, middles)
    return seen


def at_once(action, middles):
    with concurrent.futures.ThreadPoolExecutor(len(middles)) as pool:
        return list(pool.map(action, middles))


def reconnect(star, middles):
    """One broker restarts; how long after it is ready a message comes by each way."""
    star.brokers[B].stop_gently()
    time.sleep(3)
    star.brokers[B].start()
    star.brokers[B].wait_ready()
    began = time.monotonic()

    def first_message(middle):
        topic = f"round-{ROUNDS}-{middle.key}"
        star.replicate(0, pairs=[PARTIES], namespace=middle.key, topic=topic, sizes=[1], quiet=True)
        return middle.name, time.monotonic() - began

    return dict(at_once(first_message, middles))


def row(middle, manners, reconnects, star):
    median = statistics.median
    seen = manners.get(middle.name, {})
    direct = {} if seen else {"handshake_ms": handshakes(6651, name_of(A), star.authority.certificate, star.brokers[A].address, times=50)[0]}
    return {
        "table": "side by side",
        "middle": middle.name,
        "mb_s": median(middle.megabytes_a_second),
        "mb_s_spread": f"{min(middle.megabytes_a_second):.0f}-{max(middle.megabytes_a_second):.0f}",
        "cpu_gb": median(middle.cpu_a_gigabyte),
        "cpu_gb_spread": f"{min(middle.cpu_a_gigabyte):.2f}-{max(middle.cpu_a_gigabyte):.2f}",
        "reconnect_s": reconnects[middle.name],
        **direct,
        **seen,
    }


def check_hub(seen):
    """What the hub promises, where its peers may do otherwise."""
    promised = {
        "two_segments": f"handshake, certificate of {name_of(A)}",
        "idle": "carries on",
        "unknown": "alert 112, unrecognized name",
        "absent": "alert 80, internal error",
    }
    for what, words in promised.items():
        check(seen[what] == words, f"{what}: the hub's client met {seen[what]!r}, not {words!r}")


CASES = [
    Case("side-by-side", "the star direct, by the hub, by HAProxy three ways and by Traffic Server", side_by_side,
         needs=("pulsar 3.0", "python pulsar", "peers"), limit=1200),
]  # fmt: skip
