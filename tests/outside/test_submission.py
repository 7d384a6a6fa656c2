"""Clients that people use log in over STARTTLS and implicit TLS; who logs in sends as itself alone."""

import base64
import socket
import subprocess
from types import SimpleNamespace

import pytest

from conftest import upstream_to
from network import free_port, port_answers, wait_until
from postfix import make_certificates
from relay import binary, clean_environment
from submission import CLIENTS, LOGIN_DENIED, Letter, Login, run

PASSWORD = "c0rrect h0rse: $battery\"s"
WRONG = "wr0ng h0rse"
OWN, FOREIGN = "invoices@firm.example", "boss@firm.example"

CONFIG = """
tls = "starttls"
certificate = "{tls}/server.pem"
key = "{tls}/server.key"
auth = "required"
[[listener]]
address = "127.0.0.1:{implicit}"
tls = "implicit"
certificate = "{tls}/server.pem"
key = "{tls}/server.key"
auth = "required"
[[user]]
name = "erp"
password = {{ hash = "{hash}" }}
senders = ["{own}"]
{more}
"""


def hashed(*options):
    """What `mailsluice hash-password` makes of the password."""
    done = subprocess.run(
        [binary(), "hash-password", *options], input=PASSWORD + "\n", capture_output=True, text=True, timeout=60,
        env=clean_environment(), check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def credentials(tmp_path_factory):
    """Certificates (`tls`, and `other` of an authority that nobody knows), and the password in both of its forms."""
    folders = SimpleNamespace(tls=tmp_path_factory.mktemp("tls"), other=tmp_path_factory.mktemp("other"))
    for folder in (folders.tls, folders.other):
        make_certificates(folder)
    folders.hash, folders.scram = hashed(), hashed("--scram")
    assert folders.hash.startswith("$argon2id$") and folders.scram.startswith("SCRAM-SHA-256$")
    return folders


@pytest.fixture
def submission(credentials, start_relay, sink):
    """A relay for users, with a listener of each kind: `login(mode, …)` is the way in. Its log says all that it can."""
    implicit = free_port()

    def start(more=""):
        config = CONFIG.format(tls=credentials.tls, implicit=implicit, hash=credentials.hash, own=OWN, more=more)
        relay = start_relay(config + upstream_to(sink.port), level="debug")
        wait_until(lambda: port_answers(implicit), 20, relay.log_tail)

        def login(mode, mechanism="PLAIN", user="erp", password=PASSWORD, authority=credentials.tls):
            port = relay.port if mode == "starttls" else implicit
            return Login(port, mode, mechanism, user, password, str(authority / "ca.pem"))

        return SimpleNamespace(relay=relay, login=login)

    return start


def assert_no_secrets(relay):
    """Neither password is in what the relay wrote, as it is or as it crosses the line."""
    text = relay.log_file.read_text() + relay.errors()
    for password in (PASSWORD, WRONG):
        forms = [password, base64.b64encode(password.encode()).decode(), base64.b64encode(f"\0erp\0{password}".encode()).decode()]
        # The log is JSON: a quote in it has a backslash.
        for form in [*forms, password.replace('"', '\\"')]:
            assert form not in text, f"{form} is in the log"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_right_password_sends_and_a_wrong_one_is_refused(client, mode, mechanism, submission, sink, tmp_path):
    place = submission()
    done = CLIENTS[client](place.login(mode, mechanism), Letter(OWN, OWN), tmp_path)
    assert done.sent, done.words
    [accepted] = place.relay.wait_event("accepted")
    assert (accepted["user"], accepted["client"], accepted["from"]) == ("erp", "127.0.0.1", OWN)
    assert [event["mechanism"] for event in place.relay.events("login")] == [mechanism]
    wait_until(lambda: sink.arrivals, 30, place.relay.log_tail)
    content = sink.arrivals[0].content
    assert b"by relay.test with ESMTPSA id " in content and b"Please pay." in content
    assert sink.arrivals[0].sender == OWN

    refused = CLIENTS[client](place.login(mode, mechanism, password=WRONG), Letter(OWN, OWN), tmp_path)
    assert not refused.sent and LOGIN_DENIED[client] in refused.words, refused.words
    assert "535" in refused.words, refused.words
    place.relay.wait_event("login_failed", user="erp")
    assert len(place.relay.events("accepted")) == 1
    assert_no_secrets(place.relay)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_does_not_know_the_authority_says_no_password(client, mode, credentials, submission, tmp_path):
    """So the tests above do check the certificate."""
    place = submission()
    done = CLIENTS[client](place.login(mode, authority=credentials.other), Letter(OWN, OWN), tmp_path)
    place.relay.wait_event("tls_failed")
    # PHPMailer has no more to say than that.
    told = "could not connect" if (client, mode) == ("phpmailer", "implicit") else "certificate"
    assert not done.sent and told in done.words.lower(), done.words
    assert not place.relay.events("login") and not place.relay.events("accepted")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_user_sends_as_its_own_address_alone(client, submission, sink, tmp_path):
    place = submission()
    for mode, letter in [
        ("starttls", Letter(FOREIGN, OWN)),
        ("implicit", Letter(OWN, FOREIGN)),
        ("starttls", Letter(OWN, FOREIGN, sender=OWN)),
        ("implicit", Letter(OWN, OWN, sender=FOREIGN)),
    ]:
        done = CLIENTS[client](place.login(mode), letter, tmp_path)
        assert not done.sent, (letter, done.words)
        assert f"erp may not send as {FOREIGN}" in done.words, (letter, done.words)
    refusals = [event["reply"] for event in place.relay.wait_event("rejected", count=4)]
    assert refusals == [f"550 5.7.1 erp may not send as {FOREIGN}"] * 4
    assert not place.relay.events("accepted")
    done = CLIENTS[client](place.login("starttls"), Letter(OWN, OWN, sender=OWN), tmp_path)
    assert done.sent, done.words
    wait_until(lambda: sink.arrivals, 30, place.relay.log_tail)
    assert [arrival.sender for arrival in sink.arrivals] == [OWN]


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_scram_from_a_stored_verifier(mode, credentials, submission, sink, tmp_path):
    """msmtp has SCRAM-SHA-256; the password never crosses the line. PLAIN is checked against the same verifier."""
    place = submission(f'[[user]]\nname = "scan"\npassword = {{ scram = "{credentials.scram}" }}\n')
    for mechanism in ("SCRAM-SHA-256", "PLAIN"):
        done = CLIENTS["msmtp"](place.login(mode, mechanism, user="scan"), Letter(FOREIGN, FOREIGN), tmp_path)
        assert done.sent, done.words
    assert [event["mechanism"] for event in place.relay.events("login", user="scan")] == ["SCRAM-SHA-256", "PLAIN"]
    refused = CLIENTS["msmtp"](place.login(mode, "SCRAM-SHA-256", user="scan", password=WRONG), Letter(OWN, OWN), tmp_path)
    assert not refused.sent and "535" in refused.words, refused.words
    assert len(place.relay.events("accepted", user="scan")) == 2
    assert_no_secrets(place.relay)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_without_a_login_nothing_is_taken(mode, submission, tmp_path):
    place = submission()
    tls = "--tls" if mode == "starttls" else "--tls-on-connect"
    words = ["swaks", "--server", "127.0.0.1", "--port", str(place.login(mode).port), tls, "--from", OWN, "--to", FOREIGN]
    done = run(words)
    assert not done.sent and "530 5.7.0" in done.words, done.words
    place.relay.wait_event("rejected", reason="auth")
    assert not place.relay.events("accepted")


def test_status_tells_how_each_listener_lets_in(submission):
    place = submission()
    listeners = place.relay.command("status")["listeners"]
    assert [(each["tls"], each["auth"]) for each in listeners] == [("starttls", "required"), ("implicit", "required")]


def test_who_is_locked_out_is_named(start_relay, sink):
    """By a name that somebody has; another may be a password in the wrong field."""
    listener = 'auth = "optional"\nauth_without_tls = true\n[[user]]\nname = "printer"\npassword = "right"\n'
    relay = start_relay(listener + upstream_to(sink.port))
    for name in ("printer", "nobody"):
        for _ in range(5):
            # Who hangs up is counted all the same, and need not wait for the answer.
            with socket.create_connection(("127.0.0.1", relay.port), 10) as client, client.makefile("rwb") as stream:
                assert stream.readline().startswith(b"220")
                answer = base64.b64encode(f"\0{name}\0wrong".encode()).decode()
                stream.write(f"EHLO x\r\nAUTH PLAIN {answer}\r\n".encode())
                stream.flush()
                while not stream.readline().startswith(b"250 "):
                    pass
    relay.wait_event("locked_out", count=2)
    assert [event.get("user") for event in relay.events("locked_out")] == ["printer", None]
