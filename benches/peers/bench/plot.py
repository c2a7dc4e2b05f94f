"""Plots: bars of medians with whiskers from least to greatest, as SVG that is readable on a dark
and on a light page. A whisker that would make all bars short ends in an arrow, and its end is a number."""

from html import escape

# File, title, and its panels: row, figure.
PLOTS = [
    ("bulk.svg", "Bulk up, 8 tunnels", (("bulk-up-8", "gbit"), ("bulk-up-8", "cpu"))),
    ("open.svg", "New tunnels, 32 at a time", (("open", "rate"), ("open", "cpu"))),
    ("pingpong.svg", "Ping-pong of 128 B", (("pingpong-128-1", "cpu"), ("pingpong-128-64", "cpu"))),
    ("many.svg", "Many tunnels", (("idle", "kib"), ("mixed", "p99"))),
]
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 } .name, .value { font-size: 11px }
.hub { fill: #d9480f } .peer { fill: #5c7cba } .floor { fill: #a7adb5 } .whisker { stroke: #24292f }
@media (prefers-color-scheme: dark) {
  text { fill: #d7dde4 } .whisker { stroke: #d7dde4 } .hub { fill: #ff8a4c } .peer { fill: #7b9be0 } .floor { fill: #6e7681 }
}"""
NAMES, BAR, VALUES, LINE, TOP = 280, 190, 110, 20, 56
# The scale reaches so far beyond the greatest median, if a whisker does.
BEYOND = 1.25
PANEL = NAMES + BAR + VALUES


def drawn(result, figures):
    """Those plots for which there are figures; name, title and SVG of each."""
    rows = {row["key"]: row for row in result["rows"]}
    found = []
    for name, title, panels in PLOTS:
        parts, height = [], 0
        for nth, (row, key) in enumerate(panel for panel in panels if panel[0] in rows):
            figure = next(figure for figure in rows[row]["figures"] if figure["key"] == key)
            bars = ordered(figures, row, figure)
            parts += panel(bars, f"{rows[row]['title']}: {figure['title']}", figure, nth * PANEL)
            height = max(height, TOP + LINE * len(bars) + 10)
        if parts:
            width = PANEL * len({part for part in panels if part[0] in rows})
            head = f'<text class="title" x="8" y="20">{escape(title)}</text>'
            svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            found.append((name, title, "\n".join([svg, f"<style>{STYLE}</style>", head, *parts, "</svg>", ""])))
    return found


def ordered(figures, row, figure):
    """Best first."""
    found = [(figures.of(row, figure["key"], key), proxy) for key, proxy in figures.proxies.items()]
    found = [(spread, proxy) for spread, proxy in found if spread]
    return sorted(found, key=lambda each: each[0].median, reverse=figure["better"] == "higher")


def panel(bars, head, figure, left):
    """Bars on one scale."""
    most = scale_of(bars)
    yield f'<text class="head" x="{left + 8}" y="42">{escape(head)}, {figure["better"]} is better</text>'
    for nth, (spread, proxy) in enumerate(bars):
        top, start = TOP + nth * LINE, left + NAMES
        middle = top + LINE / 2
        yield f'<text class="name" x="{start - 6}" y="{middle + 4}" text-anchor="end">{escape(proxy["title"])}</text>'
        width = max(BAR * spread.median / most, 1)
        yield f'<rect class="{proxy["kind"]}" x="{start}" y="{top + 3}" width="{width:.1f}" height="{LINE - 6}" rx="2"/>'
        if spread.count > 1:
            yield from whisker(spread, most, start, middle)
        value = f"{spread.median:,.{figure['digits']}f}"
        if spread.most > most:
            value += f" → {spread.most:,.{figure['digits']}f}"
        yield f'<text class="value" x="{start + BAR + 6}" y="{middle + 4}">{value}</text>'


def scale_of(bars):
    """Where it ends."""
    median = max((spread.median for spread, _ in bars), default=0)
    return min(max((spread.most for spread, _ in bars), default=0), BEYOND * median) or 1


def whisker(spread, most, start, middle):
    """From least to greatest; with an arrow where the scale ends before."""
    least, end = (start + BAR * min(value / most, 1) for value in (spread.least, spread.most))
    yield f'<line class="whisker" x1="{least:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>'
    if spread.most > most:
        back = f"{end - 5:.1f}"
        yield f'<path class="whisker" fill="none" d="M{back} {middle - 4}L{end:.1f} {middle}L{back} {middle + 4}"/>'
