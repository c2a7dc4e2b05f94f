"""Plots: bars of medians with whiskers from least to greatest, as SVG that is readable on a dark
and on a light page."""

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
NAMES, BAR, VALUES, LINE, TOP = 280, 190, 60, 20, 56
PANEL = NAMES + BAR + VALUES


def write(result, figures, folder):
    """Those plots for which there are figures; name and title of each."""
    rows = {row["key"]: row for row in result["rows"]}
    written = []
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
            text = "\n".join([svg, f"<style>{STYLE}</style>", head, *parts, "</svg>", ""])
            (folder / name).write_text(text)
            written.append((name, title))
    return written


def ordered(figures, row, figure):
    """Best first."""
    found = [(figures.of(row, figure["key"], key), proxy) for key, proxy in figures.proxies.items()]
    found = [(spread, proxy) for spread, proxy in found if spread]
    return sorted(found, key=lambda each: each[0].median, reverse=figure["better"] == "higher")


def panel(bars, head, figure, left):
    """Bars on a scale that ends at the greatest median: a whisker beyond it is cut."""
    most = max((spread.median for spread, _ in bars), default=0) or 1
    yield f'<text class="head" x="{left + 8}" y="42">{escape(head)}, {figure["better"]} is better</text>'
    for nth, (spread, proxy) in enumerate(bars):
        top, start = TOP + nth * LINE, left + NAMES

        def at(value, start=start):
            return start + BAR * min(value / most, 1)

        middle = top + LINE / 2
        yield f'<text class="name" x="{start - 6}" y="{middle + 4}" text-anchor="end">{escape(proxy["title"])}</text>'
        width = max(at(spread.median) - start, 1)
        yield f'<rect class="{proxy["kind"]}" x="{start}" y="{top + 3}" width="{width:.1f}" height="{LINE - 6}" rx="2"/>'
        if spread.count > 1:
            ends = f'x1="{at(spread.least):.1f}" x2="{at(spread.most):.1f}"'
            yield f'<line class="whisker" {ends} y1="{middle}" y2="{middle}"/>'
        value = f"{spread.median:,.{figure['digits']}f}"
        yield f'<text class="value" x="{start + BAR + 6}" y="{middle + 4}">{value}</text>'
