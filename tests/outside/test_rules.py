"""The recipes of docs/rules.md, taken from the text, run end to end: a real client, a recording upstream."""

import json
import re
import smtplib
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from conftest import upstream_to
from network import wait_until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
OWN, BUYER = "anna@firm.example", "buyer@example.org"


def recipe(heading):
    """The configuration below a heading."""
    section = DOCUMENT.read_text().split(f"### {heading}", 1)[1]
    return re.search(r"```toml\n(.*?)```", section, re.DOTALL).group(1)


def letter(**fields):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = OWN, BUYER, "R-1"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("text\n")
    return message


def hand_in(relay, message, to=BUYER):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.send_message(message, from_addr=OWN, to_addrs=[to])


def arrived(sink, count=1):
    wait_until(lambda: len(sink.arrivals) >= count, 20, "the mail has arrived")
    arrival = sink.arrivals[count - 1]
    return arrival, message_from_bytes(arrival.content)


@pytest.mark.feature(19)
def test_the_sender_is_that_of_the_kind_of_document(start_relay, sink):
    user = f'[[user]]\nname = "anna"\npassword = "x"\nsenders = ["{OWN}"]\ndefault_sender = "{OWN}"\n'
    config = 'auth = "optional"\n' + upstream_to(sink.port) + user + recipe("The sender by the kind")
    relay = start_relay(config)
    office, accounting = "sales@firm.example", "invoices@firm.example"
    kinds = [("offer", office), ("order", office), ("invoice", accounting), ("reminder", accounting), ("receipt", accounting), (None, OWN)]
    for count, (kind, sender) in enumerate(kinds, 1):
        hand_in(relay, letter(X_Document_Type=kind) if kind else letter())
        arrival, message = arrived(sink, count)
        assert arrival.sender == sender and sender in message["From"], kind
        assert message["X-Document-Type"] is None and arrival.recipients == [BUYER]
    # A program that knows no sender at all: else it is the address of the user who has logged in.
    for count, (kind, sender) in enumerate([("invoice", accounting), (None, OWN)], len(kinds) + 1):
        message = letter(X_Document_Type=kind) if kind else letter()
        del message["From"]
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.login("anna", "x")
            client.sendmail(OWN, [BUYER], message.as_bytes())
        arrival, got = arrived(sink, count)
        assert arrival.sender == sender and sender in got["From"], kind


@pytest.mark.feature(18)
def test_documents_are_copied_to_the_archive(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("A copy of every document"))
    document = letter()
    document.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="Rechnung für März.PDF")
    for count, (message, copied) in enumerate([(letter(X_Document_Type="offer"), True), (document, True), (letter(), False)], 1):
        hand_in(relay, message)
        arrival, seen = arrived(sink, count)
        assert sorted(arrival.recipients) == sorted([BUYER] + ["archive@firm.example"] * copied)
        assert b"archive@firm.example" not in arrival.content and seen["To"] == BUYER
    relay.wait_empty()
    totals = relay.command("status")["totals"]
    assert (totals["accepted"], totals["generated"], totals["sent"]) == (3, 2, 5)


@pytest.mark.feature(21)
def test_the_clerk_in_charge_sees_what_goes_out_as_somebody_else(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("The clerk in charge"))
    for count, (clerk, copied) in enumerate([("Bob <bob@firm.example>", ["bob@firm.example"]), (OWN.upper(), [])], 1):
        hand_in(relay, letter(X_Clerk=clerk))
        arrival, message = arrived(sink, count)
        assert sorted(arrival.recipients) == sorted([BUYER, *copied])
        assert message.get_all("Cc", []) == copied and message["X-Clerk"] is None


def zone_where_it_is(hour):
    """A time zone whose clock shows this hour now."""
    ahead = (hour - datetime.now(UTC).hour + 11) % 24 - 11
    return f'timezone = "Etc/GMT{-ahead:+d}"'


def test_mass_mail_waits_for_the_night(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("Mass mail at night"), top=zone_where_it_is(12))
    hand_in(relay, letter(Precedence="bulk"))
    hand_in(relay, letter())
    arrived(sink)
    [waiting] = relay.queue()
    assert (waiting["waiting_for"], waiting["to"][0]["attempts"]) == ("schedule", 0)
    shown = relay.command("queue", "show", waiting["queue_id"])
    assert shown["rules"] == ["night"] and "not before 22:00" in shown["ruled"]
    assert shown["waits"][0]["state"] == "scheduled"
    # Each is told by the clock of its moment.
    told = [datetime.fromisoformat(text) for text in (shown["waits"][0]["next"], waiting["next_attempt"])]
    assert abs(told[0] - told[1]) < timedelta(seconds=1), told
    relay.command("queue", "retry", waiting["queue_id"])
    arrived(sink, 2)


def test_mass_mail_goes_at_once_in_the_night(start_relay, sink):
    for count, hour in enumerate((23, 2), 1):
        relay = start_relay(upstream_to(sink.port) + recipe("Mass mail at night"), top=zone_where_it_is(hour))
        hand_in(relay, letter(Precedence="bulk"))
        arrived(sink, count)
        [accepted] = relay.wait_event("accepted")
        assert accepted["rules"] == "night", "it is the rule's, and goes all the same"


def test_external_recipients_only_for_some(start_relay, sink, tmp_path):
    user = '[[user]]\nname = "erp"\npassword = "x"\n'
    relay = start_relay('auth = "optional"\n' + upstream_to(sink.port) + user + recipe("External recipients only"))
    try:
        hand_in(relay, letter())
        raise AssertionError("it must be refused")
    except smtplib.SMTPDataError as refused:
        assert refused.smtp_code == 550 and b"external recipients are not for you" in refused.smtp_error
    [line] = relay.wait_event("rejected")
    assert (line["reason"], line["rule"]) == ("rule", "inside-only")
    hand_in(relay, letter(), "bob@firm.example")
    arrived(sink)
    file = tmp_path / "letter.eml"
    file.write_bytes(bytes(letter()))
    for user, refused in ([], True), (["--user", "erp"], False):
        told = relay.command("explain", str(file), "--from", OWN, "--to", BUYER, *user)
        assert {"rules", "upstream", "from", "recipients", "copies", "dkim", "limits"} <= told.keys(), json.dumps(told)
        assert (told["rejected"] is not None) == refused and told["rejected_by"] == ("inside-only" if refused else None)
        assert refused or (told["upstream"], told["from"], told["recipients"]) == ("sink", OWN, [BUYER])
