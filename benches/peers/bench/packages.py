"""The peers as Debian packages: stable's unpacked, unstable's in a folder of their own."""

import re
import shutil
import subprocess

from suite import peers, prepare
from suite.check import Failure, note

STABLE = ["haproxy", "nginx", "libnginx-mod-stream", "sniproxy", "trafficserver"]
SID = ["haproxy", "nginx", "libnginx-mod-stream"]
TOOLS = {"debootstrap": "debootstrap", "perf": "linux-perf", "ip": "iproute2", "setpriv": "util-linux", "openssl": "openssl"}


def fetch(cache, log):
    """Has them in the cache. What cannot be had, with the reason."""
    missing = {}
    for name, step in (("tools", tools), ("stable", stable), ("sid", sid)):
        try:
            step(cache, log)
        except Failure as failure:
            # Results name no folder of this machine.
            missing[name] = str(failure).replace(str(cache), "CACHE")
            note(f"cannot fetch ({name}): {failure}")
    return missing


def tools(_, log):
    wanted = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if wanted:
        prepare.apt(log, "update")
        prepare.apt(log, "install", "-y", "--no-install-recommends", *wanted)


def stable(cache, log):
    prepare.unpack(STABLE, cache / "debian", log)


def sid(cache, log):
    folder = cache / "sid"
    if folder.is_dir():
        return
    note(f"fetching: {', '.join(SID)} from Debian's unstable suite (two minutes)")
    part = folder.with_name("sid.part")
    shutil.rmtree(part, ignore_errors=True)
    prepare.client(["debootstrap", "--variant=minbase", f"--include={','.join(SID)}", "sid", part], log)
    part.rename(folder)


def versions(cache, hub):
    """By the words of each program; None where it is not there."""
    debian, chroot = cache / "debian", ["chroot", cache / "sid"]
    asked = {
        "snihub": [hub, "--version"],
        "HAProxy stable": [debian / "usr/sbin/haproxy", "-v"],
        "HAProxy sid": [*chroot, "/usr/sbin/haproxy", "-v"],
        "nginx stable": [debian / "usr/sbin/nginx", "-v"],
        "nginx sid": [*chroot, "/usr/sbin/nginx", "-v"],
        "sniproxy": [debian / "usr/sbin/sniproxy", "-V"],
        "Traffic Server": [debian / "usr/bin/traffic_server", "-V"],
    }
    return {name: version(argv, None if argv[0] == "chroot" else peers.libraries(debian)) for name, argv in asked.items()}


def version(argv, env):
    try:
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, env=env and {**env, "PATH": "/usr/bin"})
    except OSError:
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found.group() if found else None
