"""Test mode as the upstream sees it: no original recipient in any RCPT or address field, whatever happens later."""

import smtplib
from email import message_from_bytes

from conftest import upstream_to
from messages import compose
from network import wait_until

TEST = "test@firm.example"
ORIGINAL = ["customer@elsewhere.example", "second@elsewhere.example", "hidden@elsewhere.example"]
SWITCH = f'[test_mode]\nenabled = true\naction = "redirect"\naddress = "{TEST}"\n'
QUICK_RETRY = '[queue]\nretry_min = "1s"\nretry_max = "2s"\n'


def submit(relay):
    content = compose(
        b"text\r\n", b"cC: Second <second@elsewhere.example>,\r\n \"x\" <third@elsewhere.example>\r\nBCC: hidden@elsewhere.example\r\n"
        b"Resent-To: customer@elsewhere.example\r\nTO: again@elsewhere.example\r\n"
        b'X-SMTPAPI: {"to": ["customer@elsewhere.example"]}\r\nX-MC-BccAddress: hidden@elsewhere.example\r\n'
        b"Disposition-Notification-To: office@firm.example\r\nX-Shop: <mailto:x?to=second%40elsewhere.example>\r\n"
        b"Reply-To: customer@elsewhere.example\r\n",
    )
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.sendmail("office@firm.example", ORIGINAL, content)


def assert_redirected(arrival):
    assert arrival.recipients == [TEST]
    message = message_from_bytes(arrival.content)
    for name in ("To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"):
        assert "elsewhere.example" not in " ".join(str(v) for v in message.get_all(name, [])).lower(), name
    assert message.get_all("Bcc") is None
    for name, value in message.items():
        if not name.lower().startswith("x-mailsluice-original-"):
            assert "elsewhere.example" not in value, (name, value)
    for name in ("X-SMTPAPI", "X-MC-BccAddress", "Disposition-Notification-To", "X-Shop", "Reply-To"):
        assert message[name] is None and message[f"X-Mailsluice-Original-{name}"], name
    assert message["Subject"] == "[TEST] A letter"
    kept = " ".join(message["X-Mailsluice-Original-Recipients"].split())
    assert all(address in kept for address in ORIGINAL)
    assert "customer@elsewhere.example" in " ".join(message.get_all("X-Mailsluice-Original-To"))
    assert "third@elsewhere.example" in " ".join(message.get_all("X-Mailsluice-Original-Cc"))


def test_redirect(start_relay, sink):
    relay = start_relay(SWITCH + upstream_to(sink.port))
    submit(relay)
    relay.wait_empty()
    assert len(sink.arrivals) == 1, "one copy for each message"
    assert_redirected(sink.arrivals[0])
    event = relay.wait_event("sent")[0]
    assert event["to"] == TEST and all(address in str(event["original_to"]) for address in ORIGINAL)


def test_the_mode_stays_with_the_message(start_relay, sink):
    """Deferred in test mode; then a crash, and the switch goes off in the command and in the file: still the test address."""
    sink.answer = lambda envelope: "451 4.3.0 later"
    relay = start_relay(QUICK_RETRY + SWITCH + upstream_to(sink.port))
    submit(relay)
    relay.wait_event("deferred")
    relay.kill()
    relay.start()
    relay.command("test-mode", "off")
    assert relay.command("test-mode", "status")["enabled"] is False
    relay.wait_event("deferred", 2)
    relay.terminate()
    relay.write(QUICK_RETRY + SWITCH.replace("true", "false") + upstream_to(sink.port))
    relay.start()
    sink.answer = None
    for entry in relay.queue():
        relay.command("queue", "retry", entry["queue_id"])
    wait_until(lambda: sink.arrivals, 30, lambda: f"the message: {relay.log_tail()}")
    relay.wait_empty()
    assert len(sink.arrivals) == 1
    assert_redirected(sink.arrivals[0])
    sink.arrivals.clear()
    submit(relay)
    relay.wait_empty()
    assert sorted(sink.arrivals[0].recipients) == sorted(ORIGINAL), "what is sent now is for real"
