"""The graceful end, and one relay for each data_dir."""

import re
import signal
import smtplib
import subprocess
import time

import pytest

from conftest import upstream_to
from crash import Load
from messages import SAMPLES
from relay import Relay, binary, clean_environment


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_under_load_loses_and_doubles_nothing(signal_number, start_relay, sink):
    sink.keep = False
    relay = start_relay(upstream_to(sink.port))
    load = Load(relay.port).start()
    time.sleep(2)
    started = time.monotonic()
    relay.process.send_signal(signal_number)
    status = relay.process.wait(15)
    took = time.monotonic() - started
    load.stop()
    assert status == 0, relay.errors() + relay.log_tail()
    assert took < 10, f"longer than shutdown_grace: {took:.1f} s"
    assert [relay.events(name) != [] for name in ("started", "stopping", "stopped")] == [True] * 3
    assert len(load.acknowledged) > 20
    relay.start()
    relay.wait_empty()
    assert not load.acknowledged - sink.numbers.keys(), "acknowledged and lost"
    assert max(sink.numbers.values()) == 1, "sent twice though nothing crashed"


def test_an_upstream_that_does_not_answer_is_left_within_the_grace(start_relay, sink):
    sink.delay = 60
    relay = start_relay(upstream_to(sink.port), top='shutdown_grace = "2s"')
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])
    time.sleep(0.5)
    started = time.monotonic()
    assert relay.terminate() == 0
    assert time.monotonic() - started < 5
    sink.delay = 0
    relay.start()
    relay.command("queue", "retry", "--all", check=False)
    relay.wait_empty()
    relay.wait_event("sent")


def test_an_idle_client_does_not_hold_up_the_end(start_relay, sink):
    relay = start_relay(upstream_to(sink.port))
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=20)
    client.ehlo("client.test")
    started = time.monotonic()
    assert relay.terminate() == 0
    assert time.monotonic() - started < 5
    assert client.docmd("NOOP")[0] == 421
    client.close()


def test_a_second_relay_on_the_same_data_refuses_to_start(start_relay, sink):
    first = start_relay(upstream_to(sink.port))
    second = Relay(first.folder / "second", upstream_to(sink.port))
    second.file.write_text(re.sub('^data_dir = .*', f'data_dir = "{first.data}"', second.file.read_text(), flags=re.M))
    done = subprocess.run(
        [binary(), "run", "--config", str(second.file)],
        capture_output=True, text=True, timeout=30, env=clean_environment(), check=False,
    )
    assert done.returncode == 1, done
    assert str(first.data) in done.stderr + done.stdout
    assert first.queued() == 0, "the first one still answers"
