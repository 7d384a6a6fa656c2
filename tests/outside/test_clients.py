"""Programs that people use hand their mail in; what arrives at the upstream is what they sent."""

import smtplib
import socket
import subprocess

import pytest

from conftest import upstream_to
from messages import SAMPLES, assert_same, attachment, compose
from network import wait_until

SENDER, CUSTOMER = "office@firm.example", "customer@elsewhere.example"


def run(words, content=b"", check=True):
    done = subprocess.run(words, input=content, capture_output=True, timeout=120, check=False)
    if check:
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:] + done.stderr.decode(errors="replace")
    return done


def with_swaks(relay, content, recipients, folder):
    file = folder / "message"
    # swaks wants LF, and stuffs the dots itself.
    file.write_bytes(content.replace(b"\r\n", b"\n"))
    return run(["swaks", "--server", f"127.0.0.1:{relay.port}", "--from", SENDER, "--to", ",".join(recipients),
                "--data", f"@{file}", "--suppress-data", "--helo", "client.test"], check=False).returncode


def with_curl(relay, content, recipients, folder):
    words = ["curl", "--silent", "--show-error", "--max-time", "60", f"smtp://127.0.0.1:{relay.port}/client.test",
             "--mail-from", SENDER, "--upload-file", "-", "--mail-rcpt-allowfails"]
    for recipient in recipients:
        words += ["--mail-rcpt", recipient]
    return run(words, content, check=False).returncode


def with_msmtp(relay, content, recipients, folder):
    words = ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={relay.port}", "--auth=off", "--tls=off",
             f"--from={SENDER}", "--set-from-header=off", "--set-date-header=off", "--timeout=60", "--", *recipients]
    return run(words, content.replace(b"\r\n", b"\n"), check=False).returncode


def with_smtplib(relay, content, recipients, folder):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        refused = client.sendmail(SENDER, recipients, content, mail_options=["BODY=8BITMIME"])
    return len(refused)


CLIENTS = {"swaks": with_swaks, "curl": with_curl, "msmtp": with_msmtp, "smtplib": with_smtplib}


def arrived(sink, count):
    wait_until(lambda: len(sink.arrivals) >= count, 30, lambda: f"{count} messages at the sink, {len(sink.arrivals)} are there")
    return sink.arrivals


@pytest.mark.parametrize("client", CLIENTS)
def test_every_sample_arrives_as_the_client_sent_it(client, relay_to_sink, sink, tmp_path):
    """Clients differ in how they end a message, so what each one really sends is taken down by the sink first."""
    for name, content in (SAMPLES | {"large": attachment(2 << 20)}).items():
        sink.arrivals.clear()
        assert CLIENTS[client](sink, content, [CUSTOMER], tmp_path) == 0, name
        assert CLIENTS[client](relay_to_sink, content, [CUSTOMER], tmp_path) == 0, name
        direct, relayed = arrived(sink, 2)
        assert content.rstrip(b".\r\n") in direct.content, f"{client} does not send {name} as it is"
        assert (relayed.sender, relayed.recipients) == (SENDER, [CUSTOMER])
        assert_same(direct.content, relayed.content)


@pytest.mark.parametrize("client", CLIENTS)
def test_one_bad_recipient_does_not_harm_the_others(client, relay_to_sink, sink, tmp_path):
    relay_to_sink.command("blacklist", "add", "gone@elsewhere.example", "--reason", "moved away")
    recipients = ["one@elsewhere.example", "Gone@Elsewhere.example", "two@elsewhere.example"]
    status = CLIENTS[client](relay_to_sink, SAMPLES["plain"], recipients, tmp_path)
    if client == "msmtp":
        # msmtp gives up when one recipient is refused; then nothing may have been taken.
        assert status != 0
        assert relay_to_sink.queued() == 0 and not sink.arrivals
    else:
        assert sorted(to for got in arrived(sink, 1) for to in got.recipients) == ["one@elsewhere.example", "two@elsewhere.example"]
    rejected = relay_to_sink.wait_event("rejected")
    assert "moved away" in rejected[0]["reply"] and rejected[0]["to"].lower() == "gone@elsewhere.example"


def test_many_recipients_are_split_and_each_gets_one(start_relay, sink):
    relay = start_relay(upstream_to(sink.port, "[upstream.limits]\nrecipients_per_message = 40"))
    recipients = [f"r{n}@elsewhere.example" for n in range(150)]
    assert with_smtplib(relay, SAMPLES["plain"], recipients, None) == 0
    wait_until(lambda: sum(len(a.recipients) for a in sink.arrivals) >= 150, 30, "150 recipients")
    assert max(len(a.recipients) for a in sink.arrivals) <= 40
    assert sorted(to for a in sink.arrivals for to in a.recipients) == sorted(recipients)


def test_bcc_goes_and_missing_fields_come(relay_to_sink, sink):
    content = b"From: office@firm.example\r\nTo: x@elsewhere.example\r\nBcc: secret@elsewhere.example,\r\n other@elsewhere.example\r\nSubject: s\r\n\r\ntext\r\n"
    assert with_smtplib(relay_to_sink, content, [CUSTOMER, "secret@elsewhere.example"], None) == 0
    got = arrived(sink, 1)[0].content
    assert b"secret@" not in got and b"other@" not in got
    assert got.lower().count(b"\r\ndate: ") == 1 and got.lower().count(b"\r\nmessage-id: <") == 1
    assert got.endswith(b"\r\n\r\ntext\r\n")


def test_a_null_byte_is_refused(relay_to_sink):
    with pytest.raises(smtplib.SMTPDataError) as refused:
        with_smtplib(relay_to_sink, compose(b"a\0b\r\n"), [CUSTOMER], None)
    assert refused.value.smtp_code == 554


def test_a_second_message_cannot_be_smuggled_in(relay_to_sink, sink):
    """Each end-of-data lookalike stays inside the one message; what follows is never a command."""
    lookalikes = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r",
                  b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\r\n.\r", b"\r\r\n.\n", b"\r\r.\r\n", b"\r\n\0.\r\n"]
    for lookalike in lookalikes:
        sink.arrivals.clear()
        body = b"one" + lookalike + b"MAIL FROM:<evil@firm.example>\r\nRCPT TO:<victim@elsewhere.example>\r\nDATA\r\nSubject: two\r\n\r\n"
        replies = raw_session(relay_to_sink.port, compose(body + b"x\r\n.\r\n"))
        assert replies.count(b"queued as") == (0 if b"\0" in lookalike else 1), (lookalike, replies)
        relay_to_sink.wait_empty()
        for got in sink.arrivals:
            assert got.recipients == [CUSTOMER], lookalike
            assert b"\n" not in got.content.replace(b"\r\n", b"") and b"\r" not in got.content.replace(b"\r\n", b"")
        assert len(sink.arrivals) == (0 if b"\0" in lookalike else 1), lookalike


def raw_session(port, content):
    """One transaction with the octets of `content` as they stand (its end of data included); returns all replies."""
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.settimeout(20)
        stream = line.makefile("rb")
        got = stream.readline()
        for command in (b"HELO client.test", b"MAIL FROM:<office@firm.example>", b"RCPT TO:<customer@elsewhere.example>", b"DATA"):
            line.sendall(command + b"\r\n")
            got += stream.readline()
        assert got.splitlines()[-1].startswith(b"354"), got
        line.sendall(content + b"QUIT\r\n")
        return got + stream.read()
