"""Test mode as the upstream sees it: no original recipient in any RCPT or address field, whatever happens later."""

import smtplib
from email import message_from_bytes

import pytest

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


@pytest.mark.feature(10)
def test_redirect(start_relay, sink):
    relay = start_relay(SWITCH + upstream_to(sink.port))
    submit(relay)
    relay.wait_empty()
    assert len(sink.arrivals) == 1, "one copy for each message"
    assert_redirected(sink.arrivals[0])
    event = relay.wait_event("sent")[0]
    assert event["to"] == TEST and all(address in str(event["original_to"]) for address in ORIGINAL)


@pytest.mark.feature(11)
def test_a_person_decides_about_each_mail(start_relay, sink):
    """Still testing, or for real: each mail waits for that answer, over a restart as well."""
    relay = start_relay(SWITCH.replace("redirect", "hold") + upstream_to(sink.port))
    for _ in range(3):
        submit(relay)
    relay.terminate()
    relay.start()
    waiting = relay.queue()
    assert [mail["waiting_for"] for mail in waiting] == ["release"] * 3 and not sink.arrivals
    still, real, never = (mail["queue_id"] for mail in waiting)
    relay.command("queue", "release", still, "--to", "test")
    wait_until(lambda: len(sink.arrivals) == 1, 30, lambda: f"the test: {relay.log_tail()}")
    assert_redirected(sink.arrivals[0])
    relay.command("queue", "release", real, "--to", "recipients")
    wait_until(lambda: len(sink.arrivals) == 2, 30, lambda: f"the mail: {relay.log_tail()}")
    arrival = sink.arrivals[1]
    assert sorted(arrival.recipients) == sorted(ORIGINAL)
    assert message_from_bytes(arrival.content)["Subject"] == "A letter" and b"X-Mailsluice-Original" not in arrival.content
    relay.command("queue", "delete", never)
    relay.wait_empty()
    assert len(sink.arrivals) == 2
    assert {event["queue_id"] for event in relay.events("released")} == {still, real}


@pytest.mark.feature(10)
def test_one_program_is_tried_while_others_go_on(start_relay, sink):
    """By its user, or by a rule; its copies go nowhere else either."""
    users = '[[user]]\nname = "trial"\npassword = "x"\ntest = true\n[[user]]\nname = "erp"\npassword = "x"\n'
    rule = '[[rule]]\nname = "new-shop"\nwhen = { header = "X-Shop", matches = "." }\ntest = true\n[[rule]]\nname = "archive"\n'
    copies = 'add_bcc = ["archive@elsewhere.example"]\nadd_cc = ["clerk@elsewhere.example"]\n'
    config = f'auth = "optional"\n{SWITCH.replace("true", "false")}{upstream_to(sink.port)}{users}{rule}{copies}'
    relay = start_relay(config)
    for count, (user, field, is_test) in enumerate([("trial", b"", True), ("erp", b"", False), ("erp", b"X-Shop: new\r\n", True)], 1):
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.login(user, "x")
            client.sendmail("office@firm.example", ORIGINAL, compose(b"text\r\n", field))
        wait_until(lambda wanted=count: len(sink.arrivals) == wanted, 30, lambda: f"the mail: {relay.log_tail()}")
        arrival = sink.arrivals[-1]
        if is_test:
            assert arrival.recipients == [TEST], (user, arrival.recipients)
            for name, value in message_from_bytes(arrival.content).items():
                assert name.lower().startswith("x-mailsluice-original-") or "elsewhere.example" not in value, (name, value)
        else:
            assert sorted(arrival.recipients) == sorted([*ORIGINAL, "archive@elsewhere.example", "clerk@elsewhere.example"])
    relay.wait_empty()
    assert [event.get("test_mode") for event in relay.events("accepted")] == ["redirect", None, "redirect"]


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
