"""Two parties replicate through the hub, both directions."""

from suite.case import Case
from suite.check import say
from suite.star import Star

PARTIES = ("9999", "10000")


def replicate(place, pulsar="3.0", backlog=200, live=20):
    """A backlog that waits for the hub to come, then all sizes both ways at once."""
    with Star(place, PARTIES, pulsar) as star:
        star.join()
        there = [PARTIES]
        star.traffic("send", there, backlog, topic="backlog").finish()
        star.hub.start()
        say(f"a backlog of {backlog} MB is there, and now a hub")
        star.traffic("receive", there, backlog, topic="backlog").finish()
        star.replicate(live, topic="live")
        return [star.judge()]


def small(place):
    return replicate(place, backlog=5, live=5)


CASES = [
    Case("replicate", "two parties replicate through the hub, a backlog and live", replicate,
         needs=("pulsar 3.0", "python pulsar"), quick=True),
    Case("replicate-2.10", "the same with the brokers that KubeFATE deploys",
         lambda place: replicate(place, "2.10"), needs=("pulsar 2.10", "python pulsar")),
    Case("replicate-4.0", "the same with Pulsar 4.0",
         lambda place: replicate(place, "4.0"), needs=("pulsar 4.0", "python pulsar")),
    Case("fails-without-splice", "bulk that is copied fails `replicate`", small,
         needs=("pulsar 3.0", "python pulsar"), sabotage="splice", fails_with="carried bulk without splice"),
    Case("fails-without-route", "a party without a route fails `replicate`", small,
         needs=("pulsar 3.0", "python pulsar"), sabotage="route", fails_with="the hub refused 10000.fate.org: unknown_server_name"),
    Case("fails-past-the-hub", "replication by the plain port fails `replicate`", small,
         needs=("pulsar 3.0", "python pulsar"), sabotage="bypass", fails_with="went past the hub"),
]  # fmt: skip
