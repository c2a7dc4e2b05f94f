"""The hub itself: the release binary, its two files, and what its records say."""

import json
import os
import signal
from collections import Counter

from .check import check, wait_for
from .paths import UNDER_SECCOMP
from .process import Process
from .sandbox import HUB_ADDRESS

# How a tunnel may end where nothing is wrong: by both its peers, or with the hub. Brokers mend a
# cut link, and a damaged one, without a word.
WELL_ENDED = {"both_closed", "drained"}
# Where a case ends something itself, its peers may reset as well.
ENDED_BY_PEERS = WELL_ENDED | {"client_reset", "upstream_reset"}


class Hub:
    """Writes hub.yaml and sni.yaml into `folder` and runs on them."""

    def __init__(self, binary, folder, routes, listen=(443,), settings="", no_splice=False, admin="off"):
        self.binary, self.folder = binary, folder
        self.no_splice = no_splice
        self.log = folder / "hub.log"
        # Where it has one.
        self.admin = folder / admin
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)
        doors = "".join(f"- {HUB_ADDRESS}:{port}\n" for port in listen)
        (folder / "hub.yaml").write_text(f"access_log: json\nadmin: {admin}\ndrain: 1s\nlisten:\n{doors}{settings}")
        (folder / "sni.yaml").write_text(routes)

    def start(self):
        """Returns once it listens."""
        already = self.count("listening on ")
        argv = [self.binary, "run", "--config", self.folder / "hub.yaml", "--routes", self.folder / "sni.yaml"]
        if self.no_splice:
            argv = ["python3", UNDER_SECCOMP, "all", *argv]
        self.process = Process("snihub", argv, self.log)
        self.wait_until("listening", 10, lambda: self.count("listening on ") > already)
        return self

    def stop(self):
        """SIGTERM; every tunnel's record is written then."""
        self.process.check_alive()
        self.process.stop(signal.SIGTERM, patience=10)
        code = self.process.child.returncode
        check(code == 0, f"the hub ended with {code}: {self.log}\n{self.process.tail()}")

    def edit(self, routes):
        """Saves sni.yaml as an editor does."""
        new = self.folder / ".sni.yaml.new"
        new.write_text(routes)
        os.rename(new, self.folder / "sni.yaml")

    def edit_and_wait(self, routes):
        """The same, and returns once the hub has taken it."""
        before = self.count("reloaded")
        self.edit(routes)
        self.wait_until("the reload", 10, lambda: self.count("reloaded") > before)

    def lines(self):
        """Every line of the log, over all starts, as objects."""
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def count(self, message):
        return sum(line.get("message", "").startswith(message) for line in self.lines())

    def opened(self, name=None):
        return self.about("opened", name)

    def closed(self, name=None):
        return self.about("closed", name)

    def about(self, message, name):
        return [
            line for line in self.lines()
            if line.get("message") == message and name in (None, line.get("name"))
        ]  # fmt: skip

    def wait_until(self, what, seconds, probe):
        """Waits while the hub lives."""

        def probing():
            self.process.check_alive()
            return probe()

        return wait_for(f"{what} (the hub: {self.log})", seconds, probing)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.child.poll() is None:
            self.process.stop(signal.SIGKILL)


class Tunnels:
    """What the records say of all tunnels that asked for one name."""

    def __init__(self, hub, name, upstream, without=(), at_port=443, may_end=WELL_ENDED):
        """`without`: sources that are the suite itself. `may_end`: how tunnels may end here."""
        self.name, self.party = name, name.split(".")[0]
        # Those that were refused have no relay.
        self.records = [
            record for record in hub.closed(name)
            if record.get("relay") and record["source"] not in without
            and record["inbound"].endswith(f":{at_port}")
        ]  # fmt: skip
        check(self.records, f"no tunnel of the hub asked for {name}: its traffic went past the hub, or never began")
        elsewhere = {record["upstream"] for record in self.records} - {upstream}
        check(not elsewhere, f"tunnels for {name} went to {elsewhere}, not to {upstream}")
        self.bytes = sum(record["client_to_upstream"] for record in self.records)
        self.back = sum(record["upstream_to_client"] for record in self.records)
        ended = Counter(record["ended"] for record in self.records if record["ended"] not in may_end)
        check(not ended, f"tunnels for {name} were cut: {dict(ended)}")

    def carried(self, payload, back=0):
        """At least `payload` bytes to the party and `back` bytes from it, the bulk by splice."""
        check(
            self.bytes >= payload and self.back >= back,
            f"tunnels for {self.name} carried {self.bytes} and {self.back} bytes, less than the "
            f"payload's {payload} and {back}: the rest went past the hub",
        )
        # Pings, commands and the first bytes of each burst are copied: some 300 KB in one MB of small
        # bursts, a few per cent of bulk.
        copied = [r for r in self.records if r["spliced"] < 0.75 * (size(r) - 1_000_000)]
        check(
            not copied,
            f"{len(copied)} tunnels for {self.name} carried bulk without splice: "
            + ", ".join(f"{r['spliced']} of {size(r)} bytes by splice" for r in copied),
        )


def size(record):
    """Bytes of one tunnel, both ways."""
    return record["client_to_upstream"] + record["upstream_to_client"]


def relays(tunnels):
    """How many tunnels by splice, and which share of all bytes never entered the hub's memory."""
    records = [record for of_name in tunnels for record in of_name.records]
    by_splice = sum(record["relay"] == "splice" for record in records)
    share = sum(record["spliced"] for record in records) / max(sum(map(size, records)), 1)
    return f"{by_splice} splice ({100 * share:.1f} % of bytes), {len(records) - by_splice} copy"
