"""Measures one contender under one load."""

import shutil
import subprocess
import time

from network import wait_until
from processes import Peak, cpu_seconds, memory, written

LIMIT = 600


class Loopback:
    """No relay: the client hands its messages straight to the sink. What it reaches is the limit for every relay."""

    title = "bare loopback"


def measure(contender, folder, way, load):
    """One contender with an empty queue under one load. Returns the figures and what TLS agreed on."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sink = way.sink(folder)
    try:
        if contender is Loopback:
            source = getattr(way, "source_to_sink", way.source)
            figures, agreed = run(source(sink.port, load), sink, load, str)
        else:
            figures, agreed = measure_relay(contender(folder / "relay", sink.port, way), way, load, sink)
    finally:
        sink.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return figures, agreed


def measure_relay(relay, way, load, sink):
    relay.start()
    try:
        time.sleep(1)
        idle, cpu_before, written_before = memory(relay.pid()), cpu_seconds(relay.pid()), written(relay.pid())
        with Peak(relay.pid()) as peak:
            figures, agreed = run(way.source(relay.port, load), sink, load, relay.log)
        # What was sent is still to be recorded and removed from the queue; that work belongs to the messages, too.
        time.sleep(1.5)
        figures["cpu"] = 1000 * (cpu_seconds(relay.pid()) - cpu_before) / load.messages
        figures["written"] = (written(relay.pid()) - written_before) / 1024 / load.messages
        assert sink.count() == load.messages, f"{sink.count()} messages at the sink instead of {load.messages}"
        return figures | {"idle": idle, "peak": peak.highest, "after": memory(relay.pid())}, agreed
    finally:
        relay.stop()


def run(words, sink, load, log):
    """The client's command until the sink has counted everything."""
    started = time.monotonic()
    source = subprocess.run(words, check=False, timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    accepted = time.monotonic() - started
    said = source.stdout.decode(errors="replace").strip()
    assert source.returncode == 0, f"{' '.join(map(str, words))}: {said[-500:]}\n{log()[-3000:]}"
    wait_until(lambda: sink.count() >= load.messages, LIMIT, lambda: f"{load.messages} at the sink: {sink.count()}\n{log()[-3000:]}")
    delivered = time.monotonic() - started
    figures = {"accepted": load.messages / accepted, "delivered": load.messages / delivered}
    return figures, f"in {said.removeprefix('tls=')}; out {sink.agreed()}" if sink.agreed() else None
