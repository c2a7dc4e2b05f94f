"""A star of what `snihub pki init` and `snihub party add` give, from an empty folder."""

import json

from suite import process
from suite.case import Case
from suite.check import check
from suite.sandbox import ADDRESS, HUB_NAME
from suite.star import Star

PARTIES = ("9999", "10000")
# Where a bundle's README says that its certificates go.
PLACE, EVERYWHERE = "/pulsar/certs", "bindAddress=0.0.0.0"


class Given(Star):
    """Its brokers have the settings, certificates and cluster entries of the bundles, its hub the
    routes that were added with them."""

    def __init__(self, case, parties):
        super().__init__(case, parties)
        self.folder = case.state / "star"
        self.folder.mkdir()
        self.snihub("pki", "init", "--domain", "fate.org", "--plain-key")
        for party in parties:
            self.snihub("party", "add", party, "--route", f"{ADDRESS[party]}:6651", "--hub", f"{HUB_NAME}:443", "--routes", ".")
        self.hub.edit((self.folder / "sni.yaml").read_text())
        self.authority.certificate = self.bundle(parties[0]) / "certs/ca.cert.pem"

    def snihub(self, *words):
        return process.run(f"snihub {words[0]} {words[1]}", [self.case.hub, *words], self.case.logs / "snihub.log", 30, cwd=self.folder)

    def bundle(self, party):
        return self.folder / "parties" / party

    def settings_of(self, party):
        lines = (self.bundle(party) / "broker.conf").read_text()
        check(PLACE in lines and EVERYWHERE in lines, f"another broker.conf than this case knows: {lines}")
        # Here all parties are one machine: each has a folder and an address of its own.
        lines = lines.replace(PLACE, str(self.bundle(party) / "certs"))
        return lines.replace(EVERYWHERE, f"bindAddress={ADDRESS[party]}")

    def introduce(self, me, peer):
        self.brokers[me].enter(peer, json.loads((self.bundle(peer) / "cluster.json").read_text()))


def given(place):
    with Given(place, PARTIES) as star, star.hub:
        star.join()
        star.replicate(20)
        return [{**star.judge(), "seen": "by pki init and twice party add"}]


CASES = [
    Case("given", "two parties replicate with nothing but what `snihub party add` gives", given,
         needs=("pulsar 3.0", "python pulsar"), quick=True),
]  # fmt: skip
