"""Trouble in the middle of replication. Pulsar may repeat a message after a lost link, but loses
none and keeps their order, which the receivers check; the hub has to give it the chance."""

import signal
import subprocess
import time

from suite import sandbox
from suite.case import Case
from suite.check import check, say
from suite.star import Star, name_of, routes_to
from suite.wire import HelloWatch

from .clients import CPP, libpulsar

A, B = PARTIES = ("9999", "10000")
NEEDS = ("pulsar 3.0", "python pulsar")
# A link that is left alone: no pings by the brokers, and none closed for being unused.
SILENT = """
keepAliveIntervalSeconds=86400
brokerClient_keepAliveIntervalSeconds=86400
brokerClient_connectionMaxIdleSeconds=86400
"""


def reload(place):
    """50 reloads, each with another table."""
    with Star(place, PARTIES) as star, star.hub:
        star.join()
        meanwhile = star.traffic("replicate", star.pairs(), 100, seconds=25)
        wait_for_bulk(star)
        for number in range(50):
            another = f"  - fqdn: another-{number}.fate.org\n    tunnel_route: 127.0.0.9:6651\n"
            star.hub.edit_and_wait(routes_to(PARTIES) + another)
        meanwhile.check_running("the last of 50 reloads")
        say("reloaded 50 times")
        meanwhile.finish()
        return [{**star.judge(), "seen": "50 reloads, no tunnel ended"}]


def restart(place):
    """The hub goes away by SIGTERM, and comes again."""
    with Star(place, PARTIES) as star, star.hub:
        star.join()
        meanwhile = star.traffic("replicate", star.pairs(), 200, seconds=30)
        for _ in range(2):
            wait_for_bulk(star)
            star.hub.stop()
            say(f"the hub is gone, {len(star.hub.closed())} tunnels with it")
            time.sleep(3)
            star.hub.start()
        meanwhile.check_running("the hub's second return")
        meanwhile.finish()
        return [{**star.judge(trouble=True), "seen": "2 restarts of the hub"}]


def removed(place):
    """A party loses its route and its tunnels, and gets them back."""
    with Star(place, PARTIES, hub_settings="on_route_removed: close\n") as star, star.hub:
        star.join()
        meanwhile = star.traffic("replicate", star.pairs(), 100, seconds=25)
        wait_for_bulk(star)
        star.hub.edit_and_wait(routes_to([A]))
        gone = lambda: any(line["ended"] == "route_removed" for line in star.hub.closed(name_of(B)))
        star.hub.wait_until("the tunnels' end", 10, gone)
        refused = lambda: any(line["ended"] == "unknown_server_name" for line in star.hub.closed(name_of(B)))
        star.hub.wait_until("a refusal of the broker that comes again", 60, refused)
        check(not star.hub.closed(name_of(A)), f"tunnels of {A} ended too: {star.hub.closed(name_of(A))}")
        say(f"{B} is removed: its tunnels are ended, its peer is refused")
        star.hub.edit_and_wait(routes_to(PARTIES))
        meanwhile.check_running("the route's return")
        meanwhile.finish()
        return [{**star.judge(trouble=True, more=["route_removed"]), "seen": f"{B} removed and added again"}]


def broker_restart(place):
    """One broker stops, gently, and starts again."""
    with Star(place, PARTIES) as star, star.hub:
        star.join()
        meanwhile = star.traffic("replicate", star.pairs(), 100, seconds=40)
        wait_for_bulk(star)
        broker = star.brokers[B]
        broker.stop_gently()
        say(f"broker {B} is stopped")
        refused = lambda: any(line["ended"] == "refused" for line in star.hub.closed(name_of(B)))
        star.hub.wait_until("a dial that is refused", 60, refused)
        broker.start()
        broker.wait_ready()
        meanwhile.check_running("the broker's return")
        say(f"broker {B} is back")
        meanwhile.finish()
        return [{**star.judge(trouble=True), "seen": f"broker {B} restarted"}]


def slow_link(place):
    """2 Mbit/s, at which the two segments of a large hello come in separate reads."""
    with Star(place, PARTIES, hub_named=(CPP,)) as star, star.hub:
        star.join()
        with sandbox.slow_link("2mbit"):
            with HelloWatch() as watch:
                for _ in range(8):
                    say(libpulsar(place, star, megabytes=0))
            gaps = watch.gaps_ms()
            check(len(gaps) == len(watch.segments()) >= 8, f"not all hellos were of two segments: {watch.segments()}")
            check(min(gaps) > 0.3, f"the segments came together: {gaps} ms")
            star.replicate(0.5, sizes=[1, 1_000, 100_000])
        # So far apart that the client's own thinking cannot be taken for it.
        with sandbox.slow_link("128kbit"), HelloWatch() as watch:
            for _ in range(4):
                libpulsar(place, star, megabytes=0)
        slower = min(watch.gaps_ms(), default=0)
        hellos = [line["hello_ms"] for line in star.hub.opened(name_of(CPP))][-len(watch.segments()) :]
        check(min(hellos) >= 0.9 * slower > 7, f"whole after {hellos} ms, {slower} ms apart: not in two reads")
        return [{**star.judge(guests=True), "seen": f"hellos in 2 segments {min(gaps):.1f} ms apart"}]


