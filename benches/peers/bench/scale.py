"""The hub alone, at size: big tables, reloads under traffic, as many tunnels as fit."""

import os
import re
import time

from suite.check import Failure, note, wait_for

from . import account
from .load import EXACT, ORIGIN, WILDCARD, Run
from .proxies import Standing, everyone
from .rounds import FIRST_PORT

TABLE, HUGE = 100_000, 1_000_000
# One tunnel: more would fill two cores, and a reload could then only take from them.
PINGPONG = ("pingpong", "--size", 128, "--tunnels", 1, "--seconds", 3, "--warm-up", 0.3)
# Runs with and without a reload, in turn.
PAIRS = 5


def measure(place):
    """Each part's figures, or why there are none."""
    proxies = {proxy.key: proxy for proxy in everyone()}
    # The log says how long a reload took.
    hub, telling = proxies["hub"], proxies["hub-log"]
    parts = {
        "reload": lambda: reload(telling, place),
        "tunnels": lambda: tunnels(hub, place),
        "huge": lambda: huge(telling, place),
    }
    results = {}
    for name, part in parts.items():
        try:
            results[name] = part()
            note(f"         hub alone, {name}: {results[name]}")
        except (Failure, OSError) as failure:
            results[name] = {"failed": str(failure)}
            note(f"         hub alone, {name}: FAILED: {failure}")
    return results


def table(many, generation):
    """The two routes of the load last, behind the others."""
    entries = [f"- fqdn: party{n}.gen{generation % 2}.org\n  tunnel_route: {ORIGIN}\n" for n in range(many // 10)]
    entries += [f"- fqdn: party{n}.fate.org\n  tunnel_route: {ORIGIN}\n" for n in range(many - many // 10)]
    entries += [f"- fqdn: '{name}'\n  tunnel_route: {ORIGIN}\n" for name in (EXACT, WILDCARD)]
    return "sni:\n" + "".join(entries)


class Edited:
    """A hub that runs, and its sni.yaml."""

    def __init__(self, hub, place):
        self.place, self.generation = place, 0
        self.standing = Standing(hub, place, FIRST_PORT)
        self.log, self.file = self.standing.log, place.state / hub.key / "etc/sni.yaml"

    def edit(self, many):
        """Saves a table as an editor does; the milliseconds that the hub says its reload took."""
        self.generation += 1
        new = self.file.with_name(".sni.yaml.new")
        new.write_text(table(many, self.generation))
        before = len(self.reloads())
        os.rename(new, self.file)
        return wait_for("the reload", 60, lambda: self.reloads()[before:], every=0.02)[0]

    def reloads(self):
        return [float(ms) for ms in re.findall(r"INFO reloaded .*?\btook_ms=([0-9.]+)", self.log.read_text())]


def reload(hub, place):
    """Of 100,000 routes, a tenth of them other ones each time, under ping-pong."""
    edited = Edited(hub, place)
    try:
        edited.edit(TABLE)
        took, p99 = [], {"without": [], "with": []}
        for _ in range(PAIRS):
            for kind in p99:
                run = Run(place.load, edited.standing.port, PINGPONG, 30, {})
                if kind == "with":
                    time.sleep(1)
                    took += [edited.edit(TABLE), edited.edit(TABLE)]
                p99[kind].append(run.finish()["round_trip_us"]["p99"])
    finally:
        edited.standing.stop()
    return {"routes": TABLE, "ms": took, "p99_us": p99}


def huge(hub, place):
    """A million routes: does the table load, how long, how much memory."""
    edited = Edited(hub, place)
    try:
        ms = edited.edit(HUGE)
        kib = account.pss_kib(edited.standing.pids())
    finally:
        edited.standing.stop()
    return {"routes": HUGE, "ms": ms, "mib": round(kib / 1024, 1)}


def tunnels(hub, place):
    """40,000 idle tunnels and 1,000 busy ones, or as many as the descriptors allow, a 41st busy."""
    many = min(41_000, place.tunnels - 50)
    busy = many // 41
    standing, seen = Standing(hub, place, FIRST_PORT), {}

    def stand():
        before, began = standing.cpu(), time.monotonic()
        time.sleep(3)
        seen["idle_cpu_percent"] = 100 * (standing.cpu() - before) / (time.monotonic() - began)
        run.go_on()

    try:
        run = Run(place.load, standing.port, ("idle", "--tunnels", many, "--hold", 30), 60, {"standing": stand})
        idle = run.finish()
        argv = (
            "mixed", "--fat", 0, "--idle", many - busy, "--chatty", busy, "--every", 0.1, "--new-rate", 0,
            "--seconds", 3,
        )  # fmt: skip
        mixed = Run(place.load, standing.port, argv, 60, {}).finish()
    finally:
        standing.stop()
    return {
        "tunnels": many, "busy": busy, "up_s": idle["open_all_s"], "standing": idle["standing_at_end"],
        "idle_cpu_percent": round(seen["idle_cpu_percent"], 2), "busy_p99_us": mixed["chatty_us"]["p99"],
        "errors": idle["error_count"] + mixed["error_count"],
    }  # fmt: skip
