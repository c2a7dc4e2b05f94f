"""The star: brokers of some parties, the hub between them, and traffic that is checked at both
ends: by the payloads' hashes, and by the hub's records."""

import itertools
import json
import statistics

from .certs import Authority
from .check import Failure, check, say
from .hub import ENDED_BY_PEERS, WELL_ENDED, Hub, Tunnels, relays
from .paths import PARTS, VERSIONS, render
from .process import Process
from .pulsar import TENANT, Broker
from .sandbox import ADDRESS, HUB_NAME
from .tls import handshakes

# One byte to 5 MB, around the sizes at which something changes: a segment, a copy, a splice.
SIZES = [1, 100, 1_000, 1_448, 16_384, 65_536, 300_000, 1_000_000, 5_000_000]


def name_of(party):
    return f"{party}.fate.org"


def way(namespace, a, b):
    """The namespace of what `a` sends to `b`."""
    return f"{namespace}-{a}-to-{b}"


def routes_to(parties):
    """sni.yaml for these parties."""
    return "sni:\n" + "".join(render("route.yaml", party=p, address=ADDRESS[p]) for p in parties)


class Star:
    """`parties` with a broker each, which know one another once `join` is called."""

    def __init__(self, case, parties, pulsar="3.0", hub_settings="", broker_settings="", hub_named=(), admin="off"):
        self.case, self.parties = case, list(parties)
        self.version, self.jars = VERSIONS["pulsar"][pulsar]["version"], case.cache.jars(pulsar)
        # Whose certificate carries the hub's name too.
        self.hub_named = hub_named
        self.authority = Authority(case.hub, case.state / "pki")
        settings = broker_settings
        if case.sabotage == "bypass":
            # The classic slip: replication then goes to the plain port, past the hub.
            settings += "\nbrokerClientTlsEnabled=false\n"
        self.broker_settings = settings
        self.brokers = {}
        routed = self.parties[:-1] if case.sabotage == "route" else self.parties
        self.hub = Hub(
            case.hub,
            case.logs / "hub",
            routes_to(routed),
            settings=hub_settings,
            no_splice=case.sabotage == "splice",
            admin=admin,
        )
        self.payload = dict.fromkeys(self.parties, 0)
        self.results = []
        self.programs = 0

    def __enter__(self):
        self.add_brokers(self.parties)
        return self

    def __exit__(self, *_):
        # The sandbox takes the brokers along; the hub's log is wanted whole.
        self.hub.__exit__()

    def add_brokers(self, parties):
        """Starts them together: each is busy with itself for seconds."""
        for party in parties:
            folder = self.case.state / f"broker-{party}"
            lines = self.settings_of(party) + self.broker_settings
            broker = Broker(party, self.jars, folder, self.case.logs, lines)
            self.brokers[party] = broker
            self.payload.setdefault(party, 0)
            broker.start()
        for party in parties:
            self.brokers[party].wait_ready()
        say(f"brokers {', '.join(parties)} are up, Pulsar {self.version}")

    def settings_of(self, party):
        """Issues the party's certificate; the lines by which its broker is a part of the star."""
        name = name_of(party)
        certificate, key = self.authority.issue("pulsar", name, hub=HUB_NAME if party in self.hub_named else None)
        return render(
            "broker.conf", party=party, name=name, address=ADDRESS[party], certificate=certificate, key=key,
            authority=self.authority.certificate,
        )  # fmt: skip

    def introduce(self, me, peer):
        """`peer` gets its cluster entry at the broker of `me`."""
        self.brokers[me].know(peer, peer)

    def join(self, namespace="session", parties=None):
        """Every party learns every other one, as FATE does it. Each way from one to another has a
        namespace of its own: so what is sent to a party goes to no other one, and the hub's bytes
        for it are known."""
        for me, peer in self.pairs(parties):
            self.introduce(me, peer)
        for me, peer in self.pairs(parties):
            self.brokers[me].share(way(namespace, me, peer), [peer])
            self.brokers[peer].share(way(namespace, me, peer), [])

    def pairs(self, parties=None):
        return list(itertools.permutations(parties or self.parties, 2))

    def traffic(self, what, pairs, megabytes, namespace="session", topic="topic", seconds=0, sizes=None):
        """Starts the traffic program: `what` is send, receive or replicate."""
        plan = {
            "pairs": pairs,
            "brokers": {party: broker.url for party, broker in self.brokers.items()},
            # {a} and {b} are the pair's.
            "topic": f"persistent://{TENANT}/{way(namespace, '{a}', '{b}')}/{topic}",
            "bytes": int(megabytes * 1e6),
            "sizes": sizes or SIZES,
            "seconds": seconds,
            # A sabotaged case is not to take minutes to fail.
            "patience": 30 if self.case.sabotage else 240,
        }
        # A topic may be used again, and a log holds one program's results.
        self.programs += 1
        log = self.case.logs / f"traffic-{self.programs}-{topic}-{what}.log"
        python = self.case.cache.python("pulsar")
        process = Process(f"{what} {topic}", [python, PARTS / "traffic.py", what, json.dumps(plan)], log)
        return Traffic(self, process, len(pairs) * (2 if what == "replicate" else 1))

    def replicate(self, megabytes, pairs=None, quiet=False, **more):
        """All of it at once, waited for."""
        return self.traffic("replicate", pairs or self.pairs(), megabytes, **more).finish(quiet)

    def judge(self, trouble=False, more=(), guests=False):
        """Stops the hub and holds its records against what was replicated; a row of the table.
        `trouble`: links were ended on purpose, so brokers may repeat. `more`: how tunnels may end
        besides. `guests`: clients were there, and have gone."""
        self.hub.process.check_alive()
        # Brokers keep their links, and mend what is cut, damaged or refused without a word.
        ended = [line for line in self.hub.closed() if not (guests and line["ended"] == "both_closed")]
        check(trouble or not ended, f"sessions ended, though nothing ended any: {ended[:3]}")
        took, own = [], set()
        for party in self.brokers:
            median, sources = handshakes(443, name_of(party), self.authority.certificate)
            took.append(median)
            own |= sources
        self.hub.stop()
        tunnels = [
            Tunnels(
                self.hub, name_of(party), broker.upstream, without=own,
                may_end={*(ENDED_BY_PEERS if trouble else WELL_ENDED), *more},
            )
            for party, broker in self.brokers.items()
        ]  # fmt: skip
        for of_party in tunnels:
            of_party.carried(self.payload[of_party.party])
        checked = sum(result["messages"] for result in self.results)
        repeated = sum(result["repeated"] for result in self.results)
        check(trouble or not repeated, f"{repeated} messages came twice, though no link was ended: some link was")
        return {
            "with": f"Pulsar {self.version}",
            # Where the suite's own messages were sent, not FATE's or a client's, which check their own.
            **({"messages": checked, "hashes": "all right", "repeated": repeated} if checked else {}),
            "payload_mb": sum(self.payload.values()) / 1e6,
            "hub_mb": sum(of_party.bytes for of_party in tunnels) / 1e6,
            "tunnels": sum(len(of_party.records) for of_party in tunnels),
            "relay": relays(tunnels),
            "handshake_ms": statistics.median(took),
        }