def idle_link(place, minutes=16):
    """Links without one byte for longer than ATS's 30 s and its 15 minutes."""
    with Star(place, PARTIES, broker_settings=SILENT) as star, star.hub:
        star.join()
        star.replicate(5, topic="before")
        opened = len(star.hub.opened())
        say(f"{opened} tunnels stand; now {minutes} minutes of silence")
        began = time.monotonic()
        while time.monotonic() < began + 60 * minutes:
            time.sleep(5)
            star.hub.process.check_alive()
            cut = star.hub.closed()
            check(not cut, f"tunnels ended after {time.monotonic() - began:.0f} s of silence: {cut[:3]}")
        # One link each way at least. (The brokers may ask one another something by others.)
        silence = sorted([0, 0, *sandbox.tcp_info(443, "lastrcv").values()])[-2]
        check(silence > 900_000, f"no two links were silent for longer than {silence / 1e3:.0f} s: it proves nothing")
        star.replicate(5, topic="before")
        return [{**star.judge(), "seen": f"silent for {silence / 60e3:.1f} minutes, then used again"}]


def stalled_receiver(place, seconds=180):
    """A party's broker stands still; what waits for it waits at the sender."""
    sandbox.small_buffers()
    with Star(place, PARTIES, broker_settings=SILENT) as star, star.hub:
        star.join()
        star.replicate(5)
        standing = {line["session"] for line in star.hub.opened()}

        def cut():
            """Those that stood before, and whatever the hub ended. (A broker that tries another link
            gives up its TLS handshake with one that stands still by itself.)"""
            return [line for line in star.hub.closed() if line["session"] in standing or line["by"] == "hub"]

        broker = star.brokers[B]
        broker.process.signal(signal.SIGSTOP)
        say(f"broker {B} stands still")
        try:
            # Each message alone is more than all buffers on the way: a replicator stops between two.
            star.traffic("send", [PARTIES], 200, sizes=[5_000_000]).finish()
            time.sleep(seconds)
            check(not cut(), f"tunnels ended while the receiver stood still: {cut()[:3]}")
            waiting = unsent_bytes()
            resident = star.hub.process.resident_mib()
        finally:
            broker.process.signal(signal.SIGCONT)
        check(waiting["sender"] > 0, f"nothing waits at the sender: {waiting}")
        check(resident < 64, f"the hub holds {resident:.0f} MiB")
        say(f"after {seconds} s {waiting['sender'] / 1e6:.1f} MB wait in the sender's socket, {waiting['hub'] / 1e6:.1f} MB in the hub's")
        star.traffic("receive", [PARTIES], 200, sizes=[5_000_000]).finish()
        check(not cut(), f"tunnels ended afterwards: {cut()[:3]}")
        # The brokers' attempts at further links while one of them stood still are reset by the brokers.
        return [{**star.judge(trouble=True), "seen": f"stood still for {seconds} s; the hub held {resident:.0f} MiB"}]


def unsent_bytes():
    """What waits in the kernel: of the senders towards the hub, and of the hub towards broker B."""
    waiting = {"sender": 0, "hub": 0}
    listed = subprocess.run(["ss", "-tnH"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        _, _, unsent, _, peer = line.split()[:5]
        if peer.endswith("127.0.0.1:443"):
            waiting["sender"] += int(unsent)
        elif peer.endswith(f"{sandbox.ADDRESS[B]}:6651"):
            waiting["hub"] += int(unsent)
    return waiting


def wait_for_bulk(star):
    """Returns in the middle of things: links stand both ways, and megabytes have gone through."""
    links = lambda: all(star.hub.opened(name_of(party)) for party in PARTIES)
    star.hub.wait_until("links both ways", 60, links)
    before = sum(sandbox.tcp_info(443, "bytes_received").values())
    star.hub.wait_until("traffic", 60, lambda: sum(sandbox.tcp_info(443, "bytes_received").values()) > before + 2_000_000)


CASES = [
    Case("idle-link", "links survive 16 minutes of silence", idle_link, needs=NEEDS, limit=1500, beside=True),
    Case("reload", "50 reloads in the middle of replication end no link", reload, needs=NEEDS),
    Case("restart", "the hub restarts in the middle of replication: nothing is lost", restart, needs=NEEDS),
    Case("removed", "a party is removed in the middle of replication, and added again", removed, needs=NEEDS),
    Case("broker-restart", "a broker restarts in the middle of replication: nothing is lost", broker_restart, needs=NEEDS),
    Case("slow-link", "hellos in two segments that come apart, at 2 Mbit/s", slow_link, needs=NEEDS),
    Case("stalled-receiver", "a receiver stands still for 3 minutes: back-pressure, then all arrives",
         stalled_receiver, needs=NEEDS, limit=600),
]  # fmt: skip
