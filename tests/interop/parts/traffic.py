"""Sends and checks messages between brokers; what a message proves is that it was replicated, since
it is produced at one party's broker and consumed at another's.

    traffic.py send | receive | replicate PLAN

PLAN is JSON: pairs, brokers (party: URL), topic, bytes (per pair), sizes, seconds (to spread the
sending over), patience (seconds to wait for a message). Each receiver checks number, order and SHA-256. One JSON line per pair and role.
"""

import contextlib
import hashlib
import itertools
import json
import os
import random
import sys
import threading
import time
import traceback

import pulsar


def sizes(plan):
    """The size of each message: all sizes in turn, until so many bytes are sent."""
    sent = 0
    for number in itertools.count():
        size = plan["sizes"][number % len(plan["sizes"])]
        yield size
        sent += size
        if number + 1 >= len(plan["sizes"]) and sent >= plan["bytes"]:
            return


def send(plan, clients, a, b):
    began = time.time()
    producer = clients[a].create_producer(
        plan["topic"].format(a=a, b=b),
        compression_type=pulsar.CompressionType.LZ4,
        block_if_queue_full=True,
        max_pending_messages=20,
        send_timeout_millis=0,
    )
    planned = list(sizes(plan))
    failed = []
    for number, size in enumerate(planned):
        # Incompressible, since the producer compresses.
        body = random.Random(f"{a} {b} {plan['topic']} {number}").randbytes(size)
        marks = {"n": str(number), "sha256": hashlib.sha256(body).hexdigest()}
        producer.send_async(body, lambda result, _: result == pulsar.Result.Ok or failed.append(result), properties=marks)
        if plan["seconds"]:
            time.sleep(plan["seconds"] / len(planned))
    producer.flush()
    assert not failed, f"{a}: the broker refused {failed}"
    tell(role="sent", a=a, b=b, messages=len(planned), size=sum(planned), seconds=time.time() - began)


def receive(plan, clients, a, b, subscribed):
    began = time.time()
    consumer = clients[b].subscribe(
        plan["topic"].format(a=a, b=b), "checker", initial_position=pulsar.InitialPosition.Earliest
    )
    subscribed.set()
    planned = list(sizes(plan))
    expected = repeated = 0
    while expected < len(planned):
        message = consumer.receive(int(1e3 * plan["patience"]))
        consumer.acknowledge(message)
        number = int(message.properties()["n"])
        if number < expected:
            # At least once: after a reconnect Pulsar may send some again.
            repeated += 1
            continue
        assert number == expected, f"{a} -> {b}: message {number} where {expected} was due: lost, or out of order"
        digest = hashlib.sha256(message.data()).hexdigest()
        assert digest == message.properties()["sha256"], f"{a} -> {b}: message {number} is damaged"
        assert len(message.data()) == planned[number], f"{a} -> {b}: message {number} is cut"
        expected += 1
    took = time.time() - began
    # What comes after the last one can only be there twice.
    with contextlib.suppress(pulsar.Timeout):
        while True:
            message = consumer.receive(1_000)
            consumer.acknowledge(message)
            assert int(message.properties()["n"]) < expected, f"{a} -> {b}: more came than was sent"
            repeated += 1
    # Sends what is not acknowledged yet: the topic may be used again.
    consumer.close()
    tell(role="received", a=a, b=b, messages=expected, size=sum(planned), repeated=repeated, seconds=took)


def tell(role, a, b, messages, size, seconds, repeated=0):
    line = {"from": a, "to": b, role: True, "messages": messages, "bytes": size, "seconds": seconds}
    # In one piece: several threads write.
    sys.stdout.write(json.dumps({**line, "repeated": repeated}) + "\n")
    sys.stdout.flush()


def guarded(action, *arguments):
    """One pair that fails ends the whole."""
    try:
        action(*arguments)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main():
    what, plan = sys.argv[1], json.loads(sys.argv[2])
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    clients = {
        party: pulsar.Client(url, logger=logger, operation_timeout_seconds=60)
        for party, url in plan["brokers"].items()
    }
    threads = []
    for a, b in plan["pairs"]:
        subscribed = threading.Event()
        if what in ("receive", "replicate"):
            threads.append(threading.Thread(target=guarded, args=(receive, plan, clients, a, b, subscribed)))
            threads[-1].start()
            subscribed.wait(60)
        if what in ("send", "replicate"):
            threads.append(threading.Thread(target=guarded, args=(send, plan, clients, a, b)))
            threads[-1].start()
    for thread in threads:
        thread.join()
    # Closing waits for brokers that a case may have stopped.
    os._exit(0)


main()
