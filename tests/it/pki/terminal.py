"""Runs a program at a terminal of its own and types: one item of KEYS for each question; SIG... is
a signal that is sent then. What stops it lets it go on again, when the terminal was looked at. With
"SHELL" as the first item it runs below a shell with job control, which goes on with it."""

import json
import os
import pty
import select
import signal
import sys
import termios

folder, keys, *command = sys.argv[1:]
keys = json.loads(keys)
below_a_shell = keys[0] == "SHELL"
if below_a_shell:
    keys.pop(0)


def shell():
    """As one does that has job control: each job a group of its own, the terminal's foreground."""
    own = os.open("/dev/tty", os.O_RDWR)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(own, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(command[0], command)
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        os.tcsetpgrp(own, os.getpid())
        echo = termios.tcgetattr(own)[3] & termios.ECHO
        os.write(own, b"stopped with echo\n" if echo else b"stopped without echo\n")
        os.tcsetpgrp(own, job)
        os.killpg(job, signal.SIGCONT)


child, terminal = pty.fork()
if child == 0:
    os.environ.pop("SNIHUB_PKI_PASSPHRASE", None)
    os.chdir(folder)
    if below_a_shell:
        shell()
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
        if keys[asked] == "SIGTSTP":
            os.kill(child, signal.SIGTSTP)
            if not os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
                sys.exit("it did not stop")
            if not termios.tcgetattr(terminal)[3] & termios.ECHO:
                sys.exit("it stopped without echo")
            os.kill(child, signal.SIGCONT)
        elif keys[asked].startswith("SIG"):
            os.kill(child, getattr(signal, keys[asked]))
        else:
            os.write(terminal, keys[asked].encode())
        asked += 1
echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
_, status = os.waitpid(child, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "shown": shown.decode(), "echo": echo}))
