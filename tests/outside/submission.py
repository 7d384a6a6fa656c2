"""Clients of other families that log in over TLS, each told in its own way to send one letter."""

import json
import os
import smtplib
import ssl
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

from relay import target_folder

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Login:
    """Where a client goes, and as whom. `mode` is starttls or implicit; `ca` the only authority that it trusts."""

    port: int
    mode: str
    mechanism: str
    user: str
    password: str
    ca: str


@dataclass(frozen=True)
class Letter:
    """What it hands in: addresses of the envelope's sender, of From, and of Sender if there is such a field."""

    reverse_path: str
    author: str
    sender: str | None = None
    recipients: list = field(default_factory=lambda: ["customer@elsewhere.example"])
    subject: str = "An invoice"
    text: str = "Please pay."

    def content(self):
        lines = [f"From: {self.author}", f"To: {', '.join(self.recipients)}", f"Subject: {self.subject}"]
        if self.sender:
            lines.append(f"Sender: {self.sender}")
        return "\r\n".join([*lines, "", self.text, ""]).encode()


@dataclass(frozen=True)
class Outcome:
    """Whether the client believes that it is done, and all that it said."""

    sent: bool
    words: str


def run(words, given=b"", **environment):
    done = subprocess.run(
        words, input=given, capture_output=True, timeout=120, check=False, env=os.environ | environment
    )
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    return Outcome(done.returncode == 0, f"{said}\nstatus {done.returncode}")


def with_swaks(login, letter, folder):
    file = folder / "message"
    # swaks wants LF.
    file.write_bytes(letter.content().replace(b"\r\n", b"\n"))
    tls = "--tls" if login.mode == "starttls" else "--tls-on-connect"
    return run([
        "swaks", "--server", "127.0.0.1", "--port", str(login.port), "--helo", "client.test", tls, "--tls-verify",
        "--tls-ca-path", login.ca, "--auth", login.mechanism, "--auth-user", login.user, "--auth-password", login.password,
        "--from", letter.reverse_path, "--to", ",".join(letter.recipients), "--data", f"@{file}", "--suppress-data",
    ])


def with_msmtp(login, letter, folder):
    secret = folder / "secret"
    secret.write_text(login.password + "\n")
    words = [
        "msmtp", "--file=/dev/null", "--host=localhost", f"--port={login.port}", "--tls=on",
        f"--tls-starttls={'on' if login.mode == 'starttls' else 'off'}", f"--tls-trust-file={login.ca}",
        f"--auth={login.mechanism.lower()}", f"--user={login.user}", f"--passwordeval=cat {secret}",
        f"--from={letter.reverse_path}", "--set-from-header=off", "--timeout=60", "--", *letter.recipients,
    ]
    return run(words, letter.content().replace(b"\r\n", b"\n"))


def with_curl(login, letter, folder):
    scheme = "smtp" if login.mode == "starttls" else "smtps"
    words = [
        "curl", "--silent", "--show-error", "--verbose", "--max-time", "60", f"{scheme}://localhost:{login.port}/client.test",
        "--ssl-reqd", "--cacert", login.ca, "--login-options", f"AUTH={login.mechanism}", "--config", "-",
        "--mail-from", letter.reverse_path, "--upload-file", str(folder / "message"),
    ]
    (folder / "message").write_bytes(letter.content())
    for recipient in letter.recipients:
        words += ["--mail-rcpt", recipient]
    return run(words, f"user = {json.dumps(f'{login.user}:{login.password}')}\n".encode())


def with_smtplib(login, letter, folder):
    context = ssl.create_default_context(cafile=login.ca)
    try:
        if login.mode == "implicit":
            client = smtplib.SMTP_SSL("localhost", login.port, timeout=60, context=context)
        else:
            client = smtplib.SMTP("localhost", login.port, timeout=60)
        with client:
            if login.mode == "starttls":
                client.starttls(context=context)
            client.ehlo()
            client.user, client.password = login.user, login.password
            client.auth(login.mechanism, getattr(client, f"auth_{login.mechanism.lower()}"))
            client.sendmail(letter.reverse_path, letter.recipients, letter.content())
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(False, repr(error))
    return Outcome(True, "")


def order(login, letter):
    return json.dumps(asdict(login) | asdict(letter)).encode()


def with_nodemailer(login, letter, folder):
    modules = str(target_folder() / "outside-node" / "node_modules")
    return run(["node", str(HERE / "node" / "send.js")], order(login, letter), NODE_PATH=modules)


def with_phpmailer(login, letter, folder):
    return run(["php", str(HERE / "php" / "send.php")], order(login, letter))


CLIENTS = {
    "swaks": with_swaks, "msmtp": with_msmtp, "curl": with_curl, "smtplib": with_smtplib, "nodemailer": with_nodemailer,
    "phpmailer": with_phpmailer,
}

# What each says when it is told 535.
LOGIN_DENIED = {
    "swaks": "No authentication type succeeded", "msmtp": "authentication failed", "curl": "Login denied",
    "smtplib": "SMTPAuthenticationError(535", "nodemailer": "EAUTH 535 Invalid login", "phpmailer": "Could not authenticate",
}
