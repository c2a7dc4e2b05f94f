"""A third party joins while the first two replicate, by one edit of sni.yaml."""

from suite.case import Case
from suite.check import say
from suite.star import Star, routes_to

FIRST, JOINING = ("9999", "10000"), "8888"


def three_parties(place):
    with Star(place, FIRST) as star, star.hub:
        star.join()
        meanwhile = star.traffic("replicate", star.pairs(), 20, topic="first-two", seconds=90)
        star.add_brokers([JOINING])
        everyone = [*FIRST, JOINING]
        star.hub.edit_and_wait(routes_to(everyone))
        say(f"{JOINING} has a route")
        star.join(parties=everyone)
        meanwhile.check_running("the joining")
        star.replicate(10, pairs=star.pairs(everyone), topic="mesh")
        meanwhile.finish()
        return [star.judge()]


CASES = [
    Case("three-parties", "a third party joins while the first two replicate, full mesh", three_parties,
         needs=("pulsar 3.0", "python pulsar")),
]  # fmt: skip
