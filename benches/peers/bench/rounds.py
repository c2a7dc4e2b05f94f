"""The rounds: everyone in turn for each row, so that what drifts drifts for all."""

import os
import time

from suite.check import Failure, note

from . import account, rows
from .proxies import Standing

FIRST_PORT = 4431
# A cell that failed so often is not tried again: some hang until their deadline.
ENOUGH = 2
# A cell during which programs elsewhere had more than this of the machine is measured again, so often; the
# least disturbed one counts. Undisturbed, 2 to 4 % go to the kernel's own threads.
DISTURBED = 0.08
AGAIN = 3


class Rounds:
    """Cells and failures so far."""

    def __init__(self, place, proxies, wanted, many):
        self.place, self.proxies, self.rows, self.many = place, proxies, wanted, many
        self.ports = {proxy.key: FIRST_PORT + nth for nth, proxy in enumerate(proxies)}
        self.cells, self.failures, self.calls = [], [], []
        self.began = time.monotonic()

    def run(self):
        for number in range(self.many):
            turn = number % len(self.proxies)
            order = self.proxies[turn:] + self.proxies[:turn]
            for row in (row for row in self.rows if row.alone and number < row.most_rounds):
                self.row(number, row, order, {})
            if any(not row.alone for row in self.rows):
                self.round(number, order)

    def round(self, number, order):
        standing = {}
        try:
            for row in (row for row in self.rows if not row.alone):
                self.row(number, row, order, standing)
            if number == self.many - 1:
                self.count_calls(order, standing)
        finally:
            self.stop(standing)

    def row(self, number, row, order, standing):
        """One cell for each; those in `standing` stay up."""
        said = []
        for proxy in (proxy for proxy in order if row.family in proxy.families):
            if self.gave_up(proxy, row):
                continue
            try:
                cell = self.cell(row, proxy, standing)
                self.cells.append({"round": number, "row": row.key, "proxy": proxy.key, **cell})
                first = cell["figures"].get(row.figures[0].key)
                said.append(f"{proxy.key} {'-' if first is None else f'{first:.{row.figures[0].digits}f}'}")
            except (Failure, OSError, KeyError) as failure:
                said.append(f"{proxy.key} FAILED")
                self.fail(number, row.key, proxy, failure, standing)
            if row.alone:
                self.stop(standing)
        took = time.monotonic() - self.began
        note(f"{took:5.0f} s  round {number + 1}/{self.many}  {row.title} ({row.figures[0].title}): {', '.join(said)}")

    def cell(self, row, proxy, standing):
        """A row `alone` begins with a process that has done nothing yet, and so is never repeated."""
        tried = []
        while True:
            stands = self.up(proxy, standing)
            began, before = time.monotonic(), account.seconds_elsewhere()
            cell = rows.measure(row, stands, self.place.load)
            took = (time.monotonic() - began) * os.cpu_count()
            tried.append({**cell, "elsewhere": (account.seconds_elsewhere() - before) / took})
            if row.alone or tried[-1]["elsewhere"] <= DISTURBED or len(tried) > AGAIN:
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

    def count_calls(self, order, standing):
        """After the timed rounds."""
        for row in (row for row in self.rows if row.calls):
            said = []
            for proxy in (p for p in order if row.family in p.families and p.launch and not self.gave_up(p, row)):
                try:
                    calls = rows.system_calls(row, self.up(proxy, standing), self.place.load)
                    self.calls.append({"row": row.key, "proxy": proxy.key, "calls": calls})
                    said.append(f"{proxy.key} {calls:.1f}")
                except (Failure, OSError, KeyError) as failure:
                    self.fail(self.many, f"{row.key}, system calls", proxy, failure, standing)
            note(f"{time.monotonic() - self.began:5.0f} s  system calls per {row.unit}, {row.title}: {', '.join(said)}")
