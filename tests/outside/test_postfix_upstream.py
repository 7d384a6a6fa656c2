"""The six-line configuration: a real Postfix as upstream, STARTTLS with its own authority, AUTH by each mechanism."""

import re
import smtplib

import pytest

from messages import BY_POSTFIX, SAMPLES, assert_same, compose
from postfix import PASSWORD, USER

SENDER, CUSTOMER = "office@firm.example", "customer@elsewhere.example"


def six_lines(postfix, folder, auth="auto"):
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    return (
        '[[upstream]]\nname = "postfix"\nhost = "localhost"\n'
        f'port = {postfix.port}\nuser = "{USER}"\npassword = {{ file = "{secret}" }}\n'
        f'ca_file = "{postfix.ca_file}"\nauth = "{auth}"\n'
    )


def send(relay, content, recipients=(CUSTOMER,)):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail(SENDER, list(recipients), content)


@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram-md5"])
def test_mail_arrives_over_starttls_with_auth(auth, start_relay, postfix, tmp_path):
    relay = start_relay(six_lines(postfix, tmp_path, auth))
    before = len(postfix.log())
    for name in ("plain", "eight-bit", "dots", "attachment"):
        postfix.clear()
        send(relay, SAMPLES[name])
        assert_same(SAMPLES[name], postfix.wait_for(1)[0], BY_POSTFIX)
    sent = relay.wait_event("sent", 4)[0]
    assert sent["reply"].startswith("250 2.0.0") and sent["to"] == CUSTOMER and sent["upstream"] == "postfix"
    log = postfix.log()[before:]
    mechanism = {"auto": "PLAIN"}.get(auth, auth.upper())
    assert re.search(rf"sasl_method={mechanism}, sasl_username={USER}", log), log[-3000:]
    assert "TLS connection established" in log
    assert PASSWORD not in relay.log_file.read_text() + relay.errors()


def test_a_wrong_password_keeps_the_mail(start_relay, postfix, tmp_path):
    config = six_lines(postfix, tmp_path)
    (tmp_path / "password").write_text("wrong\n")
    relay = start_relay(config)
    send(relay, SAMPLES["plain"])
    event = relay.wait_event("deferred")[0]
    assert "535" in event["reply"], event
    assert relay.queued() == 1 and not postfix.messages()


def test_an_unknown_authority_keeps_the_mail(start_relay, postfix, tmp_path):
    config = "".join(line for line in six_lines(postfix, tmp_path).splitlines(True) if not line.startswith("ca_file"))
    relay = start_relay(config)
    before = len(postfix.log())
    send(relay, SAMPLES["plain"])
    event = relay.wait_event("deferred")[0]
    assert "ca_file" in str(event), f"the log should name the way out: {event}"
    assert "sasl_method" not in postfix.log()[before:], "no password without a verified server"
    assert relay.queued() == 1 and not postfix.messages()


def test_mail_waits_for_a_postfix_that_is_away(start_relay, postfix, tmp_path):
    relay = start_relay(six_lines(postfix, tmp_path))
    postfix.stop()
    try:
        for number in range(5):
            send(relay, compose(b"text\r\n", number=number))
        relay.wait_event("deferred")
        assert relay.queued() == 5
    finally:
        postfix.start_again()
    # One that gets through makes all the others due at once; so the later ones may be gone before they are named here.
    relay.command("queue", "retry", relay.queue()[0]["queue_id"])
    relay.wait_empty()
    assert len(postfix.wait_for(5)) == 5


def test_an_unknown_recipient_becomes_a_report(start_relay, postfix, tmp_path):
    """Postfix refuses one recipient for good: the sender gets a report, the other recipient the mail."""
    relay = start_relay(six_lines(postfix, tmp_path))
    send(relay, SAMPLES["plain"], [CUSTOMER, "nobody@refused.example"])
    found = postfix.wait_for(2)
    report = next(m for m in found if b"multipart/report" in m)
    assert re.search(rb"^Final-Recipient: rfc822; ?nobody@refused\.example", report, re.MULTILINE), report.decode()
    assert re.search(rb"^Action: failed", report, re.MULTILINE)
    assert re.search(rb"^Return-Path: <>", report, re.MULTILINE)
    assert re.search(rb"^X-Original-To: office@firm\.example", report, re.MULTILINE)
    relay.wait_event("bounced", to="nobody@refused.example")
    relay.wait_empty()
    totals = relay.command("status")["totals"]
    gone = sum(totals[key] for key in ("sent", "bounced", "expired", "dropped", "captured", "deleted", "queued"))
    assert totals["accepted"] + totals["generated"] == gone == 3


def test_direct_mode_tells_what_postfix_says(start_relay, postfix, tmp_path):
    """One recipient is refused at RCPT in Postfix's words, the other's mail is answered in Postfix's words."""
    relay = start_relay('[queue]\nmode = "direct"\n' + six_lines(postfix, tmp_path))
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.ehlo()
        assert client.mail(SENDER)[0] == 250
        assert client.rcpt(CUSTOMER)[0] == 250
        code, text = client.rcpt("nobody@refused.example")
        assert code == 550 and text.startswith(b"5.1.1 <nobody@refused.example>"), text
        assert b"no such user here" in text
        code, text = client.data(SAMPLES["dots"])
    taken = re.fullmatch(rb"2\.0\.0 Ok: queued as (\w+)", text)
    assert code == 250 and taken, text
    assert_same(SAMPLES["dots"], postfix.wait_for(1)[0], BY_POSTFIX)
    assert taken[1].decode() in postfix.log(), "it is the id by which Postfix knows it"
    assert relay.queued() == 0
    sent = relay.wait_event("sent", to=CUSTOMER)[0]
    assert sent["reply"] == f"250 2.0.0 Ok: queued as {taken[1].decode()}"
    rejected = relay.wait_event("rejected", to="nobody@refused.example")[0]
    assert rejected["reply"].startswith("550 5.1.1 ") and rejected["reason"] == "upstream"
    totals = relay.command("status")["totals"]
    assert (totals["accepted"], totals["sent"], totals["queued"]) == (1, 1, 0)
