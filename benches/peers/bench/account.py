"""What processes take: CPU time, memory, system calls."""

import os
import re
import resource
import subprocess
from pathlib import Path

from suite.check import Failure


def tree(pid):
    """The process and all that came from it."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # proc(5): the command, in parentheses, may hold anything; the parent is the second field after it.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_of_threads(pids):
    """Nanoseconds on a CPU so far, by thread: schedstat, since stat counts in 10 ms."""
    times = {}
    for pid in pids:
        for folder in Path(f"/proc/{pid}/task").glob("*"):
            try:
                times[int(folder.name)] = int((folder / "schedstat").read_text().split()[0])
            except OSError:
                continue
    return times


def cpu_seconds(pids):
    """User and system time so far of all threads that live."""
    return sum(cpu_of_threads(pids).values()) / 1e9


def seconds_elsewhere():
    """CPU seconds so far of all that is not in this sandbox: other programs of the machine, and what the kernel and
    the host below it take for themselves. Only the difference of two readings tells anything."""
    # proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; of the whole machine, in ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = cpu_seconds(int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return busy - alive - ended.ru_utime - ended.ru_stime


def pss_kib(pids):
    """Resident memory; pages that several share are split among them."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
    return total


def system_calls(pids, seconds):
    """System calls per second of these processes over so long, counted by perf's tracepoint."""
    argv = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ",".join(map(str, pids)), "sleep", str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 20)
    line = next((line for line in done.stderr.splitlines() if "raw_syscalls" in line), "")
    fields = line.split(",")
    if done.returncode or not fields[0].isdigit():
        raise Failure(f"perf counts no system calls: {done.stderr.strip()[-200:]}")
    return int(fields[0]) / seconds
