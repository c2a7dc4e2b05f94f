"""Fetches what the cases need, by the ordinary package clients, into a cache folder.

What is there already, whole and in the pinned version, is left alone: a second run fetches nothing.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys

from .check import Failure, note
from .paths import ROOT, SETTINGS, VERSIONS, target

# Debian package, and what shows that it is there.
TOOLS = {
    "iproute2": ["ip", "tc", "ss"],
    "ethtool": ["ethtool"],
    "openssl": ["openssl"],
    "util-linux": ["unshare", "setpriv"],
    "default-jdk-headless": ["java", "javac"],
    "maven": ["mvn"],
}
# Unpacked into the cache, never installed: Debian would start them as services.
PEERS = ["haproxy", "trafficserver"]


class Cache:
    """Where what was fetched lies."""

    def __init__(self, folder):
        self.folder = folder

    def jars(self, version):
        return self.folder / f"pulsar-{VERSIONS['pulsar'][version]['version']}"

    def venv(self, name):
        """Named by its content: another pin is another folder."""
        wanted = json.dumps([VERSIONS["python"][name], sys.version_info[:2]])
        return self.folder / f"python-{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"

    def python(self, name):
        return self.venv(name) / "bin/python"

    @property
    def debian(self):
        return self.folder / "debian"


def prepare(needs, folder, log):
    """Has all of `needs`: "pulsar 3.0", "python fate", "peers"."""
    cache = Cache(folder)
    folder.mkdir(parents=True, exist_ok=True)
    steps = [lambda: install_tools(log)]
    for need in sorted(needs):
        kind, _, which = need.partition(" ")
        make = {"pulsar": fetch_pulsar, "python": make_venv, "peers": unpack_peers}[kind]
        steps.append(lambda make=make, which=which: make(cache, which, log))
    for step in steps:
        step()
    return cache


def build_hub(log):
    """The binary that is shipped."""
    note("building: cargo build --release")
    client(["cargo", "build", "--release", "--locked", "--bin", "snihub"], log, cwd=ROOT)
    return target() / "release/snihub"


def versions(hub):
    """Of what every case stands on."""
    said = [
        subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for argv in ([hub, "--version"], ["uname", "-sr"], ["java", "--version"], ["python3", "--version"])
    ]
    return ", ".join(said)


def install_tools(log):
    missing = [package for package, tools in TOOLS.items() if not all(map(shutil.which, tools))]
    if subprocess.run(["python3", "-c", "import ensurepip, venv"], capture_output=True).returncode:
        missing.append("python3-venv")
    if not missing:
        return
    note(f"installing: {' '.join(missing)}")
    # Slim images lack the folder, and the JDK's alternatives fail without it.
    os.makedirs("/usr/share/man/man1", exist_ok=True)
    apt(log, "update")
    apt(log, "install", "-y", "--no-install-recommends", *missing)


def fetch_pulsar(cache, which, log):
    pins, jars = VERSIONS["pulsar"][which], cache.jars(which)
    if jars.is_dir():
        return
    note(f"fetching: Pulsar {pins['version']} by Maven (190 MB)")
    part = fresh(jars.with_name(jars.name + ".part"))
    client(
        [
            "mvn", "--quiet", "--batch-mode", "--file", SETTINGS / "pulsar-pom.xml",
            f"-Dpulsar.version={pins['version']}", f"-Dslf4j.binding={pins['slf4j']}",
            "dependency:copy-dependencies", f"-DoutputDirectory={part}", "-DincludeScope=runtime",
        ],
        log,
        # Among 400 transfers one may fail; what came is kept.
        tries=3,
    )  # fmt: skip
    part.rename(jars)


def make_venv(cache, which, log):
    pins, venv = VERSIONS["python"][which], cache.venv(which)
    if (venv / "whole").exists():
        return
    note(f"fetching: Python packages for {which}")
    # At its final place: its scripts name their interpreter.
    client(["python3", "-m", "venv", "--clear", venv], log)
    pip = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    client([*pip, *pins["packages"]], log, tries=2)
    if "without_dependencies" in pins:
        client([*pip, "--no-deps", *pins["without_dependencies"]], log, tries=2)
    # What was chosen besides the pins is seen in the log.
    client([venv / "bin/python", "-m", "pip", "freeze"], log)
    (venv / "whole").touch()


def unpack_peers(cache, _, log):
    unpack(PEERS, cache.debian, log)


def unpack(packages, folder, log):
    """Debian's packages, and what they need that is not installed, as files in `folder`."""
    if folder.is_dir():
        return
    note(f"fetching: {', '.join(packages)} from Debian")
    archives = fresh(folder.with_name("debs"))
    (archives / "partial").mkdir()
    apt(log, "update")
    apt(
        log, "install", "--download-only", "--reinstall", "-y", "--no-install-recommends",
        "-o", f"Dir::Cache::Archives={archives}", *packages,
    )  # fmt: skip
    part = fresh(folder.with_name(folder.name + ".part"))
    for package in archives.glob("*.deb"):
        client(["dpkg-deb", "-x", package, part], log)
    part.rename(folder)


def apt(log, *arguments):
    client(["apt-get", "-qq", *arguments], log, env={"DEBIAN_FRONTEND": "noninteractive"})


def client(argv, log, cwd=None, env=None, tries=1):
    """Runs a package client; what it prints goes to the log, and to the reader if it fails."""
    argv = [str(word) for word in argv]
    # None goes on in a folder that the next run makes anew. (But dpkg is left to finish.)
    dying = [] if argv[0] == "apt-get" else [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
    ]  # fmt: skip
    for left in reversed(range(tries)):
        # A file, since dpkg would break off where nobody reads any more what it says.
        with open(log, "a") as file:
            print("$", *argv, file=file, flush=True)
            begins = file.tell()
            done = subprocess.run(
                [*dying, *argv], cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        if done.returncode == 0:
            return
        if not left:
            tail = log.read_bytes()[begins:].decode(errors="replace").splitlines()[-15:]
            raise Failure("\n".join([f"{' '.join(argv[:6])}: exit {done.returncode}: {log}", *tail]))


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
