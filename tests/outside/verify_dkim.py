#!/usr/bin/env python3
"""Lets dkimpy and OpenDKIM judge signed samples, with the keys handed in from a file: no DNS.

    verify_dkim.py FOLDER

FOLDER holds *.eml, and `keys`: a line for each key, its name, a space, the text of its TXT record. `cargo test --test dkim`
writes such a folder. Every signature of every sample has to verify. Exit status: 0 all did, 1 one did not.
"""

import sys
import tempfile
from pathlib import Path

from verifiers import Key, dkimpy_verdicts, opendkim_verdicts, signatures


def faults(folder):
    """What is wrong with the samples, a line each, and how many signatures were judged."""
    keys = []
    for line in (folder / "keys").read_text().splitlines():
        name, record = line.split(" ", 1)
        selector, domain = name.rstrip(".").split("._domainkey.", 1)
        keys.append(Key(domain, selector, None, record))
    found, judged = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for sample in sorted(folder.glob("*.eml")):
            message = sample.read_bytes()
            judged += len(signatures(message))
            verdicts = {"dkimpy": dkimpy_verdicts(message, keys), "OpenDKIM": opendkim_verdicts(message, keys, Path(scratch))}
            found += [f"{sample.name}: {who}: {said}" for who, said in verdicts.items() if not said or not all(said)]
    return found, judged


if __name__ == "__main__":
    wrong, count = faults(Path(sys.argv[1]))
    print("\n".join([*wrong, f"{count} signatures judged"]))
    sys.exit(1 if wrong or not count else 0)
