"""What Microsoft says when it says no, word for word: the remedy stands in `probe`, in the log and in `status`."""

import json
import smtplib

import pytest

from authorization_server import APPLICATION
from messages import SAMPLES
from microsoft import PASSWORD, USER
from network import wait_until
from sign_in import NAME, Connect, by_secret, sign_in, upstream

HOST = "[ZR0P278CA0001.CHEP278.PROD.OUTLOOK.COM 2026-11-26T06:00:00.000Z 08DE0000]"
NO = f"535 5.7.139 Authentication unsuccessful, {{}} {HOST}"

# reply to the login; a word of the remedy
LOGINS = {
    "tenant": (NO.format("SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more "
                         "information."), "Set-TransportConfig"),
    "mailbox": (NO.format("SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more "
                          "information."), "Set-CASMailbox -Identity"),
    "passwords-off": (NO.format("basic authentication is disabled."), "OAuth"),
    "security-defaults": (NO.format("user is locked by your organization's security defaults policy. Contact your administrator."),
                          "security defaults"),
    "conditional-access": (NO.format("the request did not meet the criteria to be authenticated successfully. Contact your "
                                     "administrator."), "conditional access"),
    "passwords-ended": ("550 5.7.30 Basic authentication is not supported for Client Submission.", "OAuth"),
}

# answer of the token endpoint to an application; a word of the remedy
TOKENS = {
    "secret-wrong": ("invalid_client", 7000215, "Invalid client secret provided.", "client_secret"),
    "secret-expired": ("invalid_client", 7000222, "The provided client secret keys for app 'x' are expired.", "expired"),
    "no-application": ("unauthorized_client", 700016, "Application with identifier 'x' was not found in the directory.", "client_id"),
    "no-consent": ("invalid_grant", 65001, "The user or administrator has not consented to use the application.", "consent"),
    "conditional-access": ("invalid_grant", 53003, "Access has been blocked by Conditional Access policies.", "onditional"),
}


def send(relay):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])


def by_password(exchange, folder):
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    return upstream("microsoft365", exchange, USER, f'password = {{ file = "{secret}" }}')


def by_token(exchange, server, folder):
    application = sign_in(server, "client_credentials", by_secret(folder))
    return upstream("microsoft365", exchange, APPLICATION, f'oauth = "{NAME}"') + application


def probe(relay):
    """(exit status, all that it said for people)."""
    done = relay.command("probe", check=False)
    return done.returncode, done.stdout + done.stderr


def assert_told(relay, remedy):
    """The remedy is in the status of the relay, which says that a person is needed."""
    shown = relay.command("status", "--check", check=False)
    assert shown.returncode == 1 and remedy in shown.stdout, shown.stdout
    [message] = relay.queue()
    assert relay.queued() == 1 and message["to"][0]["state"] in ("waiting", "sending"), message


@pytest.mark.parametrize("case", LOGINS)
def test_a_refused_login_says_what_to_do(case, start_relay, exchange, tmp_path):
    reply, remedy = LOGINS[case]
    exchange.refuse(reply)
    relay = start_relay(by_password(exchange, tmp_path))
    status, said = probe(relay)
    assert status == 1 and remedy in said and reply.split(" ")[1] in said, said
    send(relay)
    [stopped] = relay.wait_event("upstream_disabled")
    assert stopped["level"] == "ERROR" and remedy in stopped["reason"] + stopped.get("action", ""), stopped
    assert_told(relay, remedy)
    assert PASSWORD not in said + relay.log_file.read_text()
    # When it has been mended, a person says so, and the mail goes.
    exchange.accept()
    relay.command("upstream", "enable", "microsoft365")
    exchange.wait_mail(what=relay.log_tail)
    assert probe(relay)[0] == 0
    relay.wait_empty()


def test_a_token_that_is_refused_is_replaced_once(start_relay, exchange, authorization_server, tmp_path):
    """535 5.7.3: a fresh one, the other connection; when that is refused too, it is a failed login."""
    exchange.refuse(f"535 5.7.3 Authentication unsuccessful {HOST}")
    relay = start_relay(by_token(exchange, authorization_server, tmp_path).replace("[[oauth]]", "disable_after = 1\n[[oauth]]"))
    send(relay)
    [stopped] = relay.wait_event("upstream_disabled")
    remedy = "SMTP.SendAsApp"
    assert stopped["level"] == "ERROR" and remedy in stopped["reason"] + stopped.get("action", ""), stopped
    tokens = [login["token"] for login in exchange.logins()]
    assert len(tokens) == len(set(tokens)) == 2, "each is shown once"
    assert not exchange.logins(method="LOGIN"), "never a password instead"
    assert_told(relay, remedy)


def test_a_login_that_cannot_be_checked_now_is_no_fault(start_relay, exchange, authorization_server, tmp_path):
    exchange.refuse("454 4.7.0 Temporary authentication failure.", times=1)
    relay = start_relay(by_token(exchange, authorization_server, tmp_path))
    send(relay)
    wait_until(lambda: exchange.logins(), 20, relay.log_tail)
    relay.command("queue", "retry", "--all")
    exchange.wait_mail(what=relay.log_tail)
    assert not relay.events("upstream_disabled")
    assert len({login["token"] for login in exchange.logins()}) == 1, "the token was good"


@pytest.mark.parametrize("case", TOKENS)
def test_a_refused_token_request_says_what_to_do(case, start_relay, exchange, authorization_server, tmp_path):
    error, number, text, remedy = TOKENS[case]
    description = f"AADSTS{number}: {text} Trace ID: 0 Correlation ID: 0 Timestamp: 2026-11-26 06:00:00Z"
    answer = {"error": error, "error_description": description, "error_codes": [number]}
    authorization_server.behave("answer", status=401 if error == "invalid_client" else 400, body=json.dumps(answer))
    relay = start_relay(by_token(exchange, authorization_server, tmp_path))
    send(relay)
    failed = relay.wait_event("token_failed")[-1]
    assert failed["level"] == "ERROR" and remedy in failed["reason"] + failed.get("action", ""), failed
    status, said = probe(relay)
    assert status == 1 and remedy in said and f"AADSTS{number}" in said, said
    assert [message["waiting_for"] for message in relay.queue()] == ["sign_in"]
    assert_told(relay, remedy)
    assert not exchange.logins() and not relay.events("deferred")
    with Connect(relay) as connecting:
        status, said = connecting.end()
    assert status == 1 and remedy in said, said
