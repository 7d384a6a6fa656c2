"""Programs that ask for SMTPUTF8 though nothing of theirs needs it, and an upstream that has never heard of it."""

import os
import subprocess
from pathlib import Path

import pytest

from conftest import upstream_to
from network import wait_until
from sink import Sink

SOURCE = Path(__file__).parent / "go" / "send.go"


@pytest.fixture(scope="session")
def go_send(tmp_path_factory):
    """The Go program, built from the standard library alone."""
    folder = tmp_path_factory.mktemp("go")
    surroundings = os.environ | {"GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"),
                                 "CGO_ENABLED": "0"}
    done = subprocess.run(["go", "build", "-o", str(folder / "send"), str(SOURCE)], env=surroundings, capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    def send(port, sender, recipients, content):
        words = [str(folder / "send"), f"127.0.0.1:{port}", sender, ",".join(recipients)]
        done = subprocess.run(words, input=content, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    return send


@pytest.fixture
def old_sink():
    upstream = Sink(smtputf8=False).start()
    yield upstream
    upstream.stop()


def arrived(sink, count):
    wait_until(lambda: len(sink.arrivals) >= count, 30, lambda: f"{count} messages at the sink, {len(sink.arrivals)} are there")
    return sink.arrivals


def test_a_go_program_is_served_by_an_upstream_without_smtputf8(go_send, start_relay, old_sink):
    relay = start_relay(upstream_to(old_sink.port))
    content = b"From: office@firm.example\r\nTo: customer@elsewhere.example\r\nSubject: An invoice\r\n\r\nHello\r\n"
    go_send(relay.port, "office@firm.example", ["customer@elsewhere.example", "copy@elsewhere.example"], content)
    got = arrived(old_sink, 1)[0]
    assert (got.sender, got.recipients) == ("office@firm.example", ["customer@elsewhere.example", "copy@elsewhere.example"])
    assert "SMTPUTF8" not in got.options and got.content.endswith(b"Subject: An invoice\r\n\r\nHello\r\n"), got


def test_international_domains_and_texts_of_a_go_program_go_in_ascii(go_send, start_relay, old_sink):
    relay = start_relay(upstream_to(old_sink.port))
    content = ("From: Müller <info@müller.test>\r\nTo: Jörg <customer@straße.test>\r\nSubject: Grüße\r\n"
               "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHällo\r\n").encode()
    go_send(relay.port, "info@müller.test", ["customer@straße.test", "jörg@elsewhere.example"], content)
    mail, report = sorted(arrived(old_sink, 2), key=lambda got: got.sender == "<>")
    assert (mail.sender, mail.recipients) == ("info@xn--mller-kva.test", ["customer@xn--strae-oqa.test"])
    head, body = mail.content.split(b"\r\n\r\n", 1)
    assert head.isascii() and b"<info@xn--mller-kva.test>" in head and b"<customer@xn--strae-oqa.test>" in head, head
    assert body.decode() == "Hällo\r\n"
    # The local part alone has no other form: its recipient bounces, and the report arrives.
    assert (report.sender, report.recipients) == ("<>", ["info@xn--mller-kva.test"])
    assert report.content.isascii() and b"Status: 5.6.7" in report.content, report.content
