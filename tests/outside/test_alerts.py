"""Alerts: each trouble that is planted reaches webhook, command and mailbox once, and once when it is over; a restart tells nothing again."""

import datetime
import json
import shutil
import smtplib
import threading
import time
from collections import Counter
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from network import JsonHandler, free_port, wait_until
from sink import Sink

ADMIN = "it@firm.example"
PLANTED = {"upstream_disabled", "expiring", "disk", "nothing_sent", "bounces"}


class Gate(Sink):
    """An upstream that takes mail from whoever has logged in, and lets nobody in while it is shut."""

    shut = True

    def start(self):
        def authenticate(*_):
            return AuthResult(success=not self.shut, handled=False)

        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, authenticator=authenticate, auth_required=True,
            auth_require_tls=False, ready_timeout=20,
        )
        self.controller.start()
        return self


class Hook:
    """A webhook: what it was posted."""

    def __init__(self):
        self.posted = posted = []

        class Handler(JsonHandler):
            def do_POST(self):
                assert self.path == "/T0/hush?key=hush"
                assert self.headers["content-type"] == "application/json"
                posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.answer(200, b"{}")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/T0/hush?key=hush"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.stop()


@contextmanager
def upstreams():
    gate, quiet, picky = Gate().start(), Sink().start(), Sink().start()
    quiet.answer = lambda _: "451 4.3.0 later" if quiet.shut else None
    quiet.shut = True
    picky.answer = lambda envelope: "550 5.2.1 disabled" if envelope.rcpt_tos[0].startswith("bad") else None
    try:
        yield gate, quiet, picky
    finally:
        for one in (gate, quiet, picky):
            one.stop()


def configuration(post, three, hook, page, troubles):
    """Four upstreams, of which the default is well; `troubles` are what the configuration itself brings."""
    gate, quiet, picky = three
    login = 'user = "erp@gate.example"\npassword = "secret"\nallow_plaintext_auth = true\ndisable_after = 1\n'
    each = [("post", post, "default = true\n"), ("gate", gate, login), ("quiet", quiet, ""), ("picky", picky, "")]
    texts = [
        f'[[upstream]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {one.port}\nsecurity = "none"\n{more}'
        + ("" if name == "post" else f'filter = ["{name}.example"]\n')
        for name, one, more in each
    ]
    alert = (
        f'[alert]\nmail_to = ["{ADMIN}"]\nwebhook = "{hook.url}"\ncommand = ["{page}", "{page}.got"]\nnothing_sent_for = "3s"\n'
    )
    queue = '[queue]\nretry_min = "1s"\nretry_max = "2s"\nbounce_to_sender = false\n'
    return "".join([queue + troubles.get("queue", ""), alert, *texts, troubles.get("more", "")])


def send(relay, name, to):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        sender = f"office@{name}.example"
        client.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: x\r\n\r\nHello.\r\n")


def told(notices):
    return Counter((one["event"], one["cause"]) for one in notices)


def mailed(post):
    """The subjects of the alerts that the administrator got."""
    mails = [arrival for arrival in post.arrivals if arrival.recipients == [ADMIN]]
    for arrival in mails:
        message = message_from_bytes(arrival.content, policy=policy.default)
        assert message["Auto-Submitted"] == "auto-generated" and message["To"] == ADMIN
        assert arrival.sender == "<>" and message["Message-ID"] and message["Date"]
        yield message["Subject"]


