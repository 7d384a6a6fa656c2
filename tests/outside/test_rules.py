"""The recipes of docs/rules.md, taken from the text, run end to end: a real client, a recording upstream."""

import json
import re
import smtplib
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

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


def test_the_sender_is_that_of_the_kind_of_document(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("The sender by the kind"))
    kinds = [("offer", "sales@firm.example"), ("invoice", "invoices@firm.example"), ("receipt", "invoices@firm.example"), (None, OWN)]
    for count, (kind, sender) in enumerate(kinds, 1):
        hand_in(relay, letter(X_Document_Type=kind) if kind else letter())
        arrival, message = arrived(sink, count)
        assert arrival.sender == sender and sender in message["From"]
        assert message["X-Document-Type"] is None and arrival.recipients == [BUYER]


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


def test_the_clerk_in_charge_sees_what_goes_out_as_somebody_else(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("The clerk in charge"))
    for count, (clerk, copied) in enumerate([("Bob <bob@firm.example>", ["bob@firm.example"]), (OWN.upper(), [])], 1):
        hand_in(relay, letter(X_Clerk=clerk))
        arrival, message = arrived(sink, count)
        assert sorted(arrival.recipients) == sorted([BUYER, *copied])
        assert message.get_all("Cc", []) == copied and message["X-Clerk"] is None


def test_mass_mail_waits_for_the_night(start_relay, sink):
    relay = start_relay(upstream_to(sink.port) + recipe("Mass mail at night"))
    hand_in(relay, letter(Precedence="bulk"))
    hand_in(relay, letter())
    arrived(sink)
    [waiting] = relay.queue()
    assert (waiting["waiting_for"], waiting["to"][0]["attempts"]) == ("schedule", 0)
    shown = relay.command("queue", "show", waiting["queue_id"])
    assert shown["rules"] == ["night"] and "not before 22:00" in shown["ruled"]
    assert shown["waits"][0]["state"] == "scheduled" and shown["waits"][0]["next"][:19] == waiting["next_attempt"][:19]
    relay.command("queue", "retry", waiting["queue_id"])
    arrived(sink, 2)


def test_external_recipients_only_for_some(start_relay, sink, tmp_path):
    user = '[[user]]\nname = "erp"\npassword = "x"\n'
    relay = start_relay('auth = "optional"\n' + upstream_to(sink.port) + user + recipe("External recipients only"))
    try:
        hand_in(relay, letter())
        raise AssertionError("it must be refused")
    except smtplib.SMTPDataError as refused:
        assert refused.smtp_code == 550 and b"external recipients are not for you" in refused.smtp_error
    [line] = relay.wait_event("rejected")
    assert line["reason"] == "rule"
    hand_in(relay, letter(), "bob@firm.example")
    arrived(sink)
    file = tmp_path / "letter.eml"
    file.write_bytes(bytes(letter()))
    for user, refused in ([], True), (["--user", "erp"], False):
        told = relay.command("explain", str(file), "--from", OWN, "--to", BUYER, *user)
        assert {"rules", "upstream", "from", "recipients", "copies", "dkim", "limits"} <= told.keys(), json.dumps(told)
        assert (told["rejected"] is not None) == refused
        assert refused or (told["upstream"], told["from"], told["recipients"]) == ("sink", OWN, [BUYER])
