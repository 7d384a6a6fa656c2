"""Copies of what was sent, in the Sent folder of a real IMAP server, as Python's own client sees it there."""

import smtplib
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from authorization_server import APPLICATION
from dovecot import PASSWORD, USER
from messages import compose
from network import free_port, wait_until
from sign_in import NAME, by_secret, sign_in, upstream


@pytest.fixture
def copies(dovecot, tmp_path):
    """`copies(keys)`: the configuration of Dovecot as the upstream, with these keys of its Sent folder."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)

    def write(keys, login=f'password = {{ file = "{secret}" }}', user=USER, more=""):
        return upstream("firm", dovecot, user, login, f"default = true\n{more}\n[upstream.sent_copy]\n{keys}")

    return write


def send(relay, *recipients, body=b"text\r\n", message_id=b"<1@firm.example>"):
    content = compose(body, sender=USER.encode(), extra=b"Bcc: boss@firm.example\r\n")
    content = content.replace(b"<fixed@firm.example>", message_id)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail(USER, recipients or ["customer@elsewhere.example"], content)


def wait_copies(dovecot, relay, name="Sent", count=1):
    return wait_until(
        lambda: (found := dovecot.folder(name)) and len(found) >= count and found, 30,
        lambda: f"{count} copies in {name}: {dovecot.folder(name)} {relay.log_tail()} {dovecot.log()[-2000:]}",
    )


@contextmanager
def way_to(port, own):
    """What connects to the port `own` speaks with that other one, as long as this lasts."""
    listener = socket.create_server(("127.0.0.1", own))

    def pump(source, target):
        with source, target:
            try:
                while octets := source.recv(65536):
                    target.sendall(octets)
            except OSError:
                pass

    def serve():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port), timeout=20)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.feature(30)
@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_what_was_sent_is_in_the_folder(security, size, copies, start_relay, dovecot):
    """Octet for octet, read, once for all recipients; and the folder is made where there is none."""
    port = dovecot.imaps if security == "tls" else dovecot.imap
    keys = f'imap = "localhost:{port}"\nsecurity = "{security}"\nfolder = "Envoyés & done"'
    relay = start_relay(copies(keys))
    before = time.time()
    body = (b"x" * 70 + b"\r\n") * max(1, size // 72)
    send(relay, "customer@elsewhere.example", "other@elsewhere.example", "third@elsewhere.example", body=body)
    [arrival] = dovecot.wait_mail()
    [(flags, date, octets)] = wait_copies(dovecot, relay, "Envoy&AOk-s &- done")
    assert b"\\Seen" in flags
    assert abs(time.mktime(date) - before) < 120
    # The submission service has put its own Received above.
    assert arrival.content.endswith(octets) and len(octets) > size
    assert b"boss@firm.example" not in octets
    [told] = relay.wait_event("copied")
    [accepted] = relay.events("accepted")
    assert (told["queue_id"], told["upstream"], told["account"]) == (accepted["queue_id"], "firm", USER)
    relay.wait_empty()
    assert relay.command("status")["sent_copies"] == []
    assert list((relay.data / "content").iterdir()) == []
    # The next one goes into the folder that is there, over the same session.
    dovecot.sink.arrivals.clear()
    send(relay, message_id=b"<2@firm.example>")
    assert len(wait_copies(dovecot, relay, "Envoy&AOk-s &- done", 2)) == 2
    assert PASSWORD not in relay.log_file.read_text()


@pytest.mark.parametrize("auth", ["auto", "xoauth2"])
def test_a_token_logs_in(auth, copies, start_relay, dovecot, authorization_server, tmp_path):
    """The account's own token, by the mechanism that the upstream wants."""
    config = copies(f'imap = "localhost:{dovecot.imaps}"', f'oauth = "{NAME}"', APPLICATION, f'auth = "{auth}"')
    relay = start_relay(f"{config}\n{sign_in(authorization_server, 'client_credentials', by_secret(tmp_path))}")
    send(relay)
    dovecot.wait_mail()
    relay.wait_event("copied")
    method = {"auto": "OAUTHBEARER", "xoauth2": "XOAUTH2"}[auth]
    assert dovecot.methods() == [method, method] and not dovecot.refusals()
    log = relay.log_file.read_text()
    assert not [secret for secret in authorization_server.secrets() if secret in log]


