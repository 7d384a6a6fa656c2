"""A limit in real time, seen by the upstream, across a kill -9. (The long windows run on a driven clock in Rust.)"""

import smtplib

import pytest

from conftest import upstream_to
from messages import compose
from network import wait_until

LIMIT = 5


@pytest.mark.timeout(180)
def test_no_minute_holds_more_than_the_limit(start_relay, sink):
    relay = start_relay(upstream_to(sink.port, f"[upstream.limits]\nper_minute = {{ messages = {LIMIT} }}"))
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        for number in range(2 * LIMIT):
            client.sendmail("office@firm.example", ["customer@elsewhere.example"], compose(b"text\r\n", number=number))
    wait_until(lambda: len(sink.arrivals) >= LIMIT, 20, "the first ones")
    relay.wait_event("limit_reached")
    relay.kill()
    relay.start()
    wait_until(lambda: {entry["waiting_for"] for entry in relay.queue()} == {"limit"}, 5, lambda: f"waiting_for: {relay.queue()}")
    waiting = relay.queue()
    assert len(waiting) == LIMIT
    assert {to["attempts"] for entry in waiting for to in entry["to"]} == {0}, "waiting must not use up attempts"
    wait_until(lambda: len(sink.arrivals) >= 2 * LIMIT, 100, lambda: f"the second window: {relay.log_tail()}")
    times = sorted(arrival.at for arrival in sink.arrivals)
    for early, late in zip(times, times[LIMIT:]):
        assert late - early >= 60, f"more than {LIMIT} within {late - early:.2f} s"
    assert times[-1] - times[0] < 90, "the window opened late"
    # Said once per change, not per message: before the kill, after it, and when mail went again.
    assert len(relay.wait_event("limit_reached")) == 2
    assert len(relay.wait_event("limit_open")) == 1
    shown = [line for line in relay.command("limits", "show") if line["window"] == "minute"]
    assert [line["upstream"] for line in shown] == ["sink"]
    assert shown[0]["messages"] == {"used": LIMIT, "limit": LIMIT}
