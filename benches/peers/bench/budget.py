"""The time that the rounds may take."""

import time


class Budget:
    """So many seconds for so many cells; without a number as long as it takes."""

    def __init__(self, seconds, cells):
        self.seconds, self.cells, self.done = seconds, cells, 0
        self.began = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def fits(self, more=0):
        """Whether there is time for so many seconds more."""
        return self.seconds is None or self.elapsed() + more < self.seconds

    def repeats(self):
        """Whether a disturbed cell is measured again: only while the run is ahead of its time."""
        return self.seconds is None or self.elapsed() * self.cells < self.seconds * self.done