def test_the_server_is_down_for_a_while(copies, start_relay, dovecot):
    """The mail goes at once; what waits is shown, survives kill -9, and goes when the server is back."""
    port = free_port()
    relay = start_relay(copies(f'imap = "localhost:{port}"'))
    send(relay)
    send(relay, message_id=b"<2@firm.example>", body=b"y" * 70 + b"\r\n" * 40_000)
    dovecot.wait_mail(2)
    [failed] = relay.wait_event("copy_failed")
    assert "connection refused" in failed["reason"] and failed["next"]
    relay.wait_empty()
    [waiting] = relay.command("status")["sent_copies"]
    assert (waiting["upstream"], waiting["account"], waiting["copies"]) == ("firm", USER, 2)
    assert "connection refused" in waiting["reason"]
    assert relay.command("status")["needs_a_person"] == []
    relay.kill()
    with way_to(dovecot.imaps, port):
        relay.start()
        found = wait_copies(dovecot, relay, count=2)
        relay.wait_event("copied", 2)
    assert len(found) == 2
    assert not relay.events("orphaned") and list((relay.data / "content").iterdir()) == []


def test_a_wrong_password_costs_the_copy_alone(copies, start_relay, dovecot):
    dovecot.set_imap_password("another")
    relay = start_relay(copies(f'imap = "localhost:{dovecot.imaps}"'))
    send(relay)
    dovecot.wait_mail()
    [failed] = relay.wait_event("copy_failed")
    assert "refuses the login" in failed["reason"] and failed["level"] == "WARN"
    shown = relay.command("status")
    assert [upstream["state"] for upstream in shown["upstreams"]] == ["up"]
    assert "refuses the login" in shown["sent_copies"][0]["reason"]
    send(relay, message_id=b"<2@firm.example>")
    dovecot.wait_mail(2)
    relay.wait_empty()
    dovecot.set_imap_password(PASSWORD)
    # Whoever has mended it reloads, and it goes at once.
    relay.command("reload")
    assert len(wait_copies(dovecot, relay, count=2)) == 2
    relay.wait_event("copied", 2)


def test_what_may_be_there_already_is_looked_for(copies, start_relay, dovecot):
    """A copy that was tried before is not made twice."""
    port = free_port()
    relay = start_relay(copies(f'imap = "localhost:{port}"'))
    send(relay)
    send(relay, message_id=b"<2@firm.example>")
    [arrival, _] = dovecot.wait_mail(2)
    relay.wait_event("copy_failed")
    with dovecot.imap_client() as client:
        client.create("Sent")
        client.append("Sent", "", None, arrival.content)
    with way_to(dovecot.imaps, port):
        relay.command("reload")
        relay.wait_event("copied", 2)
        assert len(wait_copies(dovecot, relay, count=2)) == 2


def test_direct_mode_makes_copies_and_test_mode_none(copies, start_relay, dovecot):
    keys = f'imap = "localhost:{dovecot.imaps}"'
    relay = start_relay(copies(keys) + '[queue]\nmode = "direct"\n')
    send(relay)
    [arrival] = dovecot.wait_mail()
    [(_, _, octets)] = wait_copies(dovecot, relay)
    assert arrival.content.endswith(octets)
    relay.wait_event("copied")
    assert relay.terminate() == 0
    dovecot.clear()
    relay = start_relay(copies(keys) + '[test_mode]\nenabled = true\naction = "redirect"\naddress = "test@firm.example"\n')
    send(relay)
    dovecot.wait_mail()
    relay.wait_empty()
    assert relay.command("status")["sent_copies"] == [] and not relay.events("copied")
    assert dovecot.folder("Sent") is None
