"""results.json, results.md and the plots."""

import json
from collections import Counter

from . import plot, summary
from .figures import Figures
from .summary import number

WHAT = """\
# The hub and its peers

For each row all proxies were measured in turn, one after the other, each round beginning with another one: {rounds}.
The end of the page says when each row was measured. Client, proxy and origin share {cores} cores and talk over
loopback, so compare figures of a row with each other and not with those of another machine. Every figure is the
median of the rounds, with the least and the greatest in parentheses.

`{command}` measures it again.

* **CPU** is the proxy's own, all its threads and processes, during the measured interval.
* **KiB per tunnel** is the growth of the proxy's memory (PSS) from no tunnel to all of them, divided by
  their number; kernel memory is not in it.
* **bare loop** does the least that any proxy has to (accept, connect, move bytes): a floor, no rival. **no proxy** is
  the client at the origin's door.
* Unprivileged: under a user id without capabilities, where the kernel grants {pages} pages of pipes per user.
"""


def made(result):
    """The page, and name, title and text of each plot."""
    figures = Figures(result)
    plots = plot.drawn(result, figures)
    return markdown(result, figures, [(name, title) for name, title, _ in plots]), plots


def write(result, folder):
    """All files, once all are made."""
    page, plots = made(result)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(listed(result))
    (folder / "results.md").write_text(page)
    # Those of a former run with other rows; whatever else lies there is not ours.
    for name, *_ in plot.PLOTS:
        (folder / name).unlink(missing_ok=True)
    for name, _, text in plots:
        (folder / name).write_text(text)


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
    known, usual = result["machine"], usual_rounds(result, figures)
    what = WHAT.format(
        rounds=f"{many(usual)} where a table does not say otherwise" if usual else "none here",
        cores=known["cores"], command=result["command"], pages=known["pipe_user_pages_soft"],
    )  # fmt: skip
    parts = [section for section in (what, summary.section(result, figures)) if section]
    parts += [f"![{title}]({name})\n" for name, title in plots]
    parts += [row_table(row, result, figures, usual) for row in result["rows"]]
    parts += [section for section in (two_fat(result), scale(result), failures(result)) if section]
    parts.append(conditions(result))
    return "\n".join(parts)


def usual_rounds(result, figures):
    """What most rows have; none where only parts were measured that have no rounds."""
    counts = Counter(count for row in result["rows"] if (count := figures.rounds(row["key"])))
    return counts.most_common(1)[0][0] if counts else None


def many(rounds):
    return f"{rounds} round{'' if rounds == 1 else 's'}"


def row_table(row, result, figures, usual):
    """Everyone in one row; the best peer in bold."""
    calls = {each["proxy"]: each["calls"] for each in result["system_calls"] if each["row"] == row["key"]}
    heads = [figure["title"] for figure in row["figures"]] + ([f"system calls per {row['unit']}"] if calls else [])
    lines = [f"## {row['title'][0].upper()}{row['title'][1:]}\n"]
    rounds = figures.rounds(row["key"])
    about = ([row["about"]] if row["about"] else []) + ([f"Measured in {many(rounds)}."] if rounds != usual else [])
    lines += [" ".join(about) + "\n"] if about else []
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


PARTS = {
    "two-fat": "two tunnels turn fat",
    "scale-reload": "reloads",
    "scale-huge": "the table of 1,000,000 routes",
    "scale-tunnels": "as many tunnels as fit",
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
        *when(result),
        *unreached(result.get("unreached")),
        "* What each writes to a log, and what else is its own:",
    ]
    lines += [f"  * {proxy['title']}: {proxy['remark']}" for proxy in result["proxies"]]
    return "\n".join(lines) + "\n"


def when(result):
    """One line per time at which something of the page was measured."""
    titles = {row["key"]: row["title"] for row in result["rows"]} | PARTS
    times = {}
    for key, each in result["measured"].items():
        times.setdefault((each["at"], each["command"], each.get("hub", "")), []).append(titles[key])
    for (at, command, build), what in sorted(times.items()):
        day, hour = at.rstrip("Z").split("T")
        program = f", the hub's program being {build} by SHA-256" if build else ""
        yield f"* Begun on {day} between {hour}:00 and {hour}:59 UTC, by `{command}`{program}: {'; '.join(what)}."
    if len({build for *_, build in times}) > 1:
        yield "* So the hub was not the same build each time."


def unreached(what):
    """A row counts only in rounds in which everyone had its turn."""
    if what:
        rows = ", ".join(f"{each['what']} (round {each['round'] + 1})" for each in what)
        yield f"* The time that the run had was up before it came to the end of these: {rows}."


def disturbance(cells):
    """Whether the machine was the run's alone."""
    shares = sorted(cell["elsewhere"] for cell in cells)
    again = sum(cell["again"] for cell in cells)
    return (
        f"* Programs elsewhere on the machine, and the kernel's own threads, had {shares[len(shares) // 2]:.0%} of it "
        f"during the median cell and {shares[-1]:.0%} during the most disturbed; {again} more were measured, and not taken "
        "for such a disturbance."
    )
