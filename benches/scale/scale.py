"""The measuring part of `benches/scale/run`; see benches/README.md for what is measured and how."""

import argparse
import json
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from pathlib import Path

from ends import Clear, Load, Sink
from machine import machine, sentence
from network import wait_until
from processes import Peak, exact_cpu_seconds, memory
from relay import Relay

SIZES = [1_000, 10_000, 100_000, 1_000_000]
OCTETS = 1_024
ACCEPTED = Load(sessions=20, messages=5_000, octets=10_240, each=False)
# Draining is measured over so many messages, after as many again at most for the start.
DRAINED = 5_000
# A queue of at most so many is drained to its end; a larger one with --whole alone.
WHOLE = 100_000
CONFIG = """
[queue]
max_messages = 3000000
[session]
max_connections_per_client = 1000
[[upstream]]
name = "sink"
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
connections = 20
"""
COLUMNS = [
    ("first_accepted", "start to first accepted, ms", 0), ("first_delivered", "to first delivered, ms", 0),
    ("drain", "drained/s", 0), ("drain_cpu", "CPU ms/drained", 3), ("peak", "peak MiB", 1),
    ("rest", "at rest MiB", 1), ("accept", "accepted/s", 0), ("list", "queue list, ms", 0), ("status", "status, ms", 0),
    ("full", "DATA_DIR MiB", 0), ("empty", "after the drain MiB", 0),
]


def size_of(folder):
    """MiB that the files below it take on the disk."""
    done = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=False, timeout=120)
    return int(done.stdout.split()[0]) / 1024


def timed(action):
    """Milliseconds of the call."""
    started = time.monotonic()
    action()
    return 1000 * (time.monotonic() - started)


def first_accepted(relay, started):
    """Hands a message in as soon as the relay takes one. Returns the milliseconds since `started`."""
    content = f"From: <office@firm.example>\r\nTo: <new@elsewhere.example>\r\nSubject: first\r\n\r\n{'x' * 70}\r\n"
    deadline = started + 120
    while True:
        try:
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
                client.sendmail("office@firm.example", ["new@elsewhere.example"], content)
                return 1000 * (time.monotonic() - started)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline and relay.process.poll() is None, relay.errors() + relay.log_tail()
            time.sleep(0.002)


def start(relay, sink, figures):
    """Starts the relay on its full queue."""
    before, started = sink.count(), time.monotonic()
    relay.launch()
    figures["first_accepted"] = first_accepted(relay, started)
    wait_until(lambda: sink.count() > before, 300, relay.log_tail)
    figures["first_delivered"] = 1000 * (time.monotonic() - started)


def until_idle(relay):
    """Waits until the relay has nothing to do: a long queue is looked at for damage behind its start."""
    deadline, used = time.monotonic() + 120, None
    while used is None or exact_cpu_seconds(relay.pid()) - used > 0.03:
        assert time.monotonic() < deadline, relay.log_tail()
        used = exact_cpu_seconds(relay.pid())
        time.sleep(1)


def drain_part(relay, sink, figures, queued):
    """The rate and the cost of messages while it drains, from a moment when it is at it."""
    part, begun = min(DRAINED, queued // 2), 0
    if queued > WHOLE:
        # The look for damage behind the start is no cost of a message.
        relay.command("upstream", "disable", "sink")
        until_idle(relay)
        begun = sink.count()
        relay.command("upstream", "enable", "sink")
    wait_until(lambda: sink.count() >= begun + min(part, queued // 4), 300, relay.log_tail)
    before, cpu, started = sink.count(), exact_cpu_seconds(relay.pid()), time.monotonic()
    wait_until(lambda: sink.count() >= before + part, 600, relay.log_tail)
    done = sink.count() - before
    figures["drain"] = done / (time.monotonic() - started)
    figures["drain_cpu"] = 1000 * (exact_cpu_seconds(relay.pid()) - cpu) / done


def at_rest(relay, figures):
    """What it costs to hold the queue, and to take more, while nothing can be sent."""
    relay.command("upstream", "disable", "sink")
    time.sleep(3)
    figures["rest"] = memory(relay.pid())
    figures["list"] = timed(lambda: relay.command("queue", "list"))
    figures["status"] = timed(lambda: relay.command("status"))
    seconds = timed(lambda: subprocess.run(Clear().source(relay.port, ACCEPTED), check=True, timeout=600)) / 1000
    figures["accept"] = ACCEPTED.messages / seconds


def drain_all(relay, sink, figures, queued):
    """Sends the rest, and waits a minute at most for the files to become small."""
    relay.command("upstream", "enable", "sink")
    # The first message and those of `at_rest` are in it. Whoever asks the relay meanwhile costs it something.
    wait_until(lambda: sink.count() >= queued + 1 + ACCEPTED.messages, 60 + queued / 100, relay.log_tail)
    relay.wait_empty(60)
    deadline = time.monotonic() + 60
    while size_of(relay.data) > 64 and time.monotonic() < deadline:
        time.sleep(1)
    figures["empty"] = size_of(relay.data)


def measure(queued, chosen):
    """All figures of one size of the queue."""
    folder = chosen.folder / str(queued)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sink, figures = Sink(folder), {}
    relay = Relay(folder / "relay", CONFIG.format(port=sink.port), top=f"history_days = {chosen.history_days}")
    try:
        subprocess.run([os.environ["FILL_BIN"], "--data-dir", relay.data, "--messages", str(queued), "--octets", str(OCTETS)],
                       check=True, timeout=3600)
        figures["full"] = size_of(relay.data)
        start(relay, sink, figures)
        with Peak(relay.pid()) as peak:
            drain_part(relay, sink, figures, queued)
            at_rest(relay, figures)
            if queued <= WHOLE or chosen.whole:
                drain_all(relay, sink, figures, queued)
        figures["peak"] = peak.highest
        assert relay.terminate(60) == 0, relay.log_tail()
    finally:
        relay.close()
        sink.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def main():
    # Whoever ends it gets the clean-up as well: no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = argparse.ArgumentParser(prog="benches/scale/run")
    words.add_argument("--queued", type=lambda text: [int(word) for word in text.split(",")], default=SIZES,
                       help=f"how many messages, apart by commas, instead of {SIZES}")
    words.add_argument("--whole", action="store_true", help=f"drains also what is more than {WHOLE} to its end")
    words.add_argument("--history-days", type=int, default=30, help="as in the configuration; 0 shows the files without a history")
    words.add_argument("--json", type=Path, help="writes the figures there as well")
    words.add_argument("--folder", type=Path, required=True, help="where the queue is, on the disk to measure")
    chosen = words.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(chosen.folder), "octets": OCTETS, "queued": {}}
    print(sentence(report["machine"]) + "\n")
    print("| queued | " + " | ".join(title for _, title, _ in COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1), flush=True)
    for queued in chosen.queued:
        figures = report["queued"][queued] = measure(queued, chosen)
        cells = [f"{figures[key]:,.{digits}f}" if key in figures else "" for key, _, digits in COLUMNS]
        print(f"| {queued:,} | " + " | ".join(cells) + " |", flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
