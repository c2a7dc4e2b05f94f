"""results.json: what a folder has from before, and rows that are measured again."""

import hashlib
import json
import time

from suite.check import Failure

from .rows import all_rows

KEYS = {
    "command", "machine", "versions", "rounds", "proxies", "rows", "cells", "failures", "system_calls", "measured",
}  # fmt: skip
# What has to be the same for figures to stand on one page.
SAME = ("machine", "versions")


def read(folder):
    """What is there; fails in words."""
    file = folder / "results.json"
    try:
        result = json.loads(file.read_text())
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise Failure(f"{file}: no JSON: {error}") from None
    if not isinstance(result, dict) or KEYS - result.keys():
        raise Failure(f"{file}: not the results of a run")
    return result


def identity(result):
    """What `differences` needs of results."""
    return {key: result[key] for key in SAME} | {"proxies": [proxy["key"] for proxy in result["proxies"]]}


def differences(before, now):
    """Why rows that are measured now cannot stand beside those from before, in words; `before` as `identity`
    says it. Proxies may have come since: the rows from before are without them."""
    found = []
    for part in SAME:
        for key in sorted(before[part].keys() | now[part].keys()):
            was, is_ = before[part].get(key), now[part].get(key)
            if was != is_:
                found.append(f"{key} was {was}, is {is_}")
    gone = sorted(set(before["proxies"]) - {proxy["key"] for proxy in now["proxies"]})
    return found + ([f"proxies that are not measured now: {', '.join(gone)}"] if gone else [])


def measured(began, command, hub, what):
    """When, how and with which build of the hub, for each of `what`: rows and parts."""
    build = hashlib.sha256(hub.read_bytes()).hexdigest()[:12]
    entry = {"at": time.strftime("%Y-%m-%dT%HZ", time.gmtime(began)), "command": command, "hub": build}
    return dict.fromkeys(what, entry)


def joined(old, new):
    """What was measured now in place of what there was of it, beside the rest."""
    again = {row["key"] for row in new["rows"]}

    def rest(key):
        # The row of a failure may be followed by what of it failed.
        return [each for each in old[key] if each["row"].partition(",")[0] not in again]

    rows = {row["key"]: row for row in old["rows"] + new["rows"]}
    order = [row.key for row in all_rows(0)]
    result = old | {key: rest(key) + new[key] for key in ("cells", "failures", "system_calls")}
    result |= {
        "proxies": new["proxies"],
        "rows": sorted(rows.values(), key=lambda row: order.index(row["key"]) if row["key"] in order else len(order)),
        "measured": {**old["measured"], **new["measured"]},
        "missing": {**old.get("missing", {}), **new.get("missing", {})},
    }
    if "scale" in new:
        result["scale"] = {**old.get("scale", {}), **new["scale"]}
    result |= {"two_fat": new["two_fat"]} if "two_fat" in new else {}
    return result | {"command": whole(old["command"], result)}


def whole(command, result):
    """What measures all that is there: a former command, if it named no rows."""
    if "--rows" not in command:
        return command
    parts = [key for key, part in (("two-fat", "two_fat"), ("scale", "scale")) if part in result]
    return "benches/peers/run --full --rows " + ",".join([row["key"] for row in result["rows"]] + parts)
