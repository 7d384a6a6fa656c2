#!/usr/bin/env python3
"""What a relay does all day, for a build that measures itself: starts at rest, and mail in and out, in clear text and over TLS.

    train.py BINARY             a minute
    train.py BINARY --brief     each once and little of it, to see that it works

One relay takes mail from smtplib and sends it to a second one of the same binary, which captures it, so that both halves of a
session are there. Nothing but Python and openssl is needed. The binary says by itself where its profile goes.
"""

import json
import os
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from email.message import EmailMessage
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "outside"))
from network import free_port, wait_until
from relay import clean_environment

STARTS = 3
REST_SECONDS = 4
# Sessions at a time, messages of each, octets of each body.
LOADS = [(1, 300, 10_000), (20, 150, 10_000), (100, 30, 10_000), (4, 5, 5_000_000)]
PATIENCE_SECONDS = 300
# A command that only asks has no part in the profile.
UNMEASURED = clean_environment() | {"LLVM_PROFILE_FILE": "/dev/null"}

RECEIVER = """
hostname = "receiver.example"
data_dir = "data"
[[listener]]
address = "127.0.0.1:{port}"
tls = "starttls"
certificate = "../server.pem"
key = "../server.key"
[session]
max_connections_per_client = 1000
[[upstream]]
name = "kept"
kind = "capture"
"""
SENDER = """
hostname = "relay.example"
data_dir = "data"
[[listener]]
address = "127.0.0.1:{clear}"
[[listener]]
address = "127.0.0.1:{encrypted}"
tls = "starttls"
certificate = "../server.pem"
key = "../server.key"
[session]
max_connections_per_client = 1000
[[dkim]]
domain = "firm.example"
selector = "s1"
key = {{ file = "../dkim.pem" }}
[[upstream]]
name = "receiver"
host = "localhost"
port = {receiver}
security = "starttls"
ca_file = "../ca.pem"
"""


def make_keys(folder):
    """The certificates that the configurations name, and the key that signs."""
    make_certificates = Path(__file__).parents[2] / "certs" / "make-dev-certs"
    subprocess.run([make_certificates, folder], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "dkim.pem"], check=True)
    os.chmod(folder / "dkim.pem", 0o600)


class Relay:
    """A relay with a folder of its own, from its start to its orderly end, at which it writes its profile."""

    def __init__(self, binary, folder, config, under=()):
        self.folder, self.under = folder, under
        folder.mkdir()
        (folder / "mailsluice.toml").write_text(config)
        self.words = [binary, "--config", str(folder / "mailsluice.toml")]

    def __enter__(self):
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.under, *self.words, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment()
            )
        wait_until(lambda: self.process.poll() is not None or self.waiting() is not None, PATIENCE_SECONDS, self.log)
        if self.process.poll() is not None:
            sys.exit(self.log())
        return self

    def log(self):
        return (self.folder / "log").read_text()

    def waiting(self):
        """How many messages it has, or `None` while it does not answer."""
        done = subprocess.run([*self.words, "--json", "status"], capture_output=True, env=UNMEASURED, timeout=60)
        answer = json.loads(done.stdout or "{}")
        return answer["queued"] if answer.get("running") else None

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE_SECONDS) != 0:
            sys.exit(self.log())


def hand_in(port, trust, count, octets):
    """A session that hands in messages."""
    message = EmailMessage()
    message["From"], message["To"] = "office@firm.example", "customer@elsewhere.example"
    message["Subject"] = "An invoice"
    message.set_content("A line of an invoice, as a program writes it.\n" * (octets // 46))
    with smtplib.SMTP("localhost", port, timeout=PATIENCE_SECONDS) as session:
        if trust:
            session.starttls(context=trust)
        for _ in range(count):
            session.send_message(message)


def load(port, trust, sessions, count, octets):
    failed = []

    def one():
        try:
            hand_in(port, trust, count, octets)
        except (OSError, smtplib.SMTPException) as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"{len(failed)} of {sessions} sessions failed: {failed[0]!r}")


def main():
    binary, *options = sys.argv[1:] or sys.exit(__doc__)
    if options not in ([], ["--brief"]):
        sys.exit(__doc__)
    binary, part = os.path.abspath(binary), 10 if options else 1
    with tempfile.TemporaryDirectory(prefix="mailsluice-training-") as folder:
        folder = Path(folder)
        make_keys(folder)
        trust = ssl.create_default_context(cafile=folder / "ca.pem")
        for number in range(STARTS if part == 1 else 1):
            port = free_port()
            with Relay(binary, folder / f"rest{number}", RECEIVER.format(port=port)):
                time.sleep(REST_SECONDS)
        receiver, clear, encrypted = free_port(), free_port(), free_port()
        config = SENDER.format(clear=clear, encrypted=encrypted, receiver=receiver)
        with (
            Relay(binary, folder / "receiver", RECEIVER.format(port=receiver)),
            Relay(binary, folder / "sender", config) as sender,
        ):
            for port, context in [(clear, None), (encrypted, trust)]:
                for sessions, count, octets in LOADS:
                    count = max(1, count // part)
                    load(port, context, sessions, count, octets)
                    wait_until(lambda: sender.waiting() == 0, PATIENCE_SECONDS, sender.log)
                    print(f"sessions {sessions}, messages of each {count}, octets of each {octets}: sent", flush=True)


if __name__ == "__main__":
    main()
