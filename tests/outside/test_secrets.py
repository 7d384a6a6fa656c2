"""No secret gets out: passwords, client secrets, tokens and codes are looked for in all that the relay says and keeps."""

import base64
import json
import smtplib
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

from authorization_server import APPLICATION, PERSON, SECRET, Browser
from dovecot import PASSWORD, USER
from messages import compose
from network import wait_until
from relay import binary, clean_environment
from sign_in import NAME, Connect, by_secret, sign_in, upstream

SEALING_KEY = base64.b64encode(b"a key that nobody may read: 0815").decode()
# What a program logs in with at the relay, and what another one tries.
OWN, WRONG = "the program's 0wn password", "a wr0ng password, almost right"


def forms(secret):
    """A secret as it may be written: as it is, percent-encoded, or in base64 wherever it stands in what was encoded."""
    octets = secret.encode()
    found = {octets, urllib.parse.quote(secret, safe="").encode()}
    for before in range(3):
        whole = octets[-before % 3:] if before else octets
        # Only whole groups of three do not depend on what stands beside the secret.
        found.add(base64.b64encode(whole[:len(whole) // 3 * 3]))
    return {form for form in found if len(form) >= 8}


def leaks(secrets, outputs):
    """Where which secret is."""
    return [
        f"{secret[:6]}… in {name}" for secret in secrets for name, octets in outputs.items() for form in forms(secret) if form in octets
    ]


TOKEN, ODD = "eyJhbGciOiJSUzI1NiJ9.payload.signature", "a b/c+d=e&f"
LOGIN = base64.b64encode(f"user=a@b\x01auth=Bearer {TOKEN}\x01\x01".encode())


@pytest.mark.parametrize(("secret", "place"), [
    (TOKEN, f"x {TOKEN} y".encode()), (TOKEN, b"AUTH XOAUTH2 " + LOGIN + b" end"), (ODD, b"q=a%20b%2Fc%2Bd%3De%26f"), (ODD, b"a b/c+d=e&f"),
    *[(ODD, b"login " + base64.b64encode(b"\0" * n + ODD.encode() + b"\0tail")) for n in range(4)],
])
def test_the_search_finds_what_is_there(secret, place):
    assert leaks([secret], {"here": place})
    assert not leaks([secret], {"here": b"user=a@b auth=Bearer, and a b/c"})


class Processes:
    """The arguments of all processes that ran while it watched, as `ps` shows them."""

    def __enter__(self):
        self.seen, self.ending = set(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(10)

    def _watch(self):
        # Not what tests themselves start: the servers of the other side are told their secrets so.
        while not self.ending.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                    if b"mailsluice" in line.split(b"\0")[0]:
                        self.seen |= {line, (process / "environ").read_bytes()}
                except OSError:
                    continue
            self.ending.wait(0.02)


class Heard:
    """All that comes out, by where."""

    def __init__(self, relay):
        self.relay = relay
        self.outputs = {}

    def run(self, *words, given=None):
        """A command, in both of its forms."""
        for form in ([], ["--json"]):
            done = subprocess.run(
                [binary(), "--config", str(self.relay.file), *form, *words], input=given, capture_output=True, timeout=90,
                env=clean_environment(), check=False,
            )
            self.outputs[f"{' '.join([*form, *words])} ({done.returncode})"] = done.stdout + done.stderr

    def start(self, *words):
        """One that goes on until it is interrupted."""
        file = self.relay.folder / f"said-by-{words[0]}"
        with file.open("wb") as out:
            process = subprocess.Popen(
                [binary(), "--config", str(self.relay.file), *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=clean_environment(), start_new_session=True,
            )
        return process, file

    def folder(self):
        """All files below the data folder."""
        return {str(path): path.read_bytes() for path in self.relay.data.rglob("*") if path.is_file()}


def configuration(folder, dovecot, exchange, server):
    for name, secret in (("password", PASSWORD), ("sealing-key", SEALING_KEY), ("own", OWN)):
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    application = sign_in(server, "client_credentials", by_secret(folder), name="app")
    return "\n".join([
        'auth = "optional"\nrelay_from = ["127.0.0.1"]',
        f'[[user]]\nname = "erp"\npassword = {{ file = "{folder}/own" }}\n',
        '[queue]\nretry_min = "1s"\nretry_max = "2s"\n',
        f'[secrets]\nkey = {{ file = "{folder}/sealing-key" }}\n',
        upstream("person", exchange, PERSON, f'oauth = "{NAME}"', "default = true"),
        upstream("application", dovecot, APPLICATION, 'oauth = "app"', 'filter = ["app@firm.example"]'),
        upstream("password", dovecot, USER, f'password = {{ file = "{folder}/password" }}', 'filter = ["login@firm.example"]\nauth = "login"'),
        sign_in(server, "authorization_code"), application,
    ])


def send(relay, *senders, recipient="customer@elsewhere.example"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        for sender in senders:
            client.sendmail(sender, [recipient], compose(b"text\r\n", sender=sender.encode()))


def log_in(relay):
    """As programs do: with a wrong password, with words of no known mechanism, and rightly."""
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        client.user, client.password = "erp", WRONG
        for mechanism, answer in (("PLAIN", client.auth_plain), ("LOGIN", client.auth_login)):
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.auth(mechanism, answer)
        # One that does not wait for the answer to AUTH.
        client.putcmd("AUTH X-OWN " + base64.b64encode(OWN.encode()).decode())
        client.putcmd(WRONG)
        assert [client.getreply()[0] for _ in range(2)] == [504, 500]
        client.password = OWN
        assert client.auth("PLAIN", client.auth_plain)[0] == 235


SENDERS = ["office@firm.example", "app@firm.example", "login@firm.example"]


@pytest.mark.timeout(180)
def test_no_secret_in_anything_that_comes_out(start_relay, dovecot, exchange, authorization_server, tmp_path):
    relay = start_relay(configuration(tmp_path, dovecot, exchange, authorization_server), level="trace")
    heard, codes = Heard(relay), set()
    with Processes() as processes:
        traces = [heard.start("trace", name) for name in ("person", "application", "password")]
        # A sign-in by hand: the code goes through the terminal.
        with Connect(relay, "--paste") as connecting:
            url, back = connecting.address(authorization_server)
            end, *_ = Browser(stops_at=back).open(url)
            codes |= set(urllib.parse.parse_qs(urllib.parse.urlparse(end).query)["code"])
            connecting.say(end)
            status, said = connecting.end()
        assert status == 0, said
        heard.outputs["connect"] = said.encode()
        log_in(relay)
        send(relay, *SENDERS)
        exchange.wait_mail(what=relay.log_tail)
        dovecot.wait_mail(2)
        # Refusals of each kind: of a token, of a recipient (with a report), of a refresh.
        dovecot.sink.answer = lambda envelope: "550 5.1.1 no such user" if "gone@elsewhere.example" in envelope.rcpt_tos else None
        send(relay, "login@firm.example", recipient="gone@elsewhere.example")
        relay.wait_event("bounced")
        dovecot.wait_mail(3)
        exchange.revoke(exchange.logins(accepted=True)[-1]["token"])
        authorization_server.behave("answer", status=400, body=json.dumps({"error": "server_error", "error_description": "come again later"}))
        send(relay, "office@firm.example")
        relay.wait_event("token_failed")
        for words in [
            ("status",), ("queue", "list"), ("upstream", "list"), ("limits", "show"), ("probe",), ("check",), ("presets",),
            ("connect", "app"), ("connect", "app", "--script"), ("connect", NAME, "--script"), ("blacklist", "list"),
            *[("queue", "show", message["queue_id"], "--content") for message in relay.queue()],
        ]:
            heard.run(*words)
        for path in ["status", "upstreams", "queue", "sign-ins", "limits"]:
            heard.outputs[f"GET {path}"] = relay.api(path)
        authorization_server.behave("well")
        heard.run("send", "--to", "customer@elsewhere.example", "--from", "app@firm.example")
        relay.command("reload")
        for process, file in traces:
            process.terminate()
            process.wait(20)
            heard.outputs[file.name + str(process.pid)] = file.read_bytes()
        assert relay.terminate() == 0
    secrets = authorization_server.secrets() | codes | {PASSWORD, SECRET, SEALING_KEY, OWN, WRONG}
    heard.outputs |= {f"arguments and environment {n}": line for n, line in enumerate(processes.seen)}
    heard.outputs |= {"log": relay.log_file.read_bytes(), "stderr": relay.errors().encode()} | heard.folder()
    heard.outputs |= {f"mail {n}": mail["content"].encode() for n, mail in enumerate(exchange.mail())}
    heard.outputs |= {f"mail at Dovecot {n}": arrival.content for n, arrival in enumerate(dovecot.sink.arrivals)}
    # What was heard is worth the search.
    assert len(secrets) > 8 and b"multipart/report" in b"".join(heard.outputs.values()) and len(processes.seen) > 3
    assert b"office@firm.example" in heard.outputs["log"]
    for event in ("session_line", "upstream_line"):
        assert any(line["text"].startswith("AUTH ") for line in relay.events(event)), f"no login in {event}"
    libraries = [line for line in relay.events() if line["event"] == "library" and line["level"] not in ("WARN", "ERROR")]
    assert not libraries, libraries[:3]
    found = leaks(secrets, heard.outputs)
    assert not found, "\n".join(found)
    for name, octets in heard.outputs.items():
        assert SEALING_KEY.encode() not in octets, name


def test_a_store_without_a_key_is_closed_to_others(start_relay, exchange, authorization_server):
    relay = start_relay(upstream("person", exchange, PERSON, f'oauth = "{NAME}"') + sign_in(authorization_server))
    assert relay.data.stat().st_mode & 0o077 == 0, "others can read the data folder"
    done = relay.command("check", check=False)
    assert done.returncode == 0 and "[secrets]" in done.stdout + done.stderr, done.stdout + done.stderr
