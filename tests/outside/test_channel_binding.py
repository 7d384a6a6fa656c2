"""SCRAM-SHA-256-PLUS at a server that shares nothing with the relay: who stands in the middle, with a certificate that is
trusted, is not logged in for."""

import pytest

from bound_login import BOUND, PASSWORD, UNBOUND, USER, BoundServer, InTheMiddle
from messages import SAMPLES
from sign_in import upstream
from test_mechanisms import send

# Its TLS is another program's affair.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture
def start_party():
    """Starts servers and who stands before them, and ends them."""
    parties = []

    def start(party):
        parties.append(party)
        return party

    yield start
    for party in reversed(parties):
        party.stop()


def log_in(party, folder, auth="auto", password=PASSWORD):
    secret = folder / "password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    login = f'password = {{ file = "{secret}" }}\nauth = "{auth}"\nsecurity = "tls"\ndisable_after = 1'
    return upstream("bound", party, USER, login)


@pytest.mark.parametrize("auth", ["auto", "scram-sha-256"])
def test_a_login_is_bound_to_its_connection(auth, start_party, server_tls, start_relay, tmp_path):
    server = start_party(BoundServer(server_tls).start())
    relay = start_relay(log_in(server, tmp_path, auth))
    send(relay)
    relay.wait_empty()
    [arrival] = server.arrivals
    assert arrival.recipients == ["customer@elsewhere.example"] and b"a line." in arrival.content
    assert server.verdicts == [(BOUND, "p=tls-exporter", "GSASL_OK")]
    assert "SCRAM-SHA-256-PLUS" in relay.command("probe", check=False).stdout


def test_a_wrong_password_is_refused(start_party, server_tls, start_relay, tmp_path):
    server = start_party(BoundServer(server_tls).start())
    relay = start_relay(log_in(server, tmp_path, password="wrong"))
    assert_refused(relay, server, (BOUND, "p=tls-exporter"))


def test_who_stands_in_the_middle_gets_no_bound_login(start_party, server_tls, start_relay, tmp_path):
    server = start_party(BoundServer(server_tls).start())
    middle = start_party(InTheMiddle(server))
    assert_refused(start_relay(log_in(middle, tmp_path)), server, (BOUND, "p=tls-exporter"))


def test_a_binding_that_somebody_hides_is_missed(start_party, server_tls, start_relay, tmp_path):
    """The client says that it would have bound the login; the server knows that it has offered that."""
    server = start_party(BoundServer(server_tls).start())
    middle = start_party(InTheMiddle(server, hide=BOUND))
    assert_refused(start_relay(log_in(middle, tmp_path)), server, (UNBOUND, "y"))


def test_a_login_that_is_not_bound_goes_through_the_middle(start_party, server_tls, start_relay, tmp_path):
    """What the others are measured by: but for the binding, the one in the middle does nothing wrong."""
    server = start_party(BoundServer(server_tls, offers=[UNBOUND]).start())
    middle = start_party(InTheMiddle(server))
    relay = start_relay(log_in(middle, tmp_path))
    send(relay)
    relay.wait_empty()
    assert len(server.arrivals) == 1 and server.verdicts == [(UNBOUND, "y", "GSASL_OK")]


def assert_refused(relay, server, login):
    send(relay)
    [stopped] = relay.wait_event("upstream_disabled")
    assert "535 5.7.8" in stopped["reason"] and "check user and password" in stopped["reason"], stopped
    assert set(server.verdicts) == {(*login, "GSASL_AUTHENTICATION_ERROR")}
    assert not server.arrivals and relay.queued() == 1
