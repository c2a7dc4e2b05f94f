"""Checks and waits: each fails with what was seen."""

import time


class Failure(Exception):
    """A case does not pass: what was seen, and where to look."""


def check(holds, message):
    """Fails the case unless `holds`."""
    if not holds:
        raise Failure(message)


def say(text):
    """One line of progress."""
    print(f"    {text}", flush=True)


def note(text):
    """One line of progress that is no case's."""
    print(text, flush=True)


def wait_for(what, seconds, probe, every=0.2):
    """The first true value of `probe()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not seen in {seconds:.0f} s")
        time.sleep(every)
