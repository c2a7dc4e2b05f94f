"""Two tunnels turn fat some seconds after they opened: do they share a worker while another has
nothing to do?"""

import time

from suite.check import Failure, note

from . import account
from .load import Run
from .proxies import Standing
from .rounds import FIRST_PORT

QUIET, WARM_UP, SECONDS = 5, 1, 2
WINDOW = 0.5
# The second worker's CPU for bulk, of the first's, below which it has no fat tunnel.
IDLES_BELOW = 0.3
# HUB many for the promise, PEER many to see how others do.
HUB, PEER = 20, 5


def trials(place, proxies):
    """How many went well, of how many."""
    results = []
    for proxy in (proxy for proxy in proxies if "two-fat" in proxy.families):
        standing, seen, failed = None, [], None
        try:
            standing = Standing(proxy, place, FIRST_PORT)
            for _ in range(HUB if proxy.kind == "hub" else PEER):
                seen.append(trial(standing, place.load))
        except (Failure, OSError) as failure:
            failed = str(failure)
        finally:
            if standing:
                standing.stop()
        good = sum(min(trial["shares"]) >= IDLES_BELOW for trial in seen)
        results.append({"proxy": proxy.key, "good": good, "trials": seen, "failed": failed})
        note(f"         two fat tunnels, {proxy.title}: {good} of {len(seen)}{f', then {failed}' if failed else ''}")
    return results


def trial(standing, load):
    """The second worker's share of the first's CPU time, in each window. What each took for the
    chatty tunnels while the fat ones were quiet does not count."""
    shares, quiet = [], {}

    def begin():
        after = account.cpu_of_threads(standing.pids())
        seconds = time.monotonic() - quiet["at"]
        quiet["rate"] = {tid: (ns - quiet["cpu"].get(tid, 0)) / seconds for tid, ns in after.items()}

    def watch():
        end = time.monotonic() + SECONDS - WINDOW
        at, before = time.monotonic(), account.cpu_of_threads(standing.pids())
        while at < end:
            time.sleep(WINDOW)
            after, now = account.cpu_of_threads(standing.pids()), time.monotonic()
            usual = {tid: quiet["rate"].get(tid, 0) * (now - at) for tid in after}
            first, second = sorted((after[tid] - before.get(tid, 0) - usual[tid] for tid in after), reverse=True)[:2]
            shares.append(round(max(second, 0) / max(first, 1), 3))
            at, before = now, after

    argv = ("two-fat", "--quiet", QUIET, "--warm-up", WARM_UP, "--seconds", SECONDS)
    patience = QUIET + WARM_UP + SECONDS + 20
    run = Run(load, standing.port, argv, patience, {"fat": begin, "measuring": watch})
    # By then all stand.
    time.sleep(1.5)
    quiet |= {"at": time.monotonic(), "cpu": account.cpu_of_threads(standing.pids())}
    report = run.finish()
    if not shares:
        raise Failure("no window was measured")
    return {"shares": shares, "gbit": report["gbit_per_s_each"], "chatty_p99_us": report["chatty_us"]["p99"]}
