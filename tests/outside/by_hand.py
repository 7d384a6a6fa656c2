"""Rounds of a test as a command: how many, from which seed; what was found, and the exit status."""

import argparse
import sys
import tempfile
import time
from pathlib import Path


def by_hand(description, name, rounds, run):
    """`run(folder, rounds, seed, say)` does them, and returns the faults and a line of figures."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--seed", type=int, default=int(time.time()))
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix=f"mailsluice-{name}-") as folder:
        faults, figures = run(Path(folder), chosen.rounds, chosen.seed, lambda text: print(text, flush=True))
    print(figures)
    for fault in faults:
        print(f"FAULT: {fault}")
    sys.exit(1 if faults else 0)
