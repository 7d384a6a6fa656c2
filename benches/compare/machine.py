"""The machine, without which figures say little: cores, processor, file system, the cost of a sync."""

import os
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path


def cost_of_a_sync(folder):
    """Milliseconds of one write of 4 KiB with fdatasync at a file's end: the median of 300."""
    probe = Path(folder) / "probe"
    costs = []
    with probe.open("wb") as file:
        for _ in range(300):
            started = time.monotonic()
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            costs.append(1000 * (time.monotonic() - started))
    probe.unlink()
    return statistics.median(costs)


def machine(folder):
    """What the figures were measured on, by name."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    disk = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", folder], capture_output=True, text=True, check=True, timeout=10)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model.group(1) if model else platform.machine(),
        "kernel": platform.release(),
        "file_system": disk.stdout.strip(),
        "sync_ms": round(cost_of_a_sync(folder), 3),
        "day": time.strftime("%Y-%m-%d"),
    }


def sentence(about):
    """The same in a line."""
    in_memory = about["file_system"] in ("tmpfs", "ramfs")
    warning = " (NOT a disk: the figures mean nothing)" if in_memory else ""
    return (f"{about['day']}: {about['cores']} cores, {about['processor']}, Linux {about['kernel']}, "
            f"{about['file_system']}{warning}, {about['sync_ms']:.2f} ms for a write with fdatasync")