class Traffic:
    """Running traffic."""

    def __init__(self, star, process, results):
        self.star, self.process, self.results = star, process, results

    def check_running(self, what):
        """`what` was done in the middle of it only if it is not over yet."""
        check(self.process.child.poll() is None, f"{self.process.name} was over before {what} was")

    def finish(self, quiet=False):
        """Waits for it; every pair's result is checked and booked."""
        try:
            printed = self.process.finish(300)
        except Failure as failure:
            # A receiver that gets nothing knows not why.
            refused = {f"{r.get('name')}: {r['ended']}" for r in self.star.hub.closed() if not r.get("relay")}
            raise Failure("".join(f"the hub refused {each}; " for each in sorted(refused)) + str(failure)) from None
        results = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        check(
            len(results) == self.results,
            f"{self.process.name} reported {len(results)} results, not {self.results}: {self.process.log}",
        )
        for result in results:
            if "received" in result:
                self.star.payload[result["to"]] += result["bytes"]
                self.star.results.append(result)
            if "received" in result and not quiet:
                say(
                    f"{result['from']} -> {result['to']}: {result['messages']} messages, "
                    f"{result['bytes'] / 1e6:.1f} MB, in order, hashes right, "
                    f"{result['repeated']} repeated, {result['seconds']:.1f} s"
                )
        return results
