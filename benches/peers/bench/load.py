"""The load program: one run, watched."""

import json
import signal
import subprocess
import threading
import time

from suite.check import Failure

# The route that is an exact name, and one of those that the wildcard takes; tunnels take turns.
EXACT, WILDCARD, OTHER = "9999.fate.org", "*.wild.fate.org", "10000.wild.fate.org"
ORIGIN = "127.0.0.1:6651"


class Run:
    """Started at once. `on` maps the first word of a line on its stderr to what is then called."""

    def __init__(self, program, port, argv, patience, on):
        via = f"127.0.0.1:{port}" if port else ORIGIN
        self.what, self.patience, self.on, self.said = argv[0], patience, on, []
        argv = [
            program, argv[0], "--via", via, "--name", f"{EXACT},{OTHER}", "--deadline", patience, *argv[1:]
        ]  # fmt: skip
        self.child = subprocess.Popen(
            list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.child.stderr:
            self.said.append(line.strip())
            call = self.on.get(line.split(maxsplit=1)[0].rstrip(":\n"))
            if call:
                call()

    def go_on(self):
        """Ends the holding of idle tunnels."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def finish(self):
        """What it measured; fails if it could not, or if nothing went through."""
        deadline = time.monotonic() + self.patience + 5
        try:
            output = self.child.stdout.read() if self.wait(deadline) else ""
        finally:
            if self.child.poll() is None:
                self.child.send_signal(signal.SIGKILL)
            self.child.wait()
        self.listener.join(5)
        if self.child.returncode:
            words = [line for line in self.said if line.startswith("load:")]
            raise Failure(words[-1] if words else f"load {self.what}: exit {self.child.returncode}")
        return json.loads(output)

    def wait(self, deadline):
        # Its one line on stdout is less than a pipe takes.
        try:
            self.child.wait(max(deadline - time.monotonic(), 0))
            return True
        except subprocess.TimeoutExpired:
            raise Failure(f"load {self.what}: not done after {self.patience:.0f} s") from None


class Watch:
    """CPU seconds of a proxy between the load's `measuring` and `measured`."""

    def __init__(self, cpu):
        self.cpu, self.seconds = cpu, None
        self.on = {"measuring": self.begin, "measured": self.end}

    def begin(self):
        self.before = self.cpu()

    def end(self):
        self.seconds = self.cpu() - self.before
