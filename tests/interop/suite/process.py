"""A process of the suite: its log, its CPU time, its end."""

import os
import signal
import subprocess
import time

from .check import Failure


class Process:
    """Started at once, its output in `log`; ended by `stop`, or with the sandbox."""

    def __init__(self, name, argv, log, env=None, cwd=None):
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self):
        return self.child.pid

    def check_alive(self):
        """Fails if it has ended by itself."""
        if self.child.poll() is not None:
            raise Failure(f"{self.name} ended with {self.child.returncode}: {self.log}\n{self.tail()}")

    def finish(self, seconds, beside=()):
        """Waits for its own end, which has to be a good one; returns what it printed. Those in
        `beside` have to live as long."""
        deadline = time.monotonic() + seconds
        while (code := self.child.poll()) is None:
            for other in beside:
                other.check_alive()
            if time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                raise Failure(f"{self.name}: not done after {seconds} s: {self.log}\n{self.tail()}")
            time.sleep(0.1)
        if code != 0:
            raise Failure(f"{self.name} ended with {code}: {self.log}\n{self.tail()}")
        return self.log.read_text(errors="replace")

    def stop(self, how=signal.SIGTERM, patience=30):
        """Sends `how` and waits; SIGKILL after `patience` seconds, which is a failure."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(how)
        try:
            self.child.wait(patience)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise Failure(f"{self.name}: still there {patience} s after {how.name}: {self.log}") from None

    def signal(self, how):
        self.child.send_signal(how)

    def cpu_seconds(self):
        """User and system time of all its threads so far; 10 ms grain."""
        # proc(5): the command, in parentheses, may hold anything; utime and stime are fields 14, 15.
        fields = open(f"/proc/{self.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        with open(f"/proc/{self.pid}/status") as status:
            kib = next(line.split()[1] for line in status if line.startswith("VmRSS:"))
        return int(kib) / 1024

    def tail(self, lines=15):
        """Its last words, for messages."""
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join("      | " + line[:400] for line in text[-lines:])


def run(name, argv, log, seconds, env=None, cwd=None, beside=()):
    """A process that is waited for; what it printed."""
    return Process(name, argv, log, env, cwd).finish(seconds, beside)