def paged(page):
    file = page.with_name("page.got")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def certificate_of_a_year(path, end):
    """A certificate for localhost that has been good for a year on the day `end`: `path`.pem, and its key `path`.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    until = datetime.datetime.combine(end, datetime.time(), datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), until - datetime.timedelta(days=365), until)
    path.with_suffix(".pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    path.with_suffix(".key").touch(0o600)
    path.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_each_trouble_is_told_once_and_its_end_once(tmp_path, start_relay, sink, hook, server_tls):
    page = tmp_path / "page"
    page.write_text('#!/bin/sh\ncat >>"$1"\n')
    page.chmod(0o755)
    free = shutil.disk_usage(tmp_path).free
    soon = datetime.date.today() + datetime.timedelta(days=5)
    oauth = (
        f'[[oauth]]\nname = "cloud"\nprovider = "custom"\ntoken_url = "http://127.0.0.1:{free_port()}/token"\nscope = "mail"\n'
        f'client_id = "c"\nclient_secret = "hush"\nsecret_expires = "{soon}"\nflow = "client_credentials"\n'
        '[[upstream]]\nname = "cloud"\nenabled = false\nhost = "127.0.0.1"\nuser = "c@cloud.example"\noauth = "cloud"\n'
        'filter = ["cloud.example"]\n'
    )
    ending = tmp_path / "ending"
    certificate_of_a_year(ending, soon)
    # That of the party holds for two days, so it is renewed late: no trouble.
    listeners = "".join(
        f'[[listener]]\naddress = "127.0.0.1:{free_port()}"\ntls = "starttls"\ncertificate = "{name}.pem"\nkey = "{name}.key"\n'
        for name in (ending, server_tls / "server")
    )
    with upstreams() as three:
        gate, quiet, _ = three
        troubles = {"queue": f"min_free_disk = {free // 2}\n", "more": oauth + listeners}
        relay = start_relay(configuration(sink, three, hook, page, troubles))
        for name in ("gate", "quiet"):
            send(relay, name, "customer@elsewhere.example")
        for number in range(25):
            send(relay, "picky", f"{'bad' if number % 5 == 0 else 'good'}{number}@elsewhere.example")
        want = Counter({("alert", cause): 1 for cause in PLANTED} | {("alert", "expiring"): 2})
        wait_until(lambda: told(hook.posted) == want, 90, lambda: f"{told(hook.posted)} {relay.log_tail()}")
        wait_until(lambda: len(list(mailed(sink))) == want.total(), 30, lambda: f"mail: {list(mailed(sink))}")
        wait_until(lambda: told(paged(page)) == want, 30, lambda: f"the command: {paged(page)}")
        by_cause = {one["cause"]: one for one in hook.posted}
        assert set(by_cause["disk"]) == {"event", "cause", "upstream", "account", "text", "action", "time"}
        stop = by_cause["upstream_disabled"]
        assert (stop["upstream"], stop["account"]) == ("gate", "erp@gate.example") and "535" in stop["text"], stop
        assert (by_cause["nothing_sent"]["upstream"], by_cause["bounces"]["upstream"]) == ("quiet", "picky")
        status = relay.command("status", check=False)
        people = json.loads(status.stdout)["needs_a_person"]
        assert len(people) == want.total(), people

        # A restart, in whatever order it ended, tells nothing again; what a person mends is over, once.
        relay.kill()
        relay.start()
        gate.shut = quiet.shut = False
        relay.write(configuration(sink, three, hook, page, {}))
        relay.command("reload")
        relay.command("upstream", "enable", "gate")
        send(relay, "gate", "customer@elsewhere.example")
        over = Counter({("over", cause): 1 for cause in PLANTED - {"bounces"}} | {("over", "expiring"): 2})
        wait_until(lambda: told(hook.posted) == want + over, 150, lambda: f"{told(hook.posted)} {relay.log_tail()}")
        time.sleep(35)
        assert told(hook.posted) == want + over
        assert told(paged(page)) == want + over
        subjects = list(mailed(sink))
        assert len(subjects) == len(set(subjects)) == (want + over).total(), subjects
        assert relay.events("alert_failed") == []
        assert "hush" not in relay.log_file.read_text()


def test_a_person_tries_whether_alerts_arrive(tmp_path, start_relay, sink, hook):
    with upstreams() as three:
        broken = tmp_path / "page"
        broken.write_text("#!/bin/sh\necho no pager >&2\nexit 3\n")
        broken.chmod(0o755)
        relay = start_relay(configuration(sink, three, hook, broken, {}))
        done = relay.command("alert", "test", check=False)
        assert done.returncode == 1, done
        trials = {one["channel"]: one for one in json.loads(done.stdout)}
        assert trials["mail"]["ok"] and trials["webhook"]["ok"] and not trials["command"]["ok"], trials
        assert "no pager" in trials["command"]["outcome"], trials
        assert [one["cause"] for one in hook.posted] == ["test"]
        wait_until(lambda: len(list(mailed(sink))) == 1, 30, relay.log_tail)
        relay.write('[[upstream]]\nname = "local"\nkind = "capture"\n')
        relay.command("reload")
        done = relay.command("alert", "test", check=False)
        assert done.returncode == 1 and "nobody is told" in done.stderr, done
