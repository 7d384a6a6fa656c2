#!/usr/bin/env python3
"""Which functions, and which split off parts of them, a relay runs from its start until it rests, a client that only looks in included,
in the order of their first run: a line for each symbol, for a linker's --symbol-ordering-file.

    order.py BINARY

The binary runs in an emulator (qemu-user), which writes down each piece of code before it runs it for the first time; so what
is written in C or comes with the compiler is seen, too.
"""

import bisect
import os
import re
import smtplib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from train import SENDER, Relay, free_port, make_keys

EMULATOR = "qemu-x86_64"
# What is done every half a minute at most is seen then.
REST_SECONDS = 40
# An order of fewer is no order: nothing was seen.
LEAST = 1_000


def loaded_at(pid, binary):
    """The address of the binary's first octet in the emulated process, which is that in the emulator's own."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, _, offset, _, _, *path = line.split()
        if path == [binary] and int(offset, 16) == 0:
            return int(addresses.split("-")[0], 16)
    sys.exit(f"{binary} is not where it is looked for")


def symbols(binary):
    """Addresses and names of the functions, by address."""
    lines = subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout.splitlines()
    found = (line.split() for line in lines)
    functions = sorted((int(words[0], 16), words[2]) for words in found if len(words) == 3 and words[1] in "tTwW")
    return [address for address, _ in functions], [name for _, name in functions]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = os.path.realpath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="mailsluice-order-") as folder:
        folder = Path(folder)
        make_keys(folder)
        seen = folder / "seen"
        clear = free_port()
        config = SENDER.format(clear=clear, encrypted=free_port(), receiver=free_port())
        with Relay(binary, folder / "relay", config, under=[EMULATOR, "-d", "in_asm", "-D", str(seen)]) as relay:
            base = loaded_at(relay.process.pid, binary)
            with smtplib.SMTP("localhost", clear, timeout=60) as session:
                session.ehlo()
            time.sleep(REST_SECONDS)
        addresses, names = symbols(binary)
        order = {}
        # After a line `IN:` come the instructions of a piece, each with its address.
        for start in re.finditer(r"^IN:.*\n(0x[0-9a-f]+)", seen.read_text(errors="replace"), re.MULTILINE):
            place = bisect.bisect_right(addresses, int(start[1], 16) - base) - 1
            if 0 <= place < len(names) - 1:
                order[names[place]] = None
    if len(order) < LEAST:
        sys.exit(f"only {len(order)} functions were seen")
    print("\n".join(order))


if __name__ == "__main__":
    main()
