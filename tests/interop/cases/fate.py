"""FATE's own federation code, as guest and host, over the two brokers and the hub."""

import json

from suite.case import Case
from suite.check import say
from suite.paths import PARTS, VERSIONS, render
from suite.process import Process
from suite.sandbox import HUB_NAME
from suite.star import Star

GUEST, HOST = "9999", "10000"


def fate(place):
    with Star(place, (GUEST, HOST)) as star, star.hub:
        parties = [start(place, star, "guest", GUEST, HOST), start(place, star, "host", HOST, GUEST)]
        for receiver, party in zip((HOST, GUEST), parties):
            done = json.loads(party.finish(120).splitlines()[-1])
            star.payload[receiver] += done["sent"]
            say(f"{party.name}: {done['sent'] / 1e6:.1f} MB sent, everything as expected, {done['seconds']:.1f} s")
        row = star.judge()
        row["with"] += ", " + VERSIONS["python"]["fate"]["without_dependencies"][0].replace("==", " ")
        return [row]


def start(place, star, role, party, peer):
    address = star.brokers[party].address
    table = place.state / f"route_table-{party}.yaml"
    table.write_text(render("pulsar_route_table.yaml", party=party, address=address, domain="fate.org", hub=f"{HUB_NAME}:443"))
    argv = [place.cache.python("fate"), PARTS / "fate_party.py", role, party, address, peer, "session1", table]
    argv.append(place.state / f"fate-{party}")
    return Process(f"FATE's {role} {party}", argv, place.logs / f"fate-{role}.log")


CASES = [
    Case("fate", "FATE's own federation exchanges objects and a table through the hub", fate,
         needs=("pulsar 3.0", "python fate", "python pulsar"), quick=True),
]  # fmt: skip
