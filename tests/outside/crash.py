"""Kills the relay with SIGKILL at random moments under load, again and again, and counts what became of every message.

    python3 tests/outside/crash.py --rounds 200

Several clients submit numbered messages all the time, the upstream (aiosmtpd) records every number it takes. A message
counts as acknowledged when the client has read the 250 after the final dot. After the last restart the queue is left to
empty itself. Then: every acknowledged number has arrived at least once, and no more numbers have arrived twice than
transactions could have been open at the kills (the limit of upstream connections for each kill).
"""

import random
import smtplib
import time

from by_hand import by_hand
from clients import Clients
from messages import compose
from network import close_quietly
from relay import Relay
from sink import Sink

CLIENTS = 6
UPSTREAM_CONNECTIONS = 8


class Load(Clients):
    """Clients that submit for as long as they are let, through every crash of the relay."""

    def __init__(self, port, clients=CLIENTS, seed=1, pause=0.0):
        super().__init__(port, clients, seed, 60)
        self.acknowledged = set()
        self.pause = pause

    def _submit(self, client, chance):
        connection, count = None, 0
        while not self.ending.is_set():
            count += 1
            number = f"{client}-{count}"
            # Some are stored in the database, some in files of their own (over 64 KiB they stream).
            size = chance.choice([200, 2_000, 10_000, 40_000, 90_000])
            content = compose((b"x" * 70 + b"\r\n") * (size // 72 + 1), number=number)
            with self.lock:
                self.tried += 1
            try:
                if connection is None:
                    connection = smtplib.SMTP("127.0.0.1", self.port, timeout=20)
                    connection.ehlo("client.test")
                connection.sendmail("office@firm.example", [f"r{number}@elsewhere.example"], content)
                with self.lock:
                    self.acknowledged.add(number)
            except (OSError, smtplib.SMTPException):
                connection = close_quietly(connection)
                time.sleep(0.02)
            if self.pause:
                time.sleep(self.pause)
        close_quietly(connection)


CONFIG = """
[queue]
retry_min = "1s"
retry_max = "2s"
[[upstream]]
name = "sink"
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
connections = {connections}
"""


def rounds(folder, count, seed, wrapper=(), say=lambda text: None):
    """Runs that many kills and returns (load, sink, relay) with the queue empty again."""
    chance = random.Random(seed)
    sink = Sink(delay=0.002, keep=False).start()
    relay = Relay(folder, CONFIG.format(port=sink.port, connections=UPSTREAM_CONNECTIONS), wrapper)
    load = Load(relay.port, seed=seed).start()
    try:
        for number in range(1, count + 1):
            relay.launch()
            # From kills during recovery to kills in full swing.
            time.sleep(chance.choice([0.02, 0.1, 0.3, 1.0]) + chance.random())
            assert relay.process.poll() is None, f"round {number}: the relay ended by itself: {relay.errors()}{relay.log_tail()}"
            relay.kill()
            say(f"round {number}: {len(load.acknowledged)} acknowledged, {sum(sink.numbers.values())} arrived")
            trim(relay)
        load.stop()
        relay.start(60)
        # The sink takes a hundred a second even on a slow machine; what the kills have left over must all get there.
        relay.wait_empty(180 + relay.queued() / 100)
        assert relay.terminate() == 0
    finally:
        load.ending.set()
        relay.close()
        sink.stop()
    return load, sink


def trim(relay):
    """Keeps the log of the last round only; 200 rounds write a good deal."""
    if relay.log_file.stat().st_size > 50 << 20:
        relay.log_file.write_bytes(b"")


def verdict(load, sink, kills):
    """The faults found, and the figures."""
    arrived = dict(sink.numbers)
    lost = sorted(load.acknowledged - arrived.keys())
    repeated = sum(times - 1 for times in arrived.values())
    allowed = kills * UPSTREAM_CONNECTIONS
    faults = []
    if lost:
        faults.append(f"{len(lost)} acknowledged messages are lost: {lost[:10]}")
    if repeated > allowed:
        faults.append(f"{repeated} duplicates, more than the {allowed} transactions that can have been open")
    if len(load.acknowledged) < kills:
        faults.append(f"only {len(load.acknowledged)} messages were acknowledged: that tests nothing")
    figures = (
        f"{kills} kills, {load.tried} tried, {len(load.acknowledged)} acknowledged, {len(arrived)} arrived, "
        f"{len(lost)} lost, {repeated} duplicates (at most {allowed} allowed), "
        f"{len(arrived.keys() - load.acknowledged)} arrived without the client having read its 250"
    )
    return faults, figures


def main():
    def run(folder, count, seed, say):
        load, sink = rounds(folder, count, seed, say=say)
        return verdict(load, sink, count)

    by_hand(__doc__, "crash", 200, run)


if __name__ == "__main__":
    main()
