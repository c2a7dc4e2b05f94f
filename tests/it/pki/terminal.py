"""Runs a program at a terminal of its own and types: one item of KEYS for each question; SIG... is
a signal that is sent then."""

import json
import os
import pty
import select
import signal
import sys
import termios

folder, keys, *command = sys.argv[1:]
keys = json.loads(keys)
child, terminal = pty.fork()
if child == 0:
    os.environ.pop("SNIHUB_PKI_PASSPHRASE", None)
    os.chdir(folder)
    os.execv(command[0], command)

shown, asked = b"", 0
while True:
    if not select.select([terminal], [], [], 60)[0]:
        sys.exit(f"nothing for a minute, after {shown!r}")
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    # A question ends in a colon and a space, and waits.
    if shown.count(b": ") > asked and shown.endswith(b": ") and asked < len(keys):
        # What is typed before the echo is off would be seen.
        echo_at_question = termios.tcgetattr(terminal)[3] & termios.ECHO
        if echo_at_question:
            sys.exit("it asks with echo")
        if keys[asked].startswith("SIG"):
            os.kill(child, getattr(signal, keys[asked]))
        else:
            os.write(terminal, keys[asked].encode())
        asked += 1
echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
_, status = os.waitpid(child, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "shown": shown.decode(), "echo": echo}))
