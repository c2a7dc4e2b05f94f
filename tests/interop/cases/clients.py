"""Pulsar's own clients in SNI-proxy mode, straight through the hub to a party's broker."""

from suite import process
from suite.case import Case
from suite.check import check, say
from suite.paths import PARTS, VERSIONS
from suite.sandbox import HUB_NAME
from suite.star import Star
from suite.wire import HelloWatch

# libpulsar checks the broker's certificate against the hub's name, Java against the server name.
CPP, JAVA = "10000", "9999"
MEGABYTES = 5


def clients(place):
    with Star(place, (JAVA, CPP), hub_named=(CPP,)) as star, star.hub:
        with HelloWatch() as watch:
            say(libpulsar(place, star))
        of_libpulsar = watch.segments()
        say(f"its hellos came in segments of {of_libpulsar} bytes")
        check(of_libpulsar and all(len(hello) == 2 for hello in of_libpulsar),
              f"libpulsar's hellos were not of two segments: {of_libpulsar}")  # fmt: skip
        say(java(place, star))
        for party in (CPP, JAVA):
            star.payload[party] += MEGABYTES * 1_000_000
        row = star.judge(guests=True)
        row["with"] += f", {VERSIONS['python']['pulsar']['packages'][0].replace('==', ' ')}"
        row["seen"] = f"libpulsar's hello {' + '.join(map(str, of_libpulsar[0]))} bytes"
        return [row]


def libpulsar(place, star, megabytes=MEGABYTES):
    python = place.cache.python("pulsar")
    argv = [python, PARTS / "sni_client.py", star.authority.certificate, CPP, f"{HUB_NAME}:443", megabytes]
    return process.run("libpulsar", argv, place.logs / "libpulsar.log", 90).splitlines()[-1]


def java(place, star):
    jars, client = star.jars, PARTS / "SniClient.java"
    argv = ["java", "-cp", f"{jars}/*", client, star.authority.certificate, JAVA, f"{HUB_NAME}:443", MEGABYTES]
    return process.run("the Java client", argv, place.logs / "java.log", 90).splitlines()[-1]


CASES = [
    Case("clients", "libpulsar and the Java client reach a party straight through the hub", clients,
         needs=("pulsar 3.0", "python pulsar"), quick=True),
]  # fmt: skip
