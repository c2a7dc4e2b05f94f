"""The rounds: everyone in turn for each row, so that what drifts drifts for all."""

import os
import time

from suite.check import Failure, note

from . import account, rows
from .budget import Budget
from .proxies import Standing

FIRST_PORT = 4431
# A cell that failed so often is not tried again: some hang until their deadline.
ENOUGH = 2
# A cell during which programs elsewhere had more than this of the machine is measured again, so often; the
# least disturbed one counts. Undisturbed, 2 to 4 % go to the kernel's own threads.
DISTURBED = 0.08
AGAIN = 3


class Rounds:
    """Cells and failures so far. Without `seconds` it takes as long as it takes."""

    def __init__(self, place, proxies, wanted, many, seconds=None):
        self.place, self.proxies, self.rows, self.many = place, proxies, wanted, many
        self.ports = {proxy.key: FIRST_PORT + nth for nth, proxy in enumerate(proxies)}
        self.cells, self.failures, self.calls, self.unreached = [], [], [], []
        turns = sum(min(row.most_rounds, many) * len(self.takers(row, proxies)) for row in wanted)
        self.budget = Budget(seconds, turns)

    def run(self):
        longest = 0
        for number in range(self.many):
            if number and not self.budget.fits(longest):
                self.say(number, "no time for it")
                break
            began = self.budget.elapsed()
            self.round(number)
            longest = max(longest, self.budget.elapsed() - began)
        # Counting has a price: a run with little time has none for it.
        if self.budget.seconds is None:
            self.count_calls()

    def round(self, number):
        turn = number % len(self.proxies)
        order = self.proxies[turn:] + self.proxies[:turn]
        for row in (row for row in self.rows if row.alone and number < row.most_rounds):
            self.row(number, row, order, {})
        standing = {}
        try:
            for row in (row for row in self.rows if not row.alone):
                self.row(number, row, order, standing)
        finally:
            self.stop(standing)

    @staticmethod
    def takers(row, order):
        return [proxy for proxy in order if row.family in proxy.families]

    def row(self, number, row, order, standing):
        """One cell for each, or, where the time is up before, for none; those in `standing` stay up."""
        said, cells = [], []
        for proxy in (proxy for proxy in self.takers(row, order) if not self.gave_up(proxy, row)):
            if not self.budget.fits():
                self.unreached.append({"round": number, "what": row.title})
                return self.say(number, f"{row.title}: the time is up")
            try:
                cell = self.cell(row, proxy, standing)
                cells.append({"round": number, "row": row.key, "proxy": proxy.key, **cell})
                first = cell["figures"].get(row.figures[0].key)
                said.append(f"{proxy.key} {'-' if first is None else f'{first:.{row.figures[0].digits}f}'}")
            except (Failure, OSError, KeyError) as failure:
                said.append(f"{proxy.key} FAILED")
                self.fail(number, row.key, proxy, failure, standing)
            self.budget.done += 1
            if row.alone:
                self.stop(standing)
        self.cells += cells
        self.say(number, f"{row.title} ({row.figures[0].title}): {', '.join(said)}")

    def say(self, number, what):
        note(f"{self.budget.elapsed():5.0f} s  round {number + 1}/{self.many}  {what}")

    def cell(self, row, proxy, standing):
        """A row `alone` begins with a process that has done nothing yet, and so is never repeated."""
        tried = []
        while True:
            stands = self.up(proxy, standing)
            began, before = time.monotonic(), account.seconds_elsewhere()
            cell = rows.measure(row, stands, self.place.load)
            took = (time.monotonic() - began) * os.cpu_count()
            tried.append({**cell, "elsewhere": (account.seconds_elsewhere() - before) / took})
            enough = row.alone or len(tried) > AGAIN or not self.budget.repeats()
            if enough or tried[-1]["elsewhere"] <= DISTURBED:
                return {**min(tried, key=lambda cell: cell["elsewhere"]), "again": len(tried) - 1}

    def up(self, proxy, standing):
        if proxy.key in standing and not standing[proxy.key].is_alive():
            standing.pop(proxy.key).stop()
        if proxy.key not in standing:
            standing[proxy.key] = Standing(proxy, self.place, self.ports[proxy.key])
        return standing[proxy.key]

    def stop(self, standing):
        while standing:
            standing.popitem()[1].stop()

    def fail(self, number, row, proxy, failure, standing):
        """What is in a bad state now begins anew."""
        stood = standing.pop(proxy.key, None)
        words = stood.words() if stood else ""
        if stood:
            stood.stop()
        why = f"{type(failure).__name__}: {failure}" if not isinstance(failure, Failure) else str(failure)
        why, words = (text.replace(str(self.place.sid.parent), "CACHE") for text in (why, words))
        self.failures.append({"round": number, "row": row, "proxy": proxy.key, "why": why, "log": words})
        note(f"         {proxy.title}: {why}")

    def gave_up(self, proxy, row):
        return sum(f["row"] == row.key and f["proxy"] == proxy.key for f in self.failures) >= ENOUGH

    def count_calls(self):
        """After the timed rounds."""
        standing = {}
        try:
            for row in (row for row in self.rows if row.calls):
                self.calls_of(row, standing)
        finally:
            self.stop(standing)

    def calls_of(self, row, standing):
        said = []
        for proxy in (p for p in self.takers(row, self.proxies) if p.launch and not self.gave_up(p, row)):
            try:
                calls = rows.system_calls(row, self.up(proxy, standing), self.place.load)
                self.calls.append({"row": row.key, "proxy": proxy.key, "calls": calls})
                said.append(f"{proxy.key} {calls:.1f}")
            except (Failure, OSError, KeyError) as failure:
                self.fail(self.many, f"{row.key}, system calls", proxy, failure, standing)
        note(f"{self.budget.elapsed():5.0f} s  system calls per {row.unit}, {row.title}: {', '.join(said)}")
