"""Delivery reports of a real Postfix, as they lie in a Maildir: what `blacklist learn` takes of them."""

import mailbox
import smtplib
import tempfile
from pathlib import Path

import pytest

from network import wait_until
from postfix import MAIN, MASTER, Postfix, with_values
from sink import Sink

SENDER = "office@firm.example"
REPLIES = {
    "gone": "550 5.1.1 <gone@remote.example>: Recipient address rejected: User unknown",
    "full": "552 5.2.2 <full@remote.example>: mailbox full",
    "spam": "554 5.7.1 refused as spam",
    "bare": "550 no such user",
    "null": "556 5.1.10 the domain takes no mail",
}


class RefusingSink(Sink):
    """Refuses recipients as `REPLIES` says by their local part."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = REPLIES.get(address.split("@")[0], "250 2.1.5 OK")
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply


class BouncingPostfix(Postfix):
    """Takes all mail from this machine, has one mailbox, sends remote.example on to a sink, and bounces the rest."""

    master = MASTER + "smtp unix - - n - - smtp\n"

    def __init__(self, home, sink_port):
        super().__init__(home)
        self.main = with_values(MAIN, {
            "virtual_mailbox_domains": "firm.example",
            "virtual_mailbox_maps": "inline:{{ {{office@firm.example = inbox/}} }}",
            "virtual_alias_maps": "inline:{{ {{sales@firm.example = gone@remote.example}} }}",
            "smtpd_reject_unlisted_recipient": "no",
            "smtpd_sasl_auth_enable": "no",
            "smtpd_tls_security_level": "none",
            "smtp_tls_security_level": "none",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "transport_maps": f"inline:{{{{ {{{{remote.example = smtp:[127.0.0.1]:{sink_port}}}}} }}}}",
        })


@pytest.fixture
def bouncing():
    sink = RefusingSink().start()
    with tempfile.TemporaryDirectory(prefix="mailsluice-bounces-", dir="/tmp") as folder:
        server = BouncingPostfix(Path(folder) / "instance", sink.port)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            sink.stop()


def send(server, *recipients):
    with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as client:
        client.sendmail(SENDER, list(recipients), b"Subject: An invoice\r\n\r\nvictim@remote.example\r\n")


def test_reports_of_postfix_are_read(start_relay, sink, bouncing, tmp_path):
    relay = start_relay(f'[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {sink.port}\nsecurity = "none"\n')
    relay.command("blacklist", "add", "nobody@firm.example", "--reason", "by hand")
    remote = [f"{name}@remote.example" for name in ("fine", *REPLIES)]
    send(bouncing, *remote, "nobody@firm.example", "unknown@firm.example")
    send(bouncing, "sales@firm.example")
    # One report for each agent that has failed, and one for the alias.
    bouncing.wait_for(2)
    failed = lambda: {
        line.split(":")[1].strip()
        for content in bouncing.messages() for line in content.decode().splitlines()
        if line.startswith("Final-Recipient:")
    }
    wait_until(lambda: len(failed()) >= len(REPLIES) + 2, 30, lambda: f"{failed()} {bouncing.log()[-2000:]}")
    maildir = bouncing.mailbox.parent
    want = {
        "gone@remote.example": "added",
        "null@remote.example": "added",
        "full@remote.example": "passed_over",
        "spam@remote.example": "passed_over",
        "bare@remote.example": "passed_over",
        "unknown@firm.example": "added",
        "nobody@firm.example": "kept",
        "sales@firm.example": "passed_over",
    }
    planned = {one["recipient"]: one["done"] for one in relay.command("blacklist", "learn", "--dry-run", str(maildir))}
    assert planned == {to: "passed_over" if done == "passed_over" else "would_add" for to, done in want.items()}
    assert [entry["address"] for entry in relay.command("blacklist", "list")] == ["nobody@firm.example"]

    found = relay.command("blacklist", "learn", str(maildir))
    assert {one["recipient"]: one["done"] for one in found} == want, found
    assert all(one["form"] == "standard" for one in found)
    for to, done in want.items():
        done_process = relay.command("blacklist", "check", to, check=False)
        assert done_process.returncode == (1 if done == "passed_over" else 0), to

    # The same from one file with all of them.
    archive = mailbox.mbox(tmp_path / "archive.mbox")
    for content in bouncing.messages():
        archive.add(content)
    archive.close()
    again = relay.command("blacklist", "learn", str(tmp_path / "archive.mbox"))
    assert {one["recipient"]: one["done"] for one in again} == {
        to: "renewed" if done == "added" else done for to, done in want.items()
    }

    # A client of the relay is told so.
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail(SENDER, ["gone@remote.example"], b"Subject: x\r\n\r\nx\r\n")
    code, text = refused.value.recipients["gone@remote.example"]
    assert code == 550 and b"is on the blacklist" in text and b"5.1.1" in text
