"""The rows: what the load is told, and the figures that come of a run."""

from collections.abc import Callable
from dataclasses import dataclass

from suite.check import Failure

from . import account
from .load import Run, Watch

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Figure:
    key: str
    title: str
    better: str = LOWER
    digits: int = 1


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    family: str
    # The load's arguments, and about how many seconds it then takes.
    argv: tuple
    seconds: float
    figures: tuple
    # Figures of the load's report and the proxy's CPU seconds.
    read: Callable
    # How many units the report counts, and their name: for system calls.
    units: Callable | None = None
    unit: str = ""
    # Whether system calls are counted.
    calls: bool = False
    quick: bool = False
    # For the reader, where the title does not say all.
    about: str = ""
    # Rounds in which it is measured at most.
    most_rounds: int = 1000
    # Alone: measured before any other proxy runs, in a process that has done nothing else.
    alone: bool = False


MIXED = {"fat": 4, "chatty": 200, "idle": 5000}


def most_tunnels(files):
    """So many that everyone carries them: two descriptors each, pipes for those that splice, and some for the rest."""
    return min(41_050, (files - 700) // 2)


def idle_tunnels(files):
    """As many as everyone can have: Traffic Server stops accepting at nine tenths of its descriptors."""
    return min(9500, most_tunnels(files) - 150, files * 45 // 100 - 150)


def all_rows(tunnels):
    """`tunnels`: how many idle ones."""
    rows = []
    for direction in ("up", "down"):
        for count in (1, 8, 64):
            rows.append(bulk(direction, count))
    rows.append(opening("open", "new tunnels, 32 at a time", "usual"))
    rows.append(opening("open-split", "new tunnels, hello of 1.8 KB in two segments", "large-split"))
    for size, name in ((128, "128 B"), (16384, "16 KiB")):
        for count in (1, 64):
            rows.append(pingpong(size, name, count))
    rows.append(idle(tunnels))
    rows.append(mixed())
    return rows


def tunnels_of(count):
    return f"{count} tunnel{'s' if count > 1 else ''}"


def bulk(direction, count):
    return Row(
        f"bulk-{direction}-{count}", f"bulk {direction}, {tunnels_of(count)}", "bulk",
        ("bulk", "--direction", direction, "--tunnels", count, "--seconds", 1.2, "--warm-up", 0.3), 1.7,
        (Figure("gbit", "Gbit/s", HIGHER), Figure("cpu", "CPU-s per GB", digits=3)),
        lambda report, cpu: {"gbit": report["gbit_per_s"], "cpu": cpu / (report["bytes"] / 1e9)},
        lambda report: report["bytes"] / 1e9, "GB", quick=(direction, count) == ("up", 8), calls=direction == "up" and count == 8,
    )  # fmt: skip


def opening(key, title, hello):
    return Row(
        key, title, "open",
        ("open", "--hello", hello, "--seconds", 1, "--warm-up", 0.3), 1.6,
        (
            Figure("rate", "tunnels/s", HIGHER, 0),
            Figure("cpu", "CPU us per tunnel"),
            Figure("p99", "p99 to answer, us", digits=0),
        ),
        lambda report, cpu: {
            "rate": report["tunnels_per_s"],
            "cpu": cpu * 1e6 / report["tunnels"],
            "p99": report["open_us"]["p99"],
        },
        lambda report: report["tunnels"], "tunnel", quick=hello == "usual", calls=hello == "usual",
    )  # fmt: skip


def pingpong(size, name, count):
    return Row(
        f"pingpong-{size}-{count}", f"ping-pong of {name}, {tunnels_of(count)}", "pingpong",
        ("pingpong", "--size", size, "--tunnels", count, "--seconds", 1, "--warm-up", 0.3), 1.6,
        (Figure("cpu", "CPU us per round trip"), Figure("p50", "p50, us"), Figure("p99", "p99, us", digits=0)),
        lambda report, cpu: {
            "cpu": cpu * 1e6 / report["round_trips"],
            "p50": report["round_trip_us"]["p50"],
            "p99": report["round_trip_us"]["p99"],
        },
        lambda report: report["round_trips"], "round trip", quick=size == 128, calls=size == 128,
    )  # fmt: skip


def idle(tunnels):
    return Row(
        "idle", f"idle, {tunnels} tunnels", "idle", ("idle", "--tunnels", tunnels, "--hold", 15), 20,
        (
            Figure("kib", "KiB per tunnel"),
            Figure("resident", "MiB without a tunnel"),
            Figure("up", "s until all stand", digits=2),
        ),
        None, quick=True, alone=True, most_rounds=3,
        about="As many as everyone can have, and 9,500 at most: Traffic Server stops accepting at nine tenths of its limit of "
        "open files, and a tunnel takes two.",
    )  # fmt: skip


def mixed():
    words = [word for key, count in MIXED.items() for word in (f"--{key}", count)]
    return Row(
        "mixed", "mixed run", "mixed",
        ("mixed", *words, "--every", 0.05, "--max-gbit", 2, "--seconds", 2, "--warm-up", 0.5), 8,
        (
            Figure("p99", "chatty p99, us", digits=0),
            Figure("p50", "chatty p50, us", digits=0),
            Figure("new", "new tunnel p99, us", digits=0),
            Figure("cpu", "CPU-s per s", digits=3),
        ),
        lambda report, cpu: {
            "p99": report["chatty_us"]["p99"],
            "p50": report["chatty_us"]["p50"],
            "new": report["open_us"]["p99"],
            "cpu": cpu / report["wall_s"],
        },
        quick=True,
        about="4 fat tunnels that are held to 2 Gbit/s together, 200 chatty ones with a message of 128 B each 50 ms, 5,000 "
        "idle ones, and 500 new ones a second. How late an echo comes counts from when its message was due.",
    )  # fmt: skip


def measure(row, standing, load):
    """One cell: figures, and what says whether to believe them."""
    measured = measure_idle if row.family == "idle" else measure_timed
    report, figures = measured(row, standing, load)
    if standing.direct:
        figures.pop("cpu", None)
    return {
        "figures": figures,
        "client_busy": report["client"]["busy"],
        "origin_busy": report["origin"]["busy"],
        "errors": report["errors"],
    }


def measure_timed(row, standing, load):
    watch = Watch(standing.cpu)
    report = Run(load, standing.port, row.argv, row.seconds + 20, watch.on).finish()
    expect_result(row, report)
    return report, row.read(report, watch.seconds)


def measure_idle(row, standing, load):
    empty = account.pss_kib(standing.pids())
    seen = {}

    def standing_now():
        seen["kib"] = account.pss_kib(standing.pids())
        run.go_on()

    run = Run(load, standing.port, row.argv, row.seconds + 20, {"standing": standing_now})
    report = run.finish()
    if report["standing_at_end"] != report["tunnels"]:
        raise Failure(f"{report['standing_at_end']} of {report['tunnels']} tunnels stood: {report['errors']}")
    kib = (seen["kib"] - empty) / report["tunnels"]
    return report, {"kib": kib, "resident": empty / 1024, "up": report["open_all_s"]}


def expect_result(row, report):
    """Some errors are told beside the figures; a run that is mostly errors has none."""
    units = row.units(report) if row.units else report["chatty_us"]["count"]
    if not units:
        raise Failure(f"nothing went through: {report['errors']}")
    if row.family in ("open", "mixed") and report["error_count"] > 0.01 * report["origin"]["accepted"]:
        raise Failure(f"{report['error_count']} errors: {report['errors']}")


def system_calls(row, standing, load):
    """Per unit of a row, in a run of its own: counting has a price."""
    seen = {}

    def count():
        seen["rate"] = account.system_calls(standing.pids(), 0.6)

    report = Run(load, standing.port, row.argv, row.seconds + 20, {"measuring": count}).finish()
    return seen["rate"] / (row.units(report) / report["wall_s"])
