"""Every way to log in, at a Dovecot: mail arrives; `auto` takes the strongest; a wrong password keeps the mail."""

import smtplib

import pytest

from authorization_server import APPLICATION
from dovecot import PASSWORD, USER
from messages import SAMPLES
from sign_in import NAME, by_secret, sign_in, upstream

PASSWORDS = {"auto": "SCRAM-SHA-256", "plain": "PLAIN", "login": "LOGIN", "cram-md5": "CRAM-MD5", "scram-sha-256": "SCRAM-SHA-256"}
TOKENS = {"auto": "OAUTHBEARER", "xoauth2": "XOAUTH2", "oauthbearer": "OAUTHBEARER"}


def send(relay):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])


def by_password(dovecot, folder, auth, password=PASSWORD, more=""):
    secret = folder / "password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    return upstream("dovecot", dovecot, USER, f'password = {{ file = "{secret}" }}\nauth = "{auth}"\n{more}')


@pytest.mark.parametrize("auth", PASSWORDS)
def test_a_password_logs_in(auth, start_relay, dovecot, tmp_path):
    relay = start_relay(by_password(dovecot, tmp_path, auth))
    send(relay)
    [arrival] = dovecot.wait_mail()
    assert arrival.recipients == ["customer@elsewhere.example"] and b"a line." in arrival.content
    assert dovecot.methods() == [PASSWORDS[auth]] and not dovecot.refusals()


@pytest.mark.parametrize("auth", TOKENS)
def test_a_token_logs_in(auth, start_relay, dovecot, authorization_server, tmp_path):
    login = f'oauth = "{NAME}"\nauth = "{auth}"'
    application = sign_in(authorization_server, "client_credentials", by_secret(tmp_path))
    relay = start_relay(upstream("dovecot", dovecot, APPLICATION, login) + application)
    send(relay)
    dovecot.wait_mail()
    assert dovecot.methods() == [TOKENS[auth]] and not dovecot.refusals()


@pytest.mark.parametrize("auth", [name for name in PASSWORDS if name != "auto"])
def test_a_wrong_password_keeps_the_mail_and_says_what_to_do(auth, start_relay, dovecot, tmp_path):
    relay = start_relay(by_password(dovecot, tmp_path, auth, password="wrong", more="disable_after = 1"))
    send(relay)
    [stopped] = relay.wait_event("upstream_disabled")
    assert stopped["level"] == "ERROR" and "password" in stopped["reason"] + stopped.get("action", ""), stopped
    assert "535" in relay.wait_event("deferred")[0]["reply"]
    assert dovecot.refusals() and set(dovecot.refusals()) == {PASSWORDS[auth]}
    assert not dovecot.methods() and not dovecot.sink.arrivals and relay.queued() == 1
    shown = relay.command("status", "--check", check=False)
    assert shown.returncode == 1 and "password" in shown.stdout, shown.stdout
    # The right one, and the mail goes.
    (tmp_path / "password").write_text(PASSWORD + "\n")
    relay.command("reload")
    dovecot.wait_mail()
    relay.wait_empty()
