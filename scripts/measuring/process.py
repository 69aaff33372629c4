"""What the Linux kernel says about a process and about the machine."""

import contextlib
import time
from pathlib import Path

KIB_PER_MIB = 1024


def resources(pid):
    """Memory in MiB and the number of threads."""
    status = table(f"/proc/{pid}/status")
    kib = {"rss": status["VmRSS"], "anonymous": status["RssAnon"], "file": status["RssFile"]}
    with contextlib.suppress(OSError, KeyError):
        kib["pss"] = table(f"/proc/{pid}/smaps_rollup")["Pss"]
    mib = {name: int(value.split()[0]) / KIB_PER_MIB for name, value in kib.items()}
    return mib | {"threads": int(status["Threads"])}


def processor_milliseconds(pid):
    """Processor time of the process, threads that ended included: its CPU-time clock, see clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2) * 1000


def children(pid):
    """The processes that the process has started and that are still there."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in lists for child in one.read_text().split()]


def table(path):
    """A file of `name: value` lines."""
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
