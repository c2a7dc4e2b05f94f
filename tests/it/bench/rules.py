"""Rules of the peer benchmark that are values in and values out."""

import sys
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benches/peers"))

from bench import budget, configurations, plot, stored, summary
from bench.figures import Figures, Spread, verdict

CPU = {"key": "cpu", "title": "CPU", "better": "lower", "digits": 1}


def results(row, hub, peer, **more):
    """A run of one row, by the hub's and a peer's figures in each round."""
    cells = [
        {"round": number, "row": row, "proxy": key, "figures": {"cpu": value}}
        for key, values in (("hub", hub), ("peer", peer))
        for number, value in enumerate(values)
    ]
    proxies = [
        {"key": key, "title": key, "kind": key, "unprivileged": False, "splices": False} for key in ("hub", "peer")
    ]
    return {
        "command": "benches/peers/run --full", "machine": {"cores": 2}, "versions": {"snihub": "1"}, "rounds": 7,
        "proxies": proxies, "rows": [{"key": row, "title": row, "figures": [CPU]}], "cells": cells, "failures": [],
        "system_calls": [], "measured": {row: {"at": "2026-11-28T17Z", "command": "C"}}, **more,
    }  # fmt: skip


class Words(unittest.TestCase):
    def test_spreads_that_overlap_are_equal_both_ways(self):
        low, high, apart = Spread(1, 1, 3, 7), Spread(2, 1, 3, 7), Spread(9, 8, 9, 7)
        for better in ("lower", "higher"):
            self.assertEqual(verdict(low, high, better)[1], "equal")
            self.assertEqual(verdict(high, low, better)[1], "equal")
        self.assertEqual(verdict(Spread(1, 1, 1, 1), Spread(2, 2, 2, 1), "lower")[1], "no spread")
        self.assertEqual(verdict(low, apart, "lower")[1], "ahead")
        self.assertEqual(verdict(apart, low, "lower")[1], "behind")
        self.assertEqual(verdict(apart, low, "higher")[1], "ahead")
        self.assertEqual(verdict(low, apart, "higher")[1], "behind")

    def test_often_worse_is_told_by_name(self):
        for worse, word in ((5, "in none"), (6, "in open: CPU (6 of 7)")):
            result = results("open", [2] * worse + [1] * (7 - worse), [1.5] * 7)
            text = summary.section(result, Figures(result))
            self.assertIn(f"| {worse} of 7 | equal |", text)
            self.assertIn("better than the best peer's in 0 of 1 figures", text)
            self.assertIn(word, text)


class Rows(unittest.TestCase):
    def test_rows_measured_again_replace_their_own(self):
        old = results("open", [1, 2], [3, 4], scale={"reload": 1, "huge": 2})
        old["failures"] = [{"row": "open, system calls"}, {"row": "mixed"}]
        new = results("open", [5], [6], scale={"huge": 3})
        new["proxies"] = new["proxies"] + [{"key": "came since"}]
        for row in ("mixed", "bulk-up-1"):
            other = results(row, [7], [8])
            for key in ("rows", "cells"):
                old[key] = old[key] + other[key]
            old["measured"] = old["measured"] | other["measured"]
        new["measured"] = {"open": {"at": "2026-11-29T01Z", "command": "D"}}
        both = stored.joined(old, new)
        self.assertEqual([row["key"] for row in both["rows"]], ["bulk-up-1", "open", "mixed"])
        self.assertEqual([cell["figures"]["cpu"] for cell in both["cells"] if cell["row"] == "open"], [5, 6])
        self.assertEqual(len(both["cells"]), 6)
        self.assertEqual(both["failures"], [{"row": "mixed"}])
        self.assertEqual(both["scale"], {"reload": 1, "huge": 3})
        self.assertEqual([both["measured"][key]["command"] for key in ("mixed", "open")], ["C", "D"])
        self.assertEqual(both["command"], "benches/peers/run --full")

    def test_another_machine_or_version_is_a_difference(self):
        now = results("open", [1], [2])
        before = stored.identity(now)
        self.assertEqual(stored.differences(before, now), [])
        newer = now | {"proxies": now["proxies"] + [{"key": "came since"}]}
        self.assertEqual(stored.differences(before, newer), [])
        self.assertEqual(stored.differences(before, now | {"machine": {"cores": 4}}), ["cores was 2, is 4"])
        self.assertEqual(len(stored.differences(before, now | {"versions": {"snihub": "2", "nginx": "1"}})), 2)
        self.assertIn("peer", stored.differences(before, now | {"proxies": now["proxies"][:1]})[0])


class Time(unittest.TestCase):
    def test_repeats_end_before_rounds_do(self):
        with mock.patch.object(budget.time, "monotonic", side_effect=lambda: self.now):
            self.now = 0
            time = budget.Budget(100, 10)
            self.now, time.done = 30, 5
            self.assertTrue(time.repeats() and time.fits(60))
            self.now = 60
            self.assertTrue(not time.repeats() and time.fits(30) and not time.fits(50))
            self.now = 100
            self.assertFalse(time.fits())
            self.assertTrue(budget.Budget(None, 10).repeats() and budget.Budget(None, 10).fits(1e9))


class Shown(unittest.TestCase):
    def test_a_whisker_beyond_the_scale_is_an_arrow_and_a_number(self):
        proxy = {"title": "A", "kind": "peer"}
        near, far = [(Spread(10, 9, 11, 7), proxy)], [(Spread(10, 9, 900, 7), proxy)]
        self.assertEqual(plot.scale_of(near), 11)
        self.assertNotIn("<path", "".join(plot.panel(near, "", CPU, 0)))
        drawn = "".join(plot.panel(far, "", CPU, 0))
        self.assertIn("<path", drawn)
        self.assertIn("10.0 → 900.0", drawn)

    def test_nginx_buffer(self):
        plain, large = (configurations.nginx(1, {"a": "b"}, "m", "/f", 1, size) for size in (None, "64k"))
        self.assertNotIn("proxy_buffer_size", plain)
        self.assertEqual(large.replace("    proxy_buffer_size 64k;\n", ""), plain)


unittest.main()
