"""What a configuration says of sign-ins and of the upstreams that use them; and `mailsluice connect`, watched."""

import re
import subprocess
import threading
import urllib.parse

from authorization_server import APPLICATION, PERSON, SECRET
from network import wait_until
from relay import binary, clean_environment

NAME = "m365"


def sign_in(server, flow="device_code", proof="", name=NAME, **keys):
    """`[[oauth]]` with the authorization server of the test; `proof` are lines of its own."""
    client = {"client_credentials": "by-certificate" if "client_key" in proof else "by-secret"}.get(flow, "relay")
    written = {
        "provider": "custom", "flow": flow, "client_id": client, "token_url": f"{server.url}/token",
        "device_url": f"{server.url}/device/auth", "authorize_url": f"{server.url}/auth",
        "scope": ".default" if flow == "client_credentials" else "openid offline_access SMTP.Send", **keys,
    }
    if flow != "device_code":
        del written["device_url"]
    if flow != "authorization_code":
        del written["authorize_url"]
    lines = [f'{key} = "{value}"' for key, value in written.items()]
    return "\n".join(["[[oauth]]", f'name = "{name}"', *lines, proof, ""])


def by_secret(folder):
    """The proof of the client by-secret."""
    secret = folder / "client-secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    return f'client_secret = {{ file = "{secret}" }}'


def by_certificate(server):
    """The proof of the client by-certificate."""
    return f'client_certificate = "{server.certificate}"\nclient_key = "{server.key}"'


def user_of(flow):
    """Whom the tokens of a flow are for."""
    return APPLICATION if flow == "client_credentials" else PERSON


def upstream(name, party, user, login, more="", limits=""):
    """`[[upstream]]` that logs in over STARTTLS; `login` is the line with password or sign-in."""
    return (
        f'[[upstream]]\nname = "{name}"\nhost = "localhost"\nport = {party.port}\nca_file = "{party.ca_file}"\n'
        f'user = "{user}"\n{login}\n{more}\n{limits}\n'
    )


class Connect:
    """`mailsluice connect` in a process of its own, and what it says while it waits."""

    def __init__(self, relay, *words):
        self.process = subprocess.Popen(
            [binary(), "--config", str(relay.file), "connect", NAME, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment(),
            start_new_session=True,
        )
        self.text = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)

    def wait_for(self, pattern, seconds=20):
        """The first match in what it has said."""
        return wait_until(lambda: re.search(pattern, self.text), seconds, lambda: f"{pattern} from connect: {self.text}")

    def code(self):
        """The code that a person is to type."""
        return self.wait_for(r"\b[A-Z]{4}-[A-Z]{4}\b").group()

    def address(self, server):
        """The address that a person is to open, and where it leads back to."""
        url = self.wait_for(re.escape(server.url) + r"/auth\?\S+").group()
        query = urllib.parse.parse_qs(urllib.parse.urlparse(url).query)
        return url, query["redirect_uri"][0]

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, seconds=30):
        """Waits for it; returns (exit status, all that it said)."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"connect is still there after {seconds} s: {self.text}") from None
        self.reader.join(10)
        return status, self.text

    def _read(self):
        while piece := self.process.stdout.read(1):
            self.text += piece


def connect(relay, server, person=PERSON):
    """Signs in by the code of a device, as that person; returns what `connect` said."""
    with Connect(relay) as connecting:
        server.approve(connecting.code(), person)
        status, said = connecting.end()
    assert status == 0, said
    return said
