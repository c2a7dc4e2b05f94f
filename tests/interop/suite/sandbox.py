"""A namespace for every case: its own network, mounts, hosts file and processes.

A case runs as process 1 of a PID namespace. When it ends, however it ends, the kernel kills
whatever it started and takes the network away: nothing is left to clean up but files.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

HUB_NAME = "proxy.fate.org"
HUB_ADDRESS = "127.0.0.1"
# Each party has a loopback address of its own, so that all can have the ports of a real broker.
ADDRESS = {"9999": "127.0.0.2", "10000": "127.0.0.3", "8888": "127.0.0.4"}
# Flower's SuperLink is found by a name that leads to the hub.
SUPERLINK = "superlink.fate.org"

# Ends with the suite (its death included), and takes everything inside along.
OUTSIDE = [
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
]  # fmt: skip


def start(argv, log):
    """Runs `argv` in a sandbox of its own; its output goes to `log`, or to ours."""
    return subprocess.Popen(
        OUTSIDE + [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # Ctrl-C is the suite's to hear; it ends the sandbox as a whole.
        start_new_session=True,
    )


def set_up(folder: Path):
    """Inside: loopback with the segments of a real network, and names."""
    # Process 1 ignores what it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    tool("ip", "link", "set", "lo", "mtu", "1500", "up")
    # Else a hello of 1.8 KB would arrive as one piece, which it does nowhere else.
    tool("ethtool", "-K", "lo", "tso", "off", "gso", "off", "gro", "off")
    hosts = folder / "hosts"
    lines = [f"{HUB_ADDRESS} localhost {HUB_NAME} {SUPERLINK} {os.uname().nodename}"]
    lines += [f"{address} {party}.fate.org" for party, address in ADDRESS.items()]
    hosts.write_text("\n".join(lines) + "\n")
    tool("mount", "--bind", hosts, "/etc/hosts")


def tcp_info(port, field):
    """A field of the kernel's TCP_INFO, by client, of each connection that stands at this port of ours."""
    listed = subprocess.run(["ss", "-tinOH", "sport", "=", f":{port}"], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in listed.splitlines()]
    return {words[4]: int(word.split(":")[1]) for words in lines for word in words if word.startswith(field + ":")}


@contextlib.contextmanager
def slow_link(rate):
    """Both segments of a large hello come apart here: after the first, a full frame, the bucket is
    empty, and the second waits for its tokens."""
    tool("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "1520", "latency", "400ms")
    yield
    tool("tc", "qdisc", "del", "dev", "lo", "root")


def small_buffers(most=128 << 10):
    """Sockets made from now on keep at most so many bytes each way. Else the kernel's buffers take
    all that a broker's replicator sends ahead of acknowledgements: 2 to 20 MB, as it chances."""
    for name in ("tcp_rmem", "tcp_wmem"):
        Path(f"/proc/sys/net/ipv4/{name}").write_text(f"4096 65536 {most}")


def tool(*argv):
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL)
