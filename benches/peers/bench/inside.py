"""Process 1 of the sandbox: loopback, state in memory, the origin, then all measurements."""

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from suite import peers
from suite.certs import Authority
from suite.check import Failure, note
from suite.process import Process

from . import packages, scale, stored, two_fat
from .load import ORIGIN
from .proxies import Place, everyone
from .rounds import Rounds
from .rows import all_rows, idle_tunnels, most_tunnels

STATE = Path("/run/peers")
# The same for all. Ephemeral ports leave room for listeners; few TIME_WAITs are kept, since each run
# makes thousands and the next is not to pay for them.
SYSCTLS = {
    "net/core/somaxconn": "16384",
    "net/ipv4/ip_local_port_range": "20000 65000",
    "net/ipv4/tcp_max_tw_buckets": "4096",
    "net/ipv4/tcp_max_syn_backlog": "16384",
    "net/ipv4/tcp_tw_reuse": "1",
}


def run(plan):
    """0, or 2 where the results that these rows belong to are of another machine or other versions."""
    cache, began = Path(plan["cache"]), time.time()
    set_up(cache)
    place = look_around(plan, cache)
    proxies = [proxy for proxy in everyone() if proxy.key in plan["only"]]
    wanted = [row for row in all_rows(idle_tunnels(place.files)) if row.key in plan["rows"]]
    found = about(plan, cache, place, proxies, wanted)
    if plan["before"] and (differs := stored.differences(plan["before"], found)):
        note("these rows cannot stand beside those that are there: " + "; ".join(differs))
        note("measure all with --full, or give another folder with --results")
        return 2
    note(f"{len(proxies)} proxies, {len(wanted)} rows, {plan['rounds']} rounds; {found['versions']}")
    origin = Process("origin", [place.load, "origin", "--listen", ORIGIN, "--seconds", 86400], STATE / "origin.log")
    peers.listening(origin, int(ORIGIN.rpartition(":")[2]))
    rounds = Rounds(place, proxies, wanted, plan["rounds"], plan["seconds"])
    rounds.run()
    found |= {"cells": rounds.cells, "failures": rounds.failures, "system_calls": rounds.calls}
    found |= {"unreached": rounds.unreached} if rounds.unreached else {}
    found |= parts(plan, place, proxies)
    what = [row.key for row in wanted if any(cell["row"] == row.key for cell in rounds.cells)]
    what += ["two-fat"] if "two_fat" in found else []
    what += [f"scale-{name}" for name in found.get("scale", ())]
    found["measured"] = stored.measured(began, plan["command"], place.hub, what)
    Path(plan["found"]).write_text(json.dumps(found))
    return 0


def about(plan, cache, place, proxies, wanted):
    """What is measured, on what."""
    return {
        "command": plan["command"],
        "machine": machine(place),
        "versions": packages.versions(cache, place.hub),
        "rounds": plan["rounds"],
        "proxies": [pick(proxy, "key", "title", "kind", "remark", "unprivileged", "splices") for proxy in proxies],
        "rows": [
            {**pick(row, "key", "title", "about", "unit"), "figures": [vars(figure) for figure in row.figures]}
            for row in wanted
        ],
    }


def parts(plan, place, proxies):
    """What has no rounds."""
    found = {}
    if "two-fat" in plan["rows"]:
        found["two_fat"] = two_fat.trials(place, proxies)
    if "scale" in plan["rows"]:
        found["scale"] = scale.measure(place)
    return found


def pick(thing, *names):
    return {name: getattr(thing, name) for name in names}


def set_up(cache):
    # Process 1 ignores what it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    tool("ip", "link", "set", "lo", "up")
    for name, value in SYSCTLS.items():
        Path("/proc/sys", name).write_text(value)
    tool("mount", "-t", "tmpfs", "-o", "mode=755", "peers", "/run")
    STATE.mkdir()
    if (cache / "sid").is_dir():
        tool("mount", "--bind", "/run", cache / "sid/run")
        tool("mount", "--rbind", "/dev", cache / "sid/dev")
        tool("mount", "-t", "proc", "proc", cache / "sid/proc")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def look_around(plan, cache):
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where any user may run it.
    folder = STATE / "programs"
    folder.mkdir()
    programs = {name: Path(shutil.copy(plan[name], folder / name)) for name in ("hub", "load")}
    for program in programs.values():
        program.chmod(0o755)
    return Place(
        **programs, debian=cache / "debian", sid=cache / "sid", state=STATE, files=files,
        authority=Authority(programs["hub"], STATE / "certificates"),
        tunnels=most_tunnels(files),
    )  # fmt: skip


def machine(place):
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "kernel": os.uname().release,
        "cores": os.cpu_count(),
        "processor": model,
        "open_files": place.files,
        "tunnels": place.tunnels,
        "pipe_user_pages_soft": int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text()),
        "sysctls": SYSCTLS,
    }


def tool(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
