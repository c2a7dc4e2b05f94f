"""results.json, results.md and the plots."""

import json

from . import plot
from .figures import Figures, verdict

WHAT = """\
# The hub and its peers

Everyone was measured in the same run, in turn: for each row all proxies one after the other, {rounds} rounds, each
round beginning with another one. Client, proxy and origin share {cores} cores and talk over loopback, so compare
figures of this page with each other and not with those of another machine. Every figure is the
median of the rounds, with the least and the greatest in parentheses.

`{command}` measures it again.

* **CPU** is the proxy's own, all its threads and processes, during the measured interval.
* **KiB per tunnel** is the growth of the proxy's memory (PSS) from no tunnel to all of them, divided by
  their number; kernel memory is not in it.
* **bare loop** does the least that any proxy has to (accept, connect, move bytes): a floor, no rival. **no proxy** is
  the client at the origin's door.
* Unprivileged: under a user id without capabilities, where the kernel grants {pages} pages of pipes per user.
"""
SUMMARY = """\
## In short

Ratio: the hub's median divided by the best peer's, and in parentheses the least and the greatest of the ratios in single
rounds. *ahead*: at least as good. *equal*: not as good, but the spreads overlap. *behind*: the rest.

| | better is | snihub | best peer | which | ratio | |
|---|---|---|---|---|---|---|
"""


