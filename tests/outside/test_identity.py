"""As whom mail goes, as the account windows of mail programs have it: sender name, sender address, reply-to and greeting name of
each server. Real clients, and upstreams that record what they are told."""

import email.policy
import smtplib
import subprocess
from email.parser import BytesParser

import pytest

from conftest import upstream_to
from network import wait_until
from sink import Sink

CUSTOMER = "customer@elsewhere.example"
SENDER = '[upstream.sender]\nname = "Müller, Söhne"\naddress = "office@firm.example"\nreply_to = "Service <service@firm.example>"\n'


def arrived(sink, count):
    wait_until(lambda: len(sink.arrivals) >= count, 30, lambda: f"{count} messages at the sink, {len(sink.arrivals)} are there")
    return sink.arrivals


def parsed(arrival):
    return BytesParser(policy=email.policy.default).parsebytes(arrival.content)


def with_smtplib(relay, sender, header, recipients=(CUSTOMER,), subject="An invoice"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail(sender, list(recipients), f"{header}X-Any:  a\tb\r\nSubject: {subject}\r\n\r\nHello\r\n")


def with_swaks(relay, *words):
    command = ["swaks", "--server", "127.0.0.1", "--port", str(relay.port), "--helo", "box.local", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def second_sink():
    upstream = Sink().start()
    yield upstream
    upstream.stop()


@pytest.mark.feature(4)
def test_the_sender_of_a_server_fills_in_what_a_message_lacks(start_relay, sink):
    relay = start_relay(upstream_to(sink.port, SENDER))
    with_smtplib(relay, "root@box.local", "To: Customer  <customer@elsewhere.example>\r\n", subject="own")
    with_smtplib(relay, "office@firm.example", "From: office@firm.example\r\n", subject="nameless")
    header = "From: Jane  <jane@firm.example>\r\nReply-To: jane@home.example\r\n"
    with_smtplib(relay, "jane@firm.example", header, subject="other")
    # The null reverse-path stays; a message without an author still gets one.
    with_smtplib(relay, "", "To: customer@elsewhere.example\r\n", subject="null")
    by_subject = {parsed(arrival)["Subject"]: arrival for arrival in arrived(sink, 4)}
    own, nameless, other, null = (by_subject[subject] for subject in ("own", "nameless", "other", "null"))
    for arrival in (own, nameless, null):
        mail = parsed(arrival)
        author = mail["From"].addresses[0]
        assert (author.display_name, author.addr_spec) == ("Müller, Söhne", "office@firm.example"), arrival
        assert mail["Reply-To"].addresses[0].addr_spec == "service@firm.example"
        assert b"From: =?utf-8?" in arrival.content and b"X-Any:  a\tb\r\n" in arrival.content
    assert own.sender == nameless.sender == "office@firm.example"
    assert null.sender in ("", "<>", None)
    assert b"To: Customer  <customer@elsewhere.example>\r\n" in own.content
    assert other.sender == "jane@firm.example"
    assert b"From: Jane  <jane@firm.example>\r\nReply-To: jane@home.example\r\n" in other.content


@pytest.mark.feature(4, 16)
def test_each_server_has_its_own_sender_and_its_own_greeting(start_relay, sink, second_sink):
    always = '[upstream.sender]\nname = "Firm Ltd"\naddress = "office@firm.example"\nwhen = "always"\n'
    config = upstream_to(sink.port, f'ehlo = "mail.firm.example"\ndefault = true\n{always}')
    config += upstream_to(second_sink.port, 'filter = ["shop.example"]\n').replace('"sink"', '"shop"')
    relay = start_relay(config)
    with_swaks(relay, "--from", "jane@other.example", "--to", CUSTOMER, "--h-From", "Jane <jane@other.example>")
    with_swaks(relay, "--from", "root@box.local", "--to", CUSTOMER, "--h-From", "root@box.local")
    with_swaks(relay, "--from", "order@shop.example", "--to", CUSTOMER, "--h-From", "order@shop.example")
    first, second = sorted(arrived(sink, 2), key=lambda arrival: b"root@box" in arrival.content)
    shop = arrived(second_sink, 1)[0]
    for arrival in (first, second):
        assert (arrival.sender, arrival.hello) == ("office@firm.example", "mail.firm.example")
        assert parsed(arrival)["From"] == "Firm Ltd <office@firm.example>"
    # Answers find the author, where anybody can answer there.
    assert parsed(first)["Reply-To"] == parsed(first)["X-Mailsluice-Original-From"] == "Jane <jane@other.example>"
    assert parsed(second)["Reply-To"] is None and parsed(second)["X-Mailsluice-Original-From"] is None
    assert (shop.sender, shop.hello, parsed(shop)["From"]) == ("order@shop.example", "relay.test", "order@shop.example")


def test_mail_of_cron_is_completed_and_routed(start_relay, sink, second_sink):
    config = upstream_to(sink.port, "default = true\n")
    config += upstream_to(second_sink.port, 'filter = ["root@firm.example"]\n').replace('"sink"', '"machines"')
    relay = start_relay(config, top='complete_addresses = "firm.example"')
    with_smtplib(relay, "root", "From: root (Cron Daemon)\r\nTo: admin, \"Boss\" <boss@firm.example>\r\n", ["admin", "postmaster"])
    got = arrived(second_sink, 1)[0]
    assert (got.sender, got.recipients) == ("root@firm.example", ["admin@firm.example", "postmaster@firm.example"])
    assert b"From: root@firm.example (Cron Daemon)\r\nTo: admin@firm.example, \"Boss\" <boss@firm.example>\r\n" in got.content
    assert not sink.arrivals


def test_what_is_missing_is_filled_in_while_the_client_waits(start_relay, sink):
    relay = start_relay(f'[queue]\nmode = "direct"\n{upstream_to(sink.port, SENDER)}')
    with_smtplib(relay, "root@box.local", "To: customer@elsewhere.example\r\n")
    assert sink.arrivals[0].sender == "office@firm.example"
    assert parsed(sink.arrivals[0])["From"].addresses[0].addr_spec == "office@firm.example"
