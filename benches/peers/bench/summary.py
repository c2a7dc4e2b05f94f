"""In short: the hub beside the best peer of each row, and in how many rounds it was the worse one."""

from collections.abc import Iterator
from dataclasses import dataclass

from .figures import Spread, is_better, verdict

TABLE = """\
## In short

Ratio: the hub's median divided by the best peer's, and in parentheses the least and the greatest of the ratios in single
rounds. *ahead*: the better median, and the spreads (least to greatest) do not overlap. *equal*: they overlap, whichever
median is the better. *behind*: the worse median, and they do not overlap. A single round has no spread. *Worse in*: of the
rounds that both were measured in, so many in which the hub's figure was worse than that peer's.

| | better is | snihub | best peer | which | ratio | worse in | |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Line:
    """One figure of a row, of the hub and the best peer."""

    title: str
    figure: dict
    hub: Spread
    best: Spread
    which: str
    # (hub, peer) in each round that has both.
    pairs: list

    def worse(self):
        return sum(is_better(theirs, mine, self.figure["better"]) for mine, theirs in self.pairs)

    def is_often_worse(self):
        """In six sevenths of the rounds or more: no accident of a single one."""
        return bool(self.pairs) and self.worse() * 7 >= len(self.pairs) * 6


def section(result, figures):
    """None where the hub or its peers were not measured."""
    found = list(lines(result, figures))
    return found and TABLE + "".join(map(told, found)) + "\n" + sentence(found)


def lines(result, figures) -> Iterator[Line]:
    for row in result["rows"]:
        for hub, unprivileged in (("hub", False), ("hub-user", True)):
            for figure in row["figures"]:
                mine = figures.of(row["key"], figure["key"], hub)
                best = figures.best_peer(row["key"], figure, unprivileged)
                if mine and best:
                    title = row["title"] + (", unprivileged" if unprivileged else "") + f": {figure['title']}"
                    theirs = figures.of(row["key"], figure["key"], best)
                    pairs = list(figures.pairs(row["key"], figure["key"], hub, best))
                    yield Line(title, figure, mine, theirs, figures.proxies[best]["title"], pairs)


def told(line):
    ratio, word = verdict(line.hub, line.best, line.figure["better"])
    each = [mine / theirs for mine, theirs in line.pairs]
    ratio = f"{ratio:.2f}" + (f" ({min(each):.2f}–{max(each):.2f})" if len(each) > 1 else "")
    word = f"**{word}**" if word == "behind" else word
    numbers = f"{number(line.hub.median, line.figure)} | {number(line.best.median, line.figure)}"
    worse = f"{line.worse()} of {len(line.pairs)}"
    return f"| {line.title} | {line.figure['better']} | {numbers} | {line.which} | {ratio} | {worse} | {word} |\n"


def sentence(found):
    """So that nothing hides behind "equal"."""
    ahead = sum(is_better(line.hub.median, line.best.median, line.figure["better"]) for line in found)
    often = "; ".join(f"{line.title} ({line.worse()} of {len(line.pairs)})" for line in found if line.is_often_worse())
    return (
        f"The hub's median is better than the best peer's in {ahead} of {len(found)} figures; it is worse in at least six "
        f"sevenths of the rounds in {often or 'none'}.\n"
    )


def number(value, figure):
    return f"{value:,.{figure['digits']}f}"
