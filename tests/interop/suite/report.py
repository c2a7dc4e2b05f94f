"""The table at the end of a run."""

COLUMNS = [
    ("case", "case", "{}"),
    ("with", "with", "{}"),
    ("messages", "messages", "{}"),
    ("payload_mb", "payload MB", "{:.1f}"),
    ("hub_mb", "hub MB", "{:.1f}"),
    ("repeated", "repeated", "{}"),
    ("hashes", "hashes", "{}"),
    ("tunnels", "tunnels", "{}"),
    ("relay", "relay", "{}"),
    ("handshake_ms", "handshake ms", "{:.1f}"),
    ("seen", "seen", "{}"),
]
SIDE_BY_SIDE = [
    ("middle", "in the middle", "{}"),
    # Of the whole star, whose brokers and clients have the same cores.
    ("mb_s", "MB/s", "{:.0f}"),
    ("mb_s_spread", "(spread)", "{}"),
    ("cpu_gb", "CPU s/GB", "{:.2f}"),
    ("cpu_gb_spread", "(spread)", "{}"),
    ("handshake_ms", "handshake ms", "{:.1f}"),
    ("reconnect_s", "reconnect s", "{:.1f}"),
    ("two_segments", "hello in two segments", "{}"),
    ("idle", "idle for 35 s", "{}"),
    ("unknown", "unknown party", "{}"),
    ("absent", "party's port closed", "{}"),
]


def tables(rows):
    """All that the cases have to tell."""
    beside = [row for row in rows if row.get("table") == "side by side"]
    parts = [([row for row in rows if row not in beside], COLUMNS), (beside, SIDE_BY_SIDE)]
    return "\n\n".join(table(part, columns) for part, columns in parts if part)


def table(rows, columns):
    """Text, aligned; columns that no row has are left out."""
    columns = [column for column in columns if any(column[0] in row for row in rows)]
    cells = [[title for _, title, _ in columns]]
    for row in rows:
        cells.append([form.format(row[key]) if key in row else "" for key, _, form in columns])
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)
