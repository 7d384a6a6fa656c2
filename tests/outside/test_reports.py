"""Reports to senders, read by Python's email package and by the bounce detectors of Mailman (flufl.bounce)."""

import email
import email.policy

import pytest
from flufl.bounce import all_failures

from messages import SAMPLES
from test_postfix_upstream import CUSTOMER, SENDER, send, six_lines

OPERATOR = "postmaster@firm.example"
GONE = ("nobody@refused.example", "other@refused.example")
SUBJECTS = {
    "en": {
        "failed": "Your message could not be delivered",
        "delayed": "Your message is delayed",
        "copy": "Copy: Your message could not be delivered",
        "words": ("to these 2 recipients:", "This mailbox does not exist.", "Check the address"),
        "late": ("You need do nothing: it is tried again until",),
    },
    "de": {
        "failed": "Ihre Nachricht konnte nicht zugestellt werden",
        "delayed": "Die Zustellung Ihrer Nachricht verzögert sich",
        "copy": "Kopie: Ihre Nachricht konnte nicht zugestellt werden",
        "words": ("diesen 2 Empfängern", "Dieses Postfach gibt es nicht.", "Prüfen Sie die Adresse"),
        "late": ("Sie brauchen nichts zu tun", "erhalten Sie Bescheid."),
    },
}


def parsed(content):
    report = email.message_from_bytes(content, policy=email.policy.default)
    for part in report.walk():
        assert not part.defects, (part.get_content_type(), part.defects)
    return report


def for_whom(reports, address):
    found = [report for report in reports if report["X-Original-To"] == address]
    assert len(found) == 1, [(report["X-Original-To"], report["Subject"]) for report in reports]
    return found[0]


def parts_of(report, language):
    """The three parts: what people read, the blocks of fields, and the original."""
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert report["Return-Path"] == "<>" and report["Auto-Submitted"] == "auto-replied"
    words, status, original = report.iter_parts()
    assert words.get_content_type() == "text/plain" and words["Content-Language"] == language
    assert status.get_content_type() == "message/delivery-status"
    message, *recipients = status.get_payload()
    assert message["Reporting-MTA"].startswith("dns; ") and message["Arrival-Date"]
    text = " ".join(words.get_content().split())
    return text, recipients, original


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_failure_is_understood_by_people_and_programs(language, start_relay, postfix, tmp_path):
    config = f'[queue]\nbounce_copy_to = "{OPERATOR}"\n'
    relay = start_relay(config + six_lines(postfix, tmp_path), top=f'language = "{language}"\n')
    postfix.clear()
    send(relay, SAMPLES["plain"], [CUSTOMER, *GONE])
    reports = [parsed(found) for found in postfix.wait_for(3) if b"multipart/report" in found]
    assert len(reports) == 2
    report, copy = for_whom(reports, SENDER), for_whom(reports, OPERATOR)
    wanted = SUBJECTS[language]
    assert (report["Subject"], copy["Subject"]) == (wanted["failed"], wanted["copy"])
    for message, kind in ((report, "message/rfc822"), (copy, "text/rfc822-headers")):
        text, recipients, original = parts_of(message, language)
        for words in wanted["words"]:
            assert words in text, (words, text)
        assert [each["Final-Recipient"] for each in recipients] == [f"rfc822; {address}" for address in GONE]
        for each in recipients:
            assert (each["Action"], each["Status"]) == ("failed", "5.1.1"), dict(each)
            assert each["Diagnostic-Code"].startswith("smtp; 550 5.1.1 "), dict(each)
            # The reply stands in the text word for word.
            assert each["Diagnostic-Code"].removeprefix("smtp; ") in text
        assert original.get_content_type() == kind
        assert all_failures(message) == (set(), {address.encode() for address in GONE})
    relay.wait_empty()


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_delay_is_understood_and_told_once(language, start_relay, postfix, tmp_path):
    config = f'[queue]\nwarn_after = "1s"\nbounce_copy_to = "{OPERATOR}"\n'
    relay = start_relay(config + six_lines(postfix, tmp_path), top=f'language = "{language}"\n')
    postfix.clear()
    postfix.stop()
    try:
        send(relay, SAMPLES["plain"], [CUSTOMER])
        relay.wait_event("report", seconds=90)
    finally:
        postfix.start_again()
    relay.command("queue", "retry", "--all")
    [report] = [parsed(found) for found in postfix.wait_for(2) if b"multipart/report" in found]
    wanted = SUBJECTS[language]
    assert report["Subject"] == wanted["delayed"] and report["X-Original-To"] == SENDER
    text, [recipient], original = parts_of(report, language)
    for words in wanted["late"]:
        assert words in text, (words, text)
    assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.0.0") and recipient["Will-Retry-Until"]
    assert original.get_content_type() == "text/rfc822-headers"
    assert all_failures(report) == ({CUSTOMER.encode()}, set())
    relay.wait_empty()
