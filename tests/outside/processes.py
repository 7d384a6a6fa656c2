"""What a process tree uses, as proc(5) tells it: processor time, memory, what it wrote, open files."""

import os
import re
import threading
import time
from collections import Counter
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The fields after the name in brackets are state, parent, …
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def of_tree(pid, file):
    """The text of that file of each process in the tree; one that ends meanwhile is left out."""
    for one in tree(pid):
        try:
            yield Path(f"/proc/{one}/{file}").read_text()
        except OSError:
            continue


def cpu_seconds(pid):
    """User and system time of the tree, the children that ended and were waited for included."""
    fields = [text.rsplit(")", 1)[1].split() for text in of_tree(pid, "stat")]
    return sum(int(value) for one in fields for value in one[11:15]) / TICK


def exact_cpu_seconds(pid):
    """Processor time of the process alone, without its children: by its clock, which counts what is less than a tick, too."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of clock_getcpuclockid(3)


def memory(pid):
    """The tree's proportional set size in MiB: shared pages are counted once."""
    found = [re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE) for text in of_tree(pid, "smaps_rollup")]
    return sum(int(one.group(1)) for one in found if one) / 1024


def written(pid):
    """Octets that the tree made the file system write; ended children count with their parent."""
    found = [re.search(r"^write_bytes: (\d+)", text, re.MULTILINE) for text in of_tree(pid, "io")]
    return sum(int(one.group(1)) for one in found if one)


def descriptors(pid):
    """How many files, sockets and the like the process (without its children) has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def opened(pid):
    """What these are: paths, and kinds of what has none, each with how many there are."""
    found = Counter()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[os.readlink(one).partition(":[")[0]] += 1
        except OSError:
            continue
    return found


class Peak:
    """Samples the tree's memory while it is in force: `highest`, in MiB."""

    def __init__(self, pid, every=0.25):
        self.pid, self.every = pid, every
        self.highest, self.ending = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def _sample(self):
        while not self.ending.wait(self.every):
            self.highest = max(self.highest, memory(self.pid))
