"""The cases, run as root in a container that systemd has booted. See tests/systemd/run."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

SHARED = Path("/shared")
SOURCE = Path("/source")
ROUTES = Path("/etc/snihub/sni.yaml")
HUB = Path("/etc/snihub/hub.yaml")
UNITS = Path("/etc/systemd/system")
ADDRESS = ("127.0.0.1", 443)
NAME = "a.example"
# As much as no pipe and no socket buffer holds.
BULK = os.urandom(1 << 20) * 16


class Failure(Exception):
    """What was seen."""


def check(holds, message):
    if not holds:
        raise Failure(message)


def shell(script, **options):
    return subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120, cwd=SOURCE, **options)


def root(script):
    """Runs it; fails if it does."""
    done = shell(script)
    check(done.returncode == 0, f"`{script}` ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def refused(script):
    """Runs what has to fail; what it said."""
    done = shell(script)
    check(done.returncode != 0, f"`{script}` passed: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def show(property, unit="snihub.service"):
    return root(f"systemctl show --value --property={property} {unit}").strip()


def journal(*options):
    return root("journalctl --sync; journalctl --boot --output=cat --unit=snihub " + " ".join(options))


def cursor():
    """The journal's end: what comes later is what a case did."""
    said = root("journalctl --sync; journalctl --boot --lines=1 --show-cursor --quiet")
    return "--after-cursor='" + said.split("-- cursor: ")[1].strip() + "'"


def until(what, probe, seconds=20):
    deadline = time.monotonic() + seconds
    while not probe():
        check(time.monotonic() < deadline, f"{what}: not seen in {seconds} s; {journal('--lines=20')}")
        time.sleep(0.05)


def score():
    """systemd-analyze's: 0 is the least exposed."""
    said = root("systemd-analyze security --no-pager snihub.service")
    return float(re.search(r"Overall exposure level for snihub.service: ([0-9.]+)", said)[1])


