"""The hub in the place of Traffic Server: on its folder as it is, and both asked for the same names."""

import json
import subprocess

from suite import peers
from suite.case import Case
from suite.certs import Authority
from suite.check import check, say, wait_for
from suite.process import Process
from suite.sandbox import ADDRESS
from suite.tls import Echo

ATS_PORT, HUB_PORT = 4434, 443
FIRST, SECOND = ADDRESS["9999"], ADDRESS["10000"]
# Nobody listens there.
ABSENT = "127.0.0.7"
# By a wildcard that Traffic Server does not anchor at its end, before 9.2.15.
STRANGER = "x.wild.org.evil.net"
# For others than who asks here.
DENIED = "denied.fate.org"


def replace(place):
    authority = Authority(place.hub, place.state / "certs")
    Echo("first.fate.org", FIRST, authority)
    Echo("second.fate.org", SECOND, authority)
    routes = {
        "a.fate.org": f"{FIRST}:6651", "b.fate.org": f"{SECOND}:6651", "moved.fate.org": f"{FIRST}:6651",
        "gone.fate.org": f"{FIRST}:6651", "absent.fate.org": f"{ABSENT}:6651", "low.fate.org": f"{FIRST}:80",
        "*.wild.org": f"{SECOND}:6651",
    }  # fmt: skip
    folder = place.logs / "trafficserver"
    argv = peers.traffic_server_files(place.cache.debian, folder, ATS_PORT, routes, authority)
    with open(folder / "etc/sni.yaml", "a") as table:
        table.write(f"  - fqdn: {DENIED}\n    tunnel_route: {FIRST}:6651\n    ip_allow: 10.0.0.0/8\n")
    ats = Process("Traffic Server", argv, folder / "out.log", peers.libraries(place.cache.debian))
    peers.listening(ats, ATS_PORT)
    hub = Process(
        "hub", [place.hub, "run", "--ats", folder / "etc", "--listen", f"127.0.0.1:{HUB_PORT}", "--admin", "off"],
        place.logs / "hub.log",
    )  # fmt: skip
    wait_for("the hub", 20, lambda: "listening on" in hub.log.read_text())
    asked = [*(name.replace("*", "x") for name in routes), "new.fate.org", "nobody.fate.org", DENIED, STRANGER]
    (place.state / "names").write_text("# asked of both\n" + "\n".join(asked) + "\n")

    rows, exit_code, text = compare(place, folder)
    check(len(rows) == len(asked), f"{len(asked)} names were asked for, {len(rows)} answered")
    # On one folder both route alike, but for what is different on purpose.
    check(differing(rows) == {STRANGER} and exit_code == 1, f"other names differ: {text}")
    for name, of_ats, of_hub in (
        ("a.fate.org", "first.fate.org", "first.fate.org"),
        ("nobody.fate.org", "no route (its own certificate)", "no route"),
        ("absent.fate.org", "closed the connection", "not reached"),
        ("low.fate.org", "not reached (an HTML page)", "not reached"),
        (DENIED, "TLS alert 80", "not allowed"),
    ):
        check(of_ats in rows[name]["ats"] and of_hub in rows[name]["hub"], f"{name}: {rows[name]}")

    # The hub takes an edit by itself, Traffic Server waits for its command.
    del routes["gone.fate.org"]
    routes |= {"moved.fate.org": f"{SECOND}:6651", "new.fate.org": f"{FIRST}:6651"}
    entries = "".join(f"  - fqdn: '{name}'\n    tunnel_route: {target}\n" for name, target in routes.items())
    denied = (folder / "etc/sni.yaml").read_text().split(f"  - fqdn: {DENIED}")[1]
    (folder / "etc/sni.yaml").write_text(f"sni:\n{entries}  - fqdn: {DENIED}{denied}")
    wait_for("the edit", 20, lambda: "reloaded" in hub.log.read_text())
    rows, exit_code, text = compare(place, folder)
    edited = {"moved.fate.org", "gone.fate.org", "new.fate.org"}
    check(differing(rows) == edited | {STRANGER} and exit_code == 1, f"other names differ: {text}")
    listed = {line.split()[0] for line in text.splitlines() if " DIFFERS " in line}
    check(listed == differing(rows), f"the table lists others: {text}")
    for line in text.splitlines():
        say(line)
    ats.check_alive()
    return [{"seen": f"{len(asked)} names: {STRANGER} alone differs; after an edit {len(edited)} more"}]


def compare(place, folder):
    """The answer by name, the exit code, and the same for people."""
    argv = [
        place.hub, "compare", "--ats", f"127.0.0.1:{ATS_PORT}", "--hub", f"127.0.0.1:{HUB_PORT}",
        "--names", place.state / "names",
    ]  # fmt: skip

    def ask(*more):
        words = [str(word) for word in (*argv, *more)]
        return subprocess.run(words, capture_output=True, text=True, timeout=200)

    done, text = ask("--format", "json"), ask()
    check(done.returncode == text.returncode, f"{done.returncode} and {text.returncode}: {done.stderr}{text.stderr}")
    check(done.returncode in (0, 1), done.stderr)
    return {row["name"]: row for row in json.loads(done.stdout)}, done.returncode, text.stdout


def differing(rows):
    return {name for name, row in rows.items() if not row["alike"]}


CASES = [
    Case("replace", "the hub on Traffic Server's own folder, and `snihub compare` between them", replace,
         needs=("peers",)),
]  # fmt: skip
