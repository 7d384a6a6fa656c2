"""Whoever reads the log may stall, or go: mail goes on, and what is missing is told."""

import json
import os
import select
import signal
import smtplib
import subprocess
import threading
import time
from pathlib import Path

import pytest

from conftest import upstream_to
from messages import SAMPLES
from network import wait_until
from relay import Relay, binary, clean_environment

CAPTURE = '[[upstream]]\nname = "box"\nkind = "capture"\n'
# Long lines: what waits in the relay and in the pipe is less than what a few thousand messages say.
DOMAIN = f"{'b' * 60}.{'c' * 60}.{'d' * 60}.example"
SENDER, RECIPIENT = f"{'s' * 60}@{DOMAIN}", f"{'r' * 60}@{DOMAIN}"
CLIENTS, MESSAGES = 4, 3000
# What a pipe takes that nobody reads (64 KiB), and then some: a message has more than 1 KiB of lines.
ENOUGH_TO_FILL_THE_PIPE = 200
# Messages whose lines it takes.
FITS_INTO_THE_PIPE = 20


class PipedRelay(Relay):
    """A relay whose stdout is a pipe, which is read only when the test does."""

    merge_stderr = False

    def launch(self):
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.unread = b""
        with self.error_file.open("ab") as err:
            self.process = subprocess.Popen(
                [binary(), "run", "--config", str(self.file)],
                stdin=subprocess.DEVNULL, stdout=writer, stderr=writer if self.merge_stderr else err,
                env=clean_environment(), start_new_session=True,
            )
        os.close(writer)

    def read_lines(self, seconds):
        """What the log says until it is silent for so long; each line must be one JSON object."""
        while select.select([self.reader], [], [], seconds)[0] and (octets := os.read(self.reader, 1 << 20)):
            self.unread += octets
        *lines, self.unread = self.unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def stop_reading(self):
        os.close(self.reader)
        self.reader = None

    def close(self):
        super().close()
        if getattr(self, "reader", None) is not None:
            self.stop_reading()


@pytest.fixture
def piped_relay(tmp_path):
    relays = []

    def start(config, merge_stderr=False, **options):
        relay = PipedRelay(tmp_path / f"relay{len(relays)}", config, **options)
        relay.merge_stderr = merge_stderr
        relays.append(relay)
        return relay.start()

    yield start
    for relay in relays:
        relay.close()


def send(relay, count):
    """Sends so many messages over a few connections; each is accepted, or this fails."""
    failures = []

    def client(messages):
        try:
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as connection:
                for _ in range(messages):
                    assert connection.sendmail(SENDER, [RECIPIENT], SAMPLES["plain"]) == {}
        except (OSError, smtplib.SMTPException, AssertionError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(count // CLIENTS,)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures and not any(thread.is_alive() for thread in threads), failures


def captured(relay):
    return relay.command("status")["totals"]["captured"]


def cpu_seconds(relay):
    fields = Path(f"/proc/{relay.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_reader_that_stalls_holds_up_no_mail(piped_relay):
    relay = piped_relay(CAPTURE)
    send(relay, MESSAGES)
    wait_until(lambda: captured(relay) == MESSAGES, 60, lambda: f"all captured: {relay.command('status')}")
    lines = relay.read_lines(2)
    lost = [line for line in lines if line["event"] == "log_lost"]
    assert lost and {line["level"] for line in lost} == {"WARN"}, [line["event"] for line in lines[-10:]]
    told = len(lines) - len(lost) + sum(line["lines"] for line in lost)
    # An accepted and a captured for each; and started, and perhaps another few.
    assert 2 * MESSAGES < told < 2 * MESSAGES + 20, (len(lines), lost)
    # It is read again: nothing more is lost.
    send(relay, 40)
    wait_until(lambda: captured(relay) == MESSAGES + 40, 60, "all captured")
    events = [line["event"] for line in relay.read_lines(2)]
    assert events.count("accepted") == events.count("captured") == 40 and "log_lost" not in events


def test_the_end_does_not_wait_for_a_reader_that_stalls(piped_relay):
    relay = piped_relay(CAPTURE)
    send(relay, ENOUGH_TO_FILL_THE_PIPE)
    started = time.monotonic()
    assert relay.terminate() == 0
    took = time.monotonic() - started
    assert took < 5, f"{took:.1f} s"


def test_nor_does_the_end_at_once_that_is_told_on_stderr(piped_relay, sink):
    sink.delay = 60
    relay = piped_relay(upstream_to(sink.port), merge_stderr=True, top='shutdown_grace = "60s"')
    send(relay, 2 * ENOUGH_TO_FILL_THE_PIPE)
    relay.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert relay.process.poll() is None, "something is under way"
    relay.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert relay.process.wait(20) == 1
    took = time.monotonic() - started
    assert took < 8, f"{took:.1f} s"


def test_the_last_lines_are_written(piped_relay):
    relay = piped_relay(CAPTURE)
    send(relay, FITS_INTO_THE_PIPE)
    wait_until(lambda: captured(relay) == FITS_INTO_THE_PIPE, 60, "all captured")
    assert relay.terminate() == 0
    events = [line["event"] for line in relay.read_lines(1)]
    assert events.count("captured") == FITS_INTO_THE_PIPE and events[-1] == "stopped", events[-5:]


def test_when_nobody_reads_any_more_the_relay_goes_on(piped_relay):
    relay = piped_relay(CAPTURE)
    relay.stop_reading()
    send(relay, 40)
    wait_until(lambda: captured(relay) == 40, 60, "all captured")
    before = cpu_seconds(relay)
    time.sleep(2)
    assert cpu_seconds(relay) - before < 0.5, "it spins"
    assert relay.terminate() == 0