def readme():
    """The blocks of commands of README.md's section, as they stand."""
    section = (SOURCE / "README.md").read_text().split("\n## Run it as a service\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    check(len(blocks) == 3, f"{len(blocks)} blocks of commands in README.md")
    return blocks


class Echo:
    """An upstream that gives back what it gets, from a thread of its own for each connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.echo, args=(connection,), daemon=True).start()

    def echo(self, connection):
        with connection, contextlib.suppress(OSError):
            while some := connection.recv(1 << 16):
                connection.sendall(some)

    def port(self):
        return self.listener.getsockname()[1]


def hello(name):
    """A ClientHello of OpenSSL's."""
    context = ssl.create_default_context()
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(into, out, server_hostname=name).do_handshake()
    return out.read()


def call(name=NAME, address=ADDRESS):
    """Connects and asks for a party; what was asked has to come back."""
    client = socket.create_connection(address, timeout=30)
    asked = hello(name)
    client.sendall(asked)
    return client, asked


def read(client, count):
    got = bytearray()
    while len(got) < count and (some := client.recv(min(1 << 16, count - len(got)))):
        got += some
    return bytes(got)


def served(name=NAME, address=ADDRESS):
    client, asked = call(name, address)
    got = read(client, len(asked))
    check(got == asked, f"{name} at {address}: {len(got)} of {len(asked)} bytes came back")
    return client


def bulk(client):
    """Through the tunnel and back, whole."""
    sending = threading.Thread(target=client.sendall, args=(BULK,))
    sending.start()
    check(read(client, len(BULK)) == BULK, "not the bytes that were sent")
    sending.join()


def records():
    return [line for line in map(loaded, journal().splitlines()) if line.get("message") == "closed"]


def loaded(line):
    return json.loads(line) if line.startswith("{") else {}


def write_routes(*names):
    """As an editor does: a new file in the place of the old one."""
    text = "sni:\n" + "".join(f"- fqdn: {name}\n  tunnel_route: 127.0.0.1:{ECHO.port()}\n" for name in names)
    new = ROUTES.with_suffix(".new")
    new.write_text(text)
    new.replace(ROUTES)


@contextlib.contextmanager
def drop_in(unit, text):
    """With these settings more; the hub is not restarted."""
    folder = UNITS / f"{unit}.d"
    folder.mkdir(exist_ok=True)
    file = folder / "case.conf"
    file.write_text(text)
    root("systemctl daemon-reload")
    try:
        yield
    finally:
        file.unlink()
        root("systemctl daemon-reload")


@contextlib.contextmanager
def settings(*lines):
    """With these lines of hub.yaml, at the next start; after it the hub runs without them."""
    before = HUB.read_text()
    HUB.write_text(before + "\n".join(lines) + "\n")
    try:
        yield
    finally:
        HUB.write_text(before)
        root("systemctl stop snihub.service")
        sockets = "snihub.socket" if show("UnitFileState", "snihub.socket") == "enabled" else ""
        root(f"systemctl start {sockets} snihub.service")


def pid():
    return int(show("MainPID"))


def open_files(process):
    """Its limit of open files, soft and hard."""
    limits = Path(f"/proc/{process}/limits").read_text()
    return [int(limit) for limit in re.search(r"Max open files +(\d+) +(\d+)", limits).groups()]


def hang(process):
    """SIGSTOP; no thread of it runs any more: one takes the signal, and tells the others."""
    os.kill(process, signal.SIGSTOP)
    states = lambda: {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{process}/task").glob("*/stat")}
    until("all threads stopped", lambda: states() == {"T"})


def nobody_refused(end_the_hub):
    """Clients in the queue of a hub that hangs, then more while it is gone: all are served."""
    old = pid()
    hang(old)
    waiting = [call() for _ in range(40)]
    end_the_hub(old)
    began = time.monotonic()
    while pid() in (0, old) or show("ActiveState") != "active":
        waiting.append(call())
        check(time.monotonic() - began < 30, f"no next hub: {journal('--lines=20')}")
    for client, asked in waiting:
        check(read(client, len(asked)) == asked, "a client that waited was not served")
        client.close()
    return len(waiting)


# The cases. Each finds the hub running by snihub.socket, and leaves it so.


def install():
    """README's commands install it; it is ready when they are done, and a user of its own"""
    root("mkdir -p /etc/snihub")
    ROUTES.write_text(f"sni:\n- fqdn: {NAME}\n  tunnel_route: 127.0.0.1:{ECHO.port()}\n")
    (SOURCE / "sni.yaml").write_text(ROUTES.read_text())
    # By default each tunnel before an upgrade is closed at any time within ten minutes: one in fifty within
    # such a case.
    HUB.write_text("access_log: json\nupgrade_drain: 1d\n")
    root(readme()[0])
    served().close()
    check(show("User") == "snihub", "not the user snihub")
    owner = os.stat(f"/proc/{pid()}").st_uid
    check(owner == int(root("id -u snihub")), f"runs as user {owner}")
    status = root("systemctl status --no-pager snihub")
    check('Status: "0 tunnels, 1 route, generation 1"' in status, status)
    check("TriggeredBy: ● snihub.socket" in status, status)
    check("ready" in root("snihub status"), "snihub status")
    for unit in ("snihub.service", "snihub.socket"):
        check(root(f"systemctl is-enabled {unit}").strip() == "enabled", f"{unit} is not enabled")
    return f"systemd {root('systemctl --version').split()[1]}"


def sandbox():
    """the sandbox is tight, and has what the hub needs: splice(2), TCP, the admin door"""
    seen = score()
    check(seen <= 1.5, f"systemd-analyze security: {seen}")
    client = served()
    bulk(client)
    client.close()
    until("a record of the bulk", lambda: any(r["client_to_upstream"] > len(BULK) for r in records()))
    record = next(r for r in records() if r["client_to_upstream"] > len(BULK))
    check(record["relay"] == "splice" and record["spliced"] > len(BULK), record)
    check(record["ended"] == "both_closed", record)
    # Where not even systemd may raise its own limit (a container), that is all there is.
    wanted = min(524288, open_files(1)[1])
    check(open_files(pid()) == [wanted, wanted], open_files(pid()))
    bad = [line for line in map(loaded, journal().splitlines()) if line.get("level") in ("WARN", "ERROR")]
    check(not bad, bad)
    with drop_in("snihub.service", "[Service]\nNice=0\n"):
        root("systemctl restart snihub.service")
        # proc(5): nice is field 19, the 17th after the name in parentheses.
        threads = [stat.read_text().rpartition(")") for stat in Path(f"/proc/{pid()}/task").glob("*/stat")]
        niced = {before.partition("(")[2]: after.split()[16] for before, _, after in threads}
        check(niced["admin"] == "5" and niced["worker-0"] == "0", niced)
    return f"systemd-analyze security: {seen}"


def verify():
    """systemd finds nothing to say about the units"""
    done = shell("systemd-analyze verify --man=no snihub.service snihub.socket")
    check(done.returncode == 0 and not done.stderr, done.stderr)


def socket_starts_it():
    """the first client starts the hub, and is served"""
    root("systemctl stop snihub.socket snihub.service")
    with contextlib.closing(socket.socket()) as client:
        check(client.connect_ex(ADDRESS) != 0, "somebody listens")
    root("systemctl start snihub.socket")
    check(show("ActiveState") == "inactive", "it runs already")
    served().close()
    check(show("ActiveState") == "active", "it was not started")


def ready():
    """start and restart come back when clients are served, and fail when the files are wrong"""
    for _ in range(5):
        root("systemctl restart snihub.service")
        check(show("ActiveState") == "active", "not active")
        root("snihub status")
        served().close()
    ROUTES.write_text("sni:\n- fqdn: a.example\n  tunnel_route: h:70000\n")
    # Nobody connects now: a client would start it again.
    mark = cursor()
    refused("systemctl restart snihub.service")
    check(show("ExecMainStatus") == "78", show("ExecMainStatus"))
    check(show("NRestarts") == "0", "restarted, although the file is the same")
    check("sni.yaml:3:19: tunnel_route: " in journal(mark), journal(mark))
    write_routes(NAME)
    root("systemctl start snihub.service")
    served().close()


def reload():
    """reload waits for the verdict; a refused one fails, says why, and changes nothing"""
    client = served()
    write_routes(NAME, "b.example")
    root("systemctl reload snihub")
    served("b.example").close()
    ROUTES.write_text("sni:\n- fqdn: a.example\n  tunnel_route: h:70000\n")
    mark = cursor()
    refused("systemctl reload snihub")
    reason = 'sni.yaml:3:19: tunnel_route: port "70000"'
    check(reason in journal(mark), journal(mark))
    serious = journal("--priority=warning")
    check("refused: the old configuration stays" in serious and "listening on" not in serious, serious)
    check("refused: the old configuration stays in force; generation" in journal(mark), journal(mark))
    until("the status", lambda: "; last reload refused: " + str(ROUTES.parent) in show("StatusText"))
    check(show("ActiveState") == "active", "not active any more")
    served("b.example").close()
    write_routes(NAME)
    root("systemctl reload snihub")
    until("the status", lambda: show("StatusText").startswith("1 tunnel, 1 route, generation"))
    check("refused" not in show("StatusText"), show("StatusText"))
    client.sendall(b"still here")
    check(read(client, 10) == b"still here", "a tunnel was cut")
    client.close()


def killed():
    """kill -9: who waits in the queue of the socket unit is served by the next hub"""
    count = nobody_refused(lambda old: os.kill(old, signal.SIGKILL))
    check(show("NRestarts") != "0", "no restart")
    return f"{count} clients"


def watchdog():
    """a hub that hangs is ended and started again, one that is well is let be"""
    with drop_in("snihub.service", "[Service]\nWatchdogSec=2s\n"):
        root("systemctl restart snihub.service")
        old = pid()
        time.sleep(5)
        check(pid() == old, f"ended, although it is well: {journal('--lines=20')}")
        mark = cursor()
        hang(old)
        until("a next hub", lambda: pid() not in (0, old) and show("ActiveState") == "active")
        check("Watchdog timeout (limit 2s)!" in journal(mark), journal(mark))
        served().close()
    root("systemctl restart snihub.service")


def stop():
    """stop drains: it takes no client more, and closes what stands within `drain`"""
    with settings("drain: 3s"):
        root("systemctl restart snihub.service")
        client = served()
        began = time.monotonic()
        # The socket first: else a client that comes now starts the hub again.
        root("systemctl stop snihub.socket snihub.service")
        took = time.monotonic() - began
        check(took < 8, f"{took:.1f} s")
        with contextlib.suppress(ConnectionResetError):
            check(client.recv(1) == b"", "bytes from nowhere")
        check(records()[-1]["ended"] == "drained", records()[-1])
        check((show("ActiveState"), show("Result")) == ("inactive", "success"), show("Result"))
        check("Killing process" not in journal("--lines=20"), journal("--lines=20"))
        return f"{took:.1f} s"


def long_drain():
    """a `drain` longer than TimeoutStopSec is not cut: the hub asks for more time"""
    with settings("drain: 12s"), drop_in("snihub.service", "[Service]\nTimeoutStopSec=2s\n"):
        root("systemctl restart snihub.service")
        # The last of them is closed near the end of the 12 s.
        clients = [served() for _ in range(12)]
        mark = cursor()
        began = time.monotonic()
        stopping = subprocess.Popen(["systemctl", "stop", "snihub.socket", "snihub.service"])
        time.sleep(8)
        check(show("SubState") == "stop-sigterm", f"{show('SubState')}: {journal(mark)}")
        stopping.wait(30)
        took = time.monotonic() - began
        check(show("Result") == "success", f"{show('Result')} after {took:.1f} s: {journal(mark)}")
        ended = [record["ended"] for record in records()[-len(clients) :]]
        check(ended == ["drained"] * len(clients), ended)
        return f"{took:.1f} s"


def mistakes():
    """a socket unit and a `listen` that do not agree are told, and so is a UDP socket"""
    with settings("listen: ':8443'"):
        root("systemctl stop snihub.service")
        mark = cursor()
        refused("systemctl start snihub.service")
        wanted = '(\"snihub.socket\") listens on [::]:443, and `listen` has no item with that address'
        check(wanted in journal(mark), journal(mark))
    (UNITS / "other.socket").write_text("[Socket]\nListenDatagram=127.0.0.1:9\nService=snihub.service\n")
    root("systemctl daemon-reload; systemctl stop snihub.service; systemctl start other.socket")
    mark = cursor()
    refused("systemctl start snihub.service")
    check('("other.socket"): it is a UDP socket' in journal(mark), journal(mark))
    root("systemctl stop other.socket; rm /etc/systemd/system/other.socket; systemctl daemon-reload")
    root("systemctl start snihub.socket snihub.service")
    served().close()


def stat_of(process):
    """proc(5), /proc/PID/stat from the third field on: the first two are number and name."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def sandbox_of(process):
    """What a process may, and where it belongs."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kept = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:")
    seen = [line for line in lines if line.startswith(kept)]
    namespaces = [os.readlink(f"/proc/{process}/ns/{name}") for name in ("mnt", "user", "net", "pid")]
    return seen, namespaces, Path(f"/proc/{process}/cgroup").read_text(), open_files(process)


def still_there(client):
    client.sendall(b"still here")
    check(read(client, 10) == b"still here", "a tunnel was cut")


def upgraded():
    """Another process is the hub, in the sandbox of the one before, and systemd says so; both."""
    old = pid()
    wanted, nice = sandbox_of(old), stat_of(old)[16]
    said = root("snihub upgrade")
    new = pid()
    check(new != old and said.startswith(f"upgraded: process {new} ("), said)
    check(sandbox_of(new) == wanted, f"{sandbox_of(new)}, not {wanted}")
    stat = stat_of(new)
    check(stat[1] == "1" and stat[16] == nice, f"parent and nice are {stat[1]}, {stat[16]}; nice was {nice}")
    status = root("systemctl status --no-pager snihub")
    check(f"Main PID: {new} (snihub)" in status and "Active: active (running)" in status, status)
    check(show("NRestarts") == "0", "it was restarted")
    return old, new


def gone(process):
    until(f"the end of {process}", lambda: not Path(f"/proc/{process}").exists())


def upgrade():
    """upgrade: the new process is the main one, in the same sandbox, and feeds the watchdog; nobody is cut"""
    with drop_in("snihub.service", "[Service]\nWatchdogSec=2s\n"):
        root("systemctl restart snihub.service")
        mark = cursor()
        clients = [served()]
        # A file that was replaced, as a package does.
        root("install -m 755 /source/target/release/snihub /usr/local/bin/")
        first, second = upgraded()
        clients.append(served())
        second, third = upgraded()
        clients.append(served())
        for client in clients:
            bulk(client)
        until("the status", lambda: show("StatusText").startswith("3 tunnels, 1 route, generation 1"))
        said = root("snihub tunnels")
        check(said.count(" draining") == 2, said)
        time.sleep(5)
        check(pid() == third, f"ended, although it is well: {journal('--lines=20')}")
        seen = journal(mark)
        for bad in ("reception only permitted", "not our child", "Watchdog timeout"):
            check(bad not in seen, seen)
        # Reload, good and bad.
        write_routes(NAME, "b.example")
        root("systemctl reload snihub")
        served("b.example").close()
        write_routes(NAME)
        root("systemctl reload snihub")
        for client in clients:
            still_there(client)
        clients[0].close()
        gone(first)
        mark = cursor()
        hang(third)
        until("a next hub", lambda: pid() not in (0, third) and show("ActiveState") == "active")
        check("Watchdog timeout (limit 2s)!" in journal(mark), journal(mark))
        gone(second)
        served().close()
    root("systemctl restart snihub.service")


def upgrade_in_vain():
    """a successor that does not come up changes nothing, and says why"""
    client, old = served(), pid()
    ROUTES.write_text("sni:\n- fqdn: a.example\n  tunnel_route: h:70000\n")
    said = refused("snihub upgrade")
    check("sni.yaml:3:19: tunnel_route: " in said and "nothing has changed" in said, said)
    write_routes(NAME)
    said = refused("snihub upgrade --binary /bin/sleep --within 1")
    check("nothing has changed" in said, said)
    said = refused("setpriv --reuid=65534 --regid=65534 --clear-groups snihub upgrade")
    check("try sudo" in said, said)
    check(pid() == old and show("ActiveState") == "active", "it is another process")
    still_there(client)
    served().close()
    client.close()


@contextlib.contextmanager
def systemd_stopped():
    """In it systemd does nothing, and reads nothing."""
    hold, held = SHARED / "hold", SHARED / "held"
    hold.touch()
    while not held.exists():
        time.sleep(0.02)
    try:
        yield
    finally:
        hold.unlink()
        while held.exists():
            time.sleep(0.02)


@contextlib.contextmanager
def notify_queue_full():
    """From now on systemd can be told nothing, until it reads."""
    with contextlib.ExitStack() as fillers:
        for _ in range(20):
            # Each fills its own buffer, all of them the queue.
            filler = fillers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            filler.connect("/run/systemd/notify")
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    filler.send(b"X=1")
        yield


def upgrade_unnoticed():
    """upgrade while systemd reads nothing: it hears later which process is the hub, and nobody is cut"""
    unnoticed(1)


def upgrades_unnoticed():
    """the same with three upgrades: it is the last process that systemd knows in the end"""
    unnoticed(3)


def unnoticed(upgrades):
    root("systemctl restart snihub.service")
    standing, processes = served(), [pid()]
    with systemd_stopped(), notify_queue_full():
        for _ in range(upgrades):
            said = root("snihub upgrade")
            processes.append(int(re.search(r"process (\d+) ", said)[1]))
        later = served()
        standing.close()
        time.sleep(2)
        ended = [process for process in processes if not Path(f"/proc/{process}").exists()]
        check(not ended, f"{ended} of {processes} have ended, which systemd takes for the hub")
    *before, new = processes
    until("the new main process", lambda: pid() == new)
    for process in before:
        gone(process)
    # Had one ended as the main process, systemd would end the others by now.
    root("systemctl status snihub.service")
    check((show("ActiveState"), show("NRestarts")) == ("active", "0"), journal("--lines=20"))
    check(pid() == new, f"{pid()} of {processes}")
    still_there(later)
    served().close()
    later.close()


def crash_unnoticed():
    """a successor that crashes before systemd knows of it: the old process fails, and another hub is started"""
    root("systemctl restart snihub.service")
    # No tunnel keeps the old process.
    old = pid()
    with systemd_stopped():
        new = int(re.search(r"process (\d+) ", root("snihub upgrade"))[1])
        time.sleep(1)
        os.kill(new, signal.SIGKILL)
        time.sleep(1)
    until("a next hub", lambda: pid() not in (0, old, new) and show("ActiveState") == "active")
    served().close()
    check(show("NRestarts") == "1", show("NRestarts"))


def killed_after_upgrade():
    """kill -9 after an upgrade: who waits is served by the next hub, at once"""
    root("systemctl restart snihub.service")
    standing = served()
    old, _ = upgraded()
    began = time.monotonic()
    count = nobody_refused(lambda new: os.kill(new, signal.SIGKILL))
    took = time.monotonic() - began
    check(show("NRestarts") == "1", show("NRestarts"))
    gone(old)
    standing.close()
    return f"{count} clients, {took:.1f} s"


def stop_after_upgrade():
    """stop after an upgrade drains both processes within `drain`"""
    with settings("drain: 3s"):
        root("systemctl restart snihub.service")
        standing = served()
        old, new = upgraded()
        later = served()
        began = time.monotonic()
        root("systemctl stop snihub.socket snihub.service")
        took = time.monotonic() - began
        check(took < 8, f"{took:.1f} s")
        for client in (standing, later):
            with contextlib.suppress(ConnectionResetError):
                check(client.recv(1) == b"", "bytes from nowhere")
        check([record["ended"] for record in records()[-2:]] == ["drained"] * 2, records()[-2:])
        check((show("ActiveState"), show("Result")) == ("inactive", "success"), show("Result"))
        check("Killing process" not in journal("--lines=30"), journal("--lines=30"))
        gone(old)
        gone(new)
        return f"{took:.1f} s"


def another_port():
    """README's way to another port: the socket unit alone is changed"""
    folder = UNITS / "snihub.socket.d"
    folder.mkdir(exist_ok=True)
    edited = re.search(r"\[Socket\]\nListenStream=\nListenStream=8443\n", readme_section())
    check(edited, "README.md does not say what to write")
    (folder / "override.conf").write_text(edited[0])
    root("systemctl daemon-reload")
    root(readme()[1].replace("systemctl edit snihub.socket", ":"))
    for address in (("127.0.0.1", 8443), ("::1", 8443)):
        served(address=address).close()
    with contextlib.closing(socket.socket()) as client:
        check(client.connect_ex(ADDRESS) != 0, "somebody listens on 443")
    (folder / "override.conf").unlink()
    root("systemctl daemon-reload")
    root(readme()[1].replace("systemctl edit snihub.socket", ":"))
    served().close()


def in_vain():
    """wrong files and clients that come: the socket unit gives up, and README's way mends it"""
    root("systemctl stop snihub.service")
    ROUTES.write_text("sni:\n- fqdn: a.example\n  tunnel_route: h:70000\n")
    client, _ = call()
    until("the end of the socket unit", lambda: show("Result", "snihub.socket") == "trigger-limit-hit", 40)
    client.close()
    check(not listens(), "somebody listens")
    write_routes(NAME)
    root("systemctl start snihub.socket snihub.service")
    served().close()


def readme_section():
    return (SOURCE / "README.md").read_text().split("\n## Run it as a service\n")[1].split("\n## ")[0]


def alone():
    """README's way without a socket unit: one capability, and a kill -9 loses nobody either"""
    root(readme()[2])
    check(show("ActiveState", "snihub.socket") == "inactive", "the socket unit is active")
    served().close()
    seen = score()
    check(seen <= 1.7, f"systemd-analyze security: {seen}")
    until("stored sockets", lambda: show("NFileDescriptorStore") != "0")
    stored = show("NFileDescriptorStore")
    count = nobody_refused(lambda old: os.kill(old, signal.SIGKILL))
    until("stored sockets", lambda: show("NFileDescriptorStore") == stored)
    # A start of its own: no restart is counted.
    root("systemctl restart snihub.service")
    standing = served()
    upgraded()
    served().close()
    still_there(standing)
    standing.close()
    until("stored sockets", lambda: show("NFileDescriptorStore") == stored)
    nobody_refused(lambda old: os.kill(old, signal.SIGKILL))
    until("stored sockets", lambda: show("NFileDescriptorStore") == stored)
    # A stop refuses at once, although a tunnel stands: nothing is stored any more.
    with settings("drain: 10s"):
        root("systemctl restart snihub.service")
        clients = [served() for _ in range(12)]
        stopping = subprocess.Popen(["systemctl", "stop", "snihub.service"])
        until("nobody listens", lambda: not listens())
        check(show("SubState") == "stop-sigterm", show("SubState"))
        check(show("NFileDescriptorStore") == "0", "sockets are stored")
        stopping.wait(30)
        for client in clients:
            client.close()
    root("systemctl stop snihub.service; rm -r /etc/systemd/system/snihub.service.d; systemctl daemon-reload")
    root("systemctl enable --now snihub.socket snihub.service")
    served().close()
    return f"systemd-analyze security: {seen}; {count} clients"


def package():
    """the Debian package: it serves when it is installed, cuts nobody when it is upgraded, or cannot be, and leaves nothing"""
    root("systemctl disable --now snihub.socket snihub.service")
    root("rm -rf /etc/systemd/system/snihub.* /etc/snihub /usr/local/bin/snihub; userdel snihub; systemctl daemon-reload")
    install_it = "DEBIAN_FRONTEND=noninteractive dpkg --install /source/snihub.deb"
    root(install_it)
    for unit in ("snihub.socket", "snihub.service"):
        check(show("ActiveState", unit) == "active", f"{unit} is {show('ActiveState', unit)}")
        check(show("UnitFileState", unit) == "enabled", f"{unit} is {show('UnitFileState', unit)}")
    check(show("MainPID") != "0" and "/usr/bin/snihub" in root(f"readlink /proc/{show('MainPID')}/exe"), "another binary")
    check("NOT READY: no routes" in refused("snihub status"), "a table without routes is ready")
    write_routes(NAME)
    root("systemctl reload snihub")
    standing = served()
    pages = root("dpkg --listfiles snihub").splitlines()
    for file in ("man1/snihub-run.1.gz", "completions/snihub", "_snihub", "snihub.fish", "snihub-alone.conf", "copyright"):
        check(any(page.endswith(file) for page in pages), f"{file} is not in the package")
    # A new version takes over, cuts nobody, and leaves what was edited.
    before = show("MainPID")
    root(install_it)
    until("the new version", lambda: show("MainPID") not in ("0", before))
    served().close()
    bulk(standing)
    # Files that a new hub refuses: the one that serves goes on.
    before, good = pid(), HUB.read_text()
    for break_it, mend_it, seen in (
        (lambda: HUB.write_text(good + "workerz: 3\n"), lambda: HUB.write_text(good), "workerz"),
        (lambda: ROUTES.write_text("sni:\n"), lambda: write_routes(NAME), "the only route would be gone"),
    ):
        break_it()
        said = shell(install_it)
        said = said.stdout + said.stderr
        check("the version before goes on serving" in said and seen in said, said)
        check(pid() == before and show("ActiveState") == "active", "it is another process")
        still_there(standing)
        mend_it()
    # A hub whose door is gone cannot be upgraded; it is not restarted into wrong files either.
    door = Path("/run/snihub/admin.sock")
    door.rename(door.with_suffix(".away"))
    HUB.write_text(good + "workerz: 3\n")
    said = shell(install_it)
    said = said.stdout + said.stderr
    check("the version before goes on serving" in said and "workerz" in said, said)
    check(pid() == before, "restarted into files that it refuses")
    still_there(standing)
    HUB.write_text(good)
    root(install_it)
    check(pid() not in (0, before) and show("ActiveState") == "active", "not restarted")
    served().close()
    standing.close()
    # One that was stopped on purpose stays so.
    root("systemctl stop snihub.socket snihub.service")
    root(install_it)
    check(show("ActiveState") == "inactive" and not listens(), "started, although it was stopped")
    root("systemctl start snihub.socket snihub.service")
    served().close()
    root("dpkg --purge snihub")
    left = shell("ls -d /etc/snihub /usr/bin/snihub /lib/systemd/system/snihub.* /usr/lib/systemd/system/snihub.*").stdout
    check(not left and not listens(), f"left behind: {left}")


def listens():
    with contextlib.closing(socket.socket()) as client:
        return client.connect_ex(ADDRESS) == 0


CASES = [
    install, verify, sandbox, socket_starts_it, ready, reload, killed, watchdog, stop, long_drain, mistakes,
    upgrade, upgrade_in_vain, upgrade_unnoticed, upgrades_unnoticed, crash_unnoticed, killed_after_upgrade, stop_after_upgrade, in_vain, another_port, alone,
]  # fmt: skip
# The last: it takes away what the others have installed.
if (SOURCE / "snihub.deb").exists():
    CASES.append(package)


def main():
    names = (SHARED / "names").read_text().split()
    if names == ["list"]:
        for case in CASES:
            print(f"{case.__name__:18} {case.__doc__}", flush=True)
        return 0
    unknown = set(names) - {case.__name__ for case in CASES}
    if unknown:
        print(f"no case {' '.join(unknown)}; there are {' '.join(case.__name__ for case in CASES)}", flush=True)
        return 1
    failed = []
    for case in CASES:
        if names and case is not install and case.__name__ not in names:
            continue
        began = time.monotonic()
        try:
            seen = case()
            print(f"ok      {case.__name__}: {case.__doc__} ({time.monotonic() - began:.1f} s{seen and '; ' + seen or ''})", flush=True)
        except Exception as failure:
            failed.append(case.__name__)
            print(f"FAILED  {case.__name__}: {case.__doc__}: {failure}", flush=True)
            if not isinstance(failure, Failure):
                traceback.print_exc(file=sys.stdout)
            print(shell("systemctl status --no-pager snihub.service snihub.socket").stdout[-4000:], flush=True)
    print(f"failed: {' '.join(failed)}" if failed else "all passed", flush=True)
    return 1 if failed else 0


ECHO = Echo()
code = main()
(SHARED / "verdict").write_text(str(code))
