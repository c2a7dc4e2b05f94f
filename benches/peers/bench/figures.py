"""Medians, spreads, and who is ahead."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float
    count: int


class Figures:
    """What the cells of a run come to."""

    def __init__(self, result):
        self.proxies = {proxy["key"]: proxy for proxy in result["proxies"]}
        values, self.cells = {}, {}
        for cell in result["cells"]:
            self.cells[cell["row"], cell["proxy"], cell["round"]] = cell["figures"]
            for figure, value in cell["figures"].items():
                values.setdefault((cell["row"], figure, cell["proxy"]), []).append(value)
        self.spreads = {
            key: Spread(statistics.median(each), min(each), max(each), len(each)) for key, each in values.items()
        }

    def of(self, row, figure, proxy):
        return self.spreads.get((row, figure, proxy))

    def pairs(self, row, figure, one, other):
        """What two proxies had in the same round: what drifted for both is in both."""
        for (at, proxy, number), mine in self.cells.items():
            theirs = self.cells.get((row, other, number))
            if at == row and proxy == one and theirs and theirs.get(figure):
                yield mine[figure], theirs[figure]

    def rounds(self, row):
        """In how many rounds a row was measured."""
        return len({number for at, _, number in self.cells if at == row})

    def best_peer(self, row, figure, unprivileged=False):
        """Of all peers, or of those that are as free of privileged pipes as an unprivileged hub."""
        found = []
        for key, proxy in self.proxies.items():
            allowed = (proxy["unprivileged"] or not proxy["splices"]) if unprivileged else True
            if proxy["kind"] == "peer" and allowed and (spread := self.of(row, figure["key"], key)):
                found.append((spread.median, key))
        if not found:
            return None
        return (max if figure["better"] == "higher" else min)(found)[1]


def verdict(hub, best, better):
    """The ratio of the hub to the best peer, and the word for it: only spreads that lie apart tell who is ahead."""
    ratio = hub.median / best.median if best.median else float("inf")
    if min(hub.count, best.count) < 2:
        return ratio, "no spread"
    if hub.least <= best.most and best.least <= hub.most:
        return ratio, "equal"
    return ratio, "ahead" if is_better(hub.median, best.median, better) else "behind"


def is_better(one, other, better):
    return one > other if better == "higher" else one < other
