"""A star of what `snihub pki init` and `snihub party add` give, from an empty folder, and what
`snihub doctor` says of it."""

import json

from suite import process
from suite.case import Case
from suite.check import check, say
from suite.process import Process
from suite.sandbox import ADDRESS, HUB_NAME
from suite.star import Star

PARTIES = ("9999", "10000")
# Where a bundle's README says that its certificates go.
PLACE, EVERYWHERE = "/pulsar/certs", "bindAddress=0.0.0.0"


class Given(Star):
    """Its brokers have the settings, certificates and cluster entries of the bundles, its hub the
    routes that were added with them."""

    def __init__(self, case, parties):
        super().__init__(case, parties, admin="admin.sock")
        self.visits = 0
        self.folder = case.state / "star"
        self.folder.mkdir()
        self.snihub("pki", "init", "--domain", "fate.org", "--plain-key")
        for party in parties:
            self.snihub("party", "add", party, "--route", f"{ADDRESS[party]}:6651", "--hub", f"{HUB_NAME}:443", "--routes", ".")
        self.hub.edit((self.folder / "sni.yaml").read_text())
        self.authority.certificate = self.bundle(parties[0]) / "certs/ca.cert.pem"

    def snihub(self, *words):
        return process.run(f"snihub {words[0]} {words[1]}", [self.case.hub, *words], self.case.logs / "snihub.log", 30, cwd=self.folder)

    def doctor(self, *words):
        """The doctor's exit code, and its findings: `(section, check)` to what was seen."""
        self.visits += 1
        log = self.case.logs / f"doctor-{self.visits}.json"
        argv = [self.case.hub, "doctor", *words, "--ca", "pki", "--timeout", "20", "--format", "json"]
        code = Process("snihub doctor", argv, log, cwd=self.folder).child.wait(120)
        sections = [section for report in json.loads(log.read_text())["reports"] for section in report["sections"]]
        return code, {
            (section["title"].split(",")[0], finding["check"]): finding["seen"]
            for section in sections for finding in section["findings"]
        }  # fmt: skip

    def at_hub(self, *words):
        """On the hub's machine."""
        return self.doctor(*words, "--routes", self.hub.folder / "sni.yaml", "--admin", self.hub.admin)

    def reroute(self, party, port):
        """Where the hub leads to, and returns once it does."""
        self.snihub(
            "party", "reroute", party, "--route", f"{ADDRESS[party]}:{port}",
            "--routes", self.hub.folder / "sni.yaml", "--admin", self.hub.admin,
        )  # fmt: skip

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
        row = star.judge()
        with star.hub:
            examine(star, *PARTIES)
        return [{**row, "seen": "by pki init and twice party add; well, says the doctor"}]


def examine(star, here, other):
    """All is well, and what is not is told."""
    code, seen = star.at_hub()
    check(code == 0, f"all is well, and the doctor says {code}: {seen}")
    connect = seen["through the hub", "pulsar"]
    check("Pulsar CONNECT" in connect and "more than directly" in connect, f"CONNECT through the hub: {connect}")
    advertised = seen["directly", "pulsar.advertised"]
    check(f"pulsar+ssl://{other}.fate.org:6651" in advertised, f"the advertised name: {advertised}")
    say(connect)
    conf = star.brokers[here].folder / "standalone.conf"
    code, seen = star.doctor(other, "--via", f"{HUB_NAME}:443", "--broker-conf", conf)
    check(code == 0, f"all is well on a party's machine, and the doctor says {code}: {seen}")
    check(("through the hub", "hub.here") in seen and ("settings", "settings") in seen, f"a party's machine: {seen}")
    star.reroute(other, 6650)
    code, seen = star.at_hub(other)
    check(code == 2 and ("directly", "plain.pulsar") in seen, f"a route to the plain port: {code}, {seen}")
    star.reroute(other, 6651)
    star.brokers[other].stop_gently()
    code, seen = star.at_hub(other)
    check(code == 2 and ("directly", "tcp.refused") in seen, f"a broker that was stopped: {code}, {seen}")
    check(("through the hub", "hub.not_reached") in seen, f"a broker that was stopped: {seen}")


CASES = [
    Case("given", "two parties replicate with nothing but what `snihub party add` gives, and `snihub doctor` says so", given,
         needs=("pulsar 3.0", "python pulsar"), quick=True),
]  # fmt: skip