def write(result, folder):
    """All files; what a former run left is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(listed(result))
    figures = Figures(result)
    for old in folder.glob("*.svg"):
        old.unlink()
    plots = plot.write(result, figures, folder)
    (folder / "results.md").write_text(markdown(result, figures, plots))


def listed(result):
    """JSON with a line per value of the outer lists: a diff shows what changed."""
    parts = []
    for key, value in result.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
        else:
            text = json.dumps(value)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def markdown(result, figures, plots):
    known = result["machine"]
    what = WHAT.format(
        rounds=result["rounds"], cores=known["cores"], command=result["command"], pages=known["pipe_user_pages_soft"]
    )
    parts = [what]
    if any(proxy["kind"] == "hub" for proxy in result["proxies"]):
        parts.append(SUMMARY + "\n".join(summary(result, figures)) + "\n")
    parts += [f"![{title}]({name})\n" for name, title in plots]
    parts += [row_table(row, result, figures) for row in result["rows"]]
    parts += [section for section in (two_fat(result), scale(result), failures(result)) if section]
    parts.append(conditions(result))
    return "\n".join(parts)


def summary(result, figures):
    for row in result["rows"]:
        for hub, unprivileged in (("hub", False), ("hub-user", True)):
            for figure in row["figures"]:
                mine = figures.of(row["key"], figure["key"], hub)
                best = figures.best_peer(row["key"], figure, unprivileged)
                if not mine or not best:
                    continue
                ratio, word = verdict(mine, theirs := figures.of(row["key"], figure["key"], best), figure["better"])
                title = row["title"] + (", unprivileged" if unprivileged else "")
                numbers = f"{number(mine.median, figure)} | {number(theirs.median, figure)}"
                which = figures.proxies[best]["title"]
                word = f"**{word}**" if word == "behind" else word
                each = list(figures.ratios(row["key"], figure["key"], hub, best))
                ratio = f"{ratio:.2f}" + (f" ({min(each):.2f}–{max(each):.2f})" if len(each) > 1 else "")
                yield f"| {title}: {figure['title']} | {figure['better']} | {numbers} | {which} | {ratio} | {word} |"


def number(value, figure):
    return f"{value:,.{figure['digits']}f}"


def row_table(row, result, figures):
    """Everyone in one row; the best peer in bold."""
    calls = {each["proxy"]: each["calls"] for each in result["system_calls"] if each["row"] == row["key"]}
    heads = [figure["title"] for figure in row["figures"]] + ([f"system calls per {row['unit']}"] if calls else [])
    lines = [f"## {row['title'][0].upper()}{row['title'][1:]}\n"]
    lines += [row["about"] + "\n"] if row["about"] else []
    lines += [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    best = {figure["key"]: figures.best_peer(row["key"], figure) for figure in row["figures"]}
    failed = {failure["proxy"] for failure in result["failures"] if failure["row"] == row["key"]}
    for key, proxy in figures.proxies.items():
        cells = []
        for figure in row["figures"]:
            spread = figures.of(row["key"], figure["key"], key)
            cells.append(cell(spread, figure, best[figure["key"]] == key) if spread else "")
        if not any(cells):
            if key in failed:
                lines.append(f"| {proxy['title']} | failed" + " |" * len(heads))
            continue
        cells += [f"{calls[key]:,.{0 if calls[key] >= 1000 else 1}f}" if key in calls else ""] if calls else []
        title = f"*{proxy['title']}*" if proxy["kind"] == "floor" else proxy["title"]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(spread, figure, bold):
    middle = number(spread.median, figure)
    ends = f"{number(spread.least, figure)}–{number(spread.most, figure)}"
    return (f"**{middle}**" if bold else middle) + (f" ({ends})" if spread.count > 1 else "")


def two_fat(result):
    if not result.get("two_fat"):
        return None
    titles = {proxy["key"]: proxy["title"] for proxy in result["proxies"]}
    lines = [
        "## Two tunnels turn fat\n",
        "Two tunnels among 200 idle and 50 chatty ones are quiet for five seconds, then carry bulk. A trial is good if in",
        "no half second from one second later on one worker did all the bulk while the other had none.\n",
        "| | good trials |", "|---|---|",
    ]  # fmt: skip
    for each in result["two_fat"]:
        failed = f" (then: {each['failed']})" if each["failed"] else ""
        lines.append(f"| {titles[each['proxy']]} | {each['good']} of {len(each['trials'])}{failed} |")
    return "\n".join(lines) + "\n"


def scale(result):
    parts = result.get("scale")
    if not parts:
        return None
    lines = ["## The hub alone, at size\n"]
    for name, tell in SCALE.items():
        if name in parts:
            failed = parts[name].get("failed")
            lines.append(f"* {name}: failed: {failed}" if failed else "* " + tell(parts[name]))
    return "\n".join(lines) + "\n"


def range_of(values, digits=0):
    middle = sorted(values)[len(values) // 2]
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


SCALE = {
    "reload": lambda part: (
        f"Reload of {part['routes']:,} routes: {range_of(part['ms'])} ms. p99 of running ping-pong "
        f"{range_of(part['p99_us']['without'])} us without and {range_of(part['p99_us']['with'])} us with two reloads in "
        "its three seconds."
    ),
    "huge": lambda part: f"{part['routes']:,} routes: loaded in {part['ms']:,.0f} ms; {part['mib']:,.0f} MiB.",
    "tunnels": lambda part: (
        f"{part['tunnels']:,} tunnels, as many of 41,000 as the limit of open files allows: all {part['standing']:,} up in "
        f"{part['up_s']:.1f} s, {part['errors']} errors; {part['idle_cpu_percent']:.1f} % of one core while idle. With "
        f"{part['busy']} of them busy (ten messages a second each), p99 {part['busy_p99_us']:,.0f} us."
    ),
}


def failures(result):
    if not result["failures"] and not result.get("missing"):
        return None
    titles = {proxy["key"]: proxy["title"] for proxy in result["proxies"]}
    lines = ["## What failed\n", "A cell that failed twice was not tried again.\n"]
    lines += [f"* could not be fetched: {name}: {why.splitlines()[0]}" for name, why in result.get("missing", {}).items()]
    seen = {}
    for failure in result["failures"]:
        seen.setdefault((failure["proxy"], failure["row"], failure["why"].splitlines()[0]), []).append(failure["round"] + 1)
    for (proxy, row, why), rounds in seen.items():
        lines.append(f"* {titles[proxy]}, {row}, round {', '.join(map(str, rounds))}: {why}")
    return "\n".join(lines) + "\n"


def conditions(result):
    known = result["machine"]
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in result["versions"].items())
    lines = [
        "## Conditions\n",
        f"* {known['processor']}, {known['cores']} cores, Linux {known['kernel']}.",
        f"* {versions}; from Debian.",
        f"* At most {known['open_files']:,} open files, and so {known['tunnels']:,} tunnels for everyone: HAProxy's "
        "`maxconn`, nginx's `worker_connections`, and the hub's `limits.tunnels` where its default would be less.",
        "* The same in the network namespace for all: " + ", ".join(f"`{k}` = {v}" for k, v in known["sysctls"].items()) + ".",
        "* One listener, two workers, one exact route and one wildcard; tunnels take the two in turn.",
        *([disturbance(result["cells"])] if result["cells"] else []),
        *(f"* {remark}" for remark in result.get("remarks", [])),
        "* What each writes to a log, and what else is its own:",
    ]
    lines += [f"  * {proxy['title']}: {proxy['remark']}" for proxy in result["proxies"]]
    return "\n".join(lines) + "\n"


def disturbance(cells):
    """Whether the machine was the run's alone."""
    shares = sorted(cell["elsewhere"] for cell in cells)
    again = sum(cell["again"] for cell in cells)
    return (
        f"* Programs elsewhere on the machine, and the kernel's own threads, had {shares[len(shares) // 2]:.0%} of it "
        f"during the median cell and {shares[-1]:.0%} during the most disturbed; {again} more were measured, and not taken "
        "for such a disturbance."
    )
