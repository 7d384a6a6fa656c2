"""Each way to get tokens, at a real authorization server; what they are good for, at two real servers for mail."""

import smtplib

import pytest

from authorization_server import PERSON, Browser
from messages import compose
from sign_in import NAME, Connect, by_certificate, by_secret, connect, sign_in, upstream, user_of

LOGIN = f'oauth = "{NAME}"'


@pytest.fixture
def configuration(authorization_server, dovecot, exchange, tmp_path):
    """`configuration(flow)`: mail from a@ goes by XOAUTH2 to the Exchange, mail from b@ by OAUTHBEARER to Dovecot."""

    def write(flow, **keys):
        proofs = {"by-secret": by_secret(tmp_path), "by-certificate": by_certificate(authorization_server)}
        proof, flow = (proofs[flow], "client_credentials") if flow in proofs else ("", flow)
        return "\n".join([
            upstream("exchange", exchange, user_of(flow), LOGIN, "default = true"),
            upstream("dovecot", dovecot, user_of(flow), LOGIN, 'filter = ["b@firm.example"]\nauth = "oauthbearer"'),
            sign_in(authorization_server, flow, proof, **keys),
        ])

    return write


def send(relay, *senders):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        for sender in senders:
            client.sendmail(sender, ["customer@elsewhere.example"], compose(b"text\r\n", sender=sender.encode()))


def assert_both_deliver(relay, exchange, dovecot):
    """A message by each upstream, with a login that succeeded at once."""
    send(relay, "a@firm.example", "b@firm.example")
    [mail] = exchange.wait_mail(what=relay.log_tail)
    assert mail["from"] == "a@firm.example"
    [arrival] = dovecot.wait_mail()
    assert arrival.sender == "b@firm.example"
    assert [(login["method"], login["accepted"]) for login in exchange.logins()] == [("XOAUTH2", True)]
    assert dovecot.methods() == ["OAUTHBEARER"] and not dovecot.refusals()
    relay.wait_empty()


def waits_for_a_person(relay):
    return [message["waiting_for"] for message in relay.queue()] == ["sign_in"]


def test_a_device_code_while_the_relay_runs(configuration, start_relay, authorization_server, exchange, dovecot):
    """Mail is taken before anybody has signed in; nothing is tried until somebody has."""
    relay = start_relay(configuration("device_code"))
    send(relay, "a@firm.example")
    relay.wait_event("accepted")
    assert waits_for_a_person(relay), relay.queue()
    shown = relay.command("status", "--check", check=False)
    assert shown.returncode == 1 and f"mailsluice connect {NAME}" in shown.stdout, shown.stdout
    assert not exchange.logins() and not relay.events("deferred")
    said = connect(relay, authorization_server)
    assert PERSON in said, said
    exchange.wait_mail(what=relay.log_tail)
    relay.wait_event("signed_in")
    exchange.clear()
    assert_both_deliver_again(relay, exchange, dovecot)


def assert_both_deliver_again(relay, exchange, dovecot):
    """As above, where the connection to the Exchange may still be open."""
    send(relay, "a@firm.example", "b@firm.example")
    exchange.wait_mail(what=relay.log_tail)
    dovecot.wait_mail()
    assert all(login["accepted"] for login in exchange.logins()) and not dovecot.refusals()


def test_a_device_code_while_the_relay_is_stopped(configuration, start_relay, authorization_server, exchange, dovecot):
    relay = start_relay(configuration("device_code"))
    assert relay.terminate() == 0
    said = connect(relay, authorization_server)
    assert PERSON in said, said
    relay.start()
    assert_both_deliver(relay, exchange, dovecot)
    # And over a restart, with what the store has.
    assert relay.terminate() == 0
    relay.start()
    exchange.clear()
    dovecot.clear()
    assert_both_deliver(relay, exchange, dovecot)


@pytest.mark.parametrize("runs", [True, False])
def test_a_browser_on_this_machine(runs, configuration, start_relay, authorization_server, exchange, dovecot):
    relay = start_relay(configuration("authorization_code"))
    if not runs:
        assert relay.terminate() == 0
    with Connect(relay) as connecting:
        url, back = connecting.address(authorization_server)
        assert back.startswith(("http://127.0.0.1", "http://localhost")) and "code_challenge_method=S256" in url
        end, status, page = Browser().open(url)
        assert end.startswith(back) and status == 200, (end, status, page)
        assert "code=" not in page
        status, said = connecting.end()
    assert status == 0 and PERSON in said, said
    if not runs:
        relay.start()
    assert_both_deliver(relay, exchange, dovecot)


def test_a_browser_on_another_machine(configuration, start_relay, authorization_server, exchange, dovecot):
    """--paste: the person copies the address where the browser could not go any further."""
    relay = start_relay(configuration("authorization_code"))
    with Connect(relay, "--paste") as connecting:
        url, back = connecting.address(authorization_server)
        end, *_ = Browser(stops_at=back).open(url)
        assert end.startswith(back) and "code=" in end
        connecting.say(end)
        status, said = connecting.end()
    assert status == 0 and PERSON in said, said
    assert_both_deliver(relay, exchange, dovecot)


def test_an_answer_to_somebody_else_is_not_taken(configuration, start_relay, authorization_server):
    """The redirected address must have the state that this sign-in began with (RFC 6749 10.12)."""
    relay = start_relay(configuration("authorization_code"))
    with Connect(relay, "--paste") as connecting:
        url, back = connecting.address(authorization_server)
        end, *_ = Browser(stops_at=back).open(url)
        connecting.say(end.replace("state=", "state=x"))
        connecting.process.stdin.close()
        status, said = connecting.end()
    assert status == 1, said
    assert not authorization_server.exchanges("authorization_code"), "the code was not even tried"


@pytest.mark.parametrize("flow", ["by-secret", "by-certificate"])
def test_an_application_signs_in_by_itself(flow, configuration, start_relay, authorization_server, exchange, dovecot):
    relay = start_relay(configuration(flow))
    assert_both_deliver(relay, exchange, dovecot)
    asked = [exchange["asked"] for exchange in authorization_server.exchanges("client_credentials")]
    assert asked and all(("client_assertion" in each) == (flow == "by-certificate") for each in asked)
    with Connect(relay) as connecting:
        assert connecting.end()[0] == 0


def test_a_person_says_no(configuration, start_relay, authorization_server):
    relay = start_relay(configuration("device_code"))
    with Connect(relay) as connecting:
        authorization_server.deny(connecting.code())
        status, said = connecting.end()
    assert status == 1 and "access_denied" in said or "declined" in said or "refused" in said, said
    assert not relay.events("signed_in")


def test_another_mailbox_than_the_one_that_sends_is_warned_of(configuration, start_relay, authorization_server):
    relay = start_relay(configuration("device_code"))
    said = connect(relay, authorization_server, person="somebody.else@firm.example")
    assert "somebody.else@firm.example" in said and PERSON in said, said


def test_connect_knows_what_is_there(configuration, start_relay):
    """A name that no entry has, and one script for exactly this entry."""
    relay = start_relay(configuration("device_code"))
    done = relay.command("connect", "nobody", check=False)
    assert done.returncode in (1, 2) and "nobody" in done.stderr, done.stderr
    done = relay.command("connect", NAME, "--script", check=False)
    assert done.returncode == 0 and done.stdout, done.stderr
