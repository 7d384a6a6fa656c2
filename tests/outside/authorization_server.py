"""An OAuth authorization server of another family: oidc-provider, on loopback, with people who sign in by code.

Clients: `relay` (public: device code, authorization code with PKCE), `desktop` (the same, with a secret), `by-secret` and
`by-certificate` (client credentials).
Access tokens are JWTs that Dovecot and the Exchange of microsoft.py check by themselves.
"""

import base64
import http.cookiejar
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from node_program import NodeProgram

PERSON = "mailer@firm.example"
APPLICATION = "app@firm.example"
SECRET = "s3cret-of-the-client-4711"


class AuthorizationServer(NodeProgram):
    """Public: `port`, `token_key` (PEM), `certificate` and `key` of the client by-certificate."""

    program = "authorization_server.mjs"

    def __init__(self, folder):
        self.keys = folder / "keys"
        self.token_key = self.keys / "default" / "RS256" / "k1"
        self.certificate, self.key = folder / "client.pem", folder / "client.key"
        make_client_certificate(self.certificate, self.key)
        super().__init__(folder, keys=str(self.keys), certificate=str(self.certificate), secret=SECRET)
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self):
        """As after the start: well, lenient, tokens of a minute, nothing seen."""
        self.set(person=PERSON, life=60, codeLife=600, strict=False, conduct={"kind": "well"}, exchanges=[])

    def set(self, **state):
        self.ask("/set", state)

    def behave(self, kind, **more):
        """What becomes of token requests from now on: well, slow, late, answer, octets, cut, down."""
        self.set(conduct={"kind": kind, **more})

    def behave_oddly(self, octets):
        """Answers that are no HTTP at all."""
        self.behave("octets", octets=base64.b64encode(octets).decode())

    def exchanges(self, grant=None, since=0):
        """Token requests so far, but for the first ones: {at, asked, status, answer}; `asked` and `answer` parsed."""
        found = []
        for exchange in self.ask(f"/exchanges?since={since}"):
            asked = dict(urllib.parse.parse_qsl(exchange["asked"]))
            if grant is None or asked.get("grant_type") == grant:
                found.append(exchange | {"asked": asked, "answer": parsed(exchange["answer"])})
        return found

    def approve(self, code, person=PERSON):
        """Types the code of a device and agrees, as that person."""
        self.ask(f"/decide?{urllib.parse.urlencode({'code': code, 'as': person})}", {})

    def deny(self, code):
        self.ask(f"/decide?{urllib.parse.urlencode({'code': code, 'deny': '1'})}", {})

    def secrets(self):
        """Every octet string that it gave or was given and that nobody else may see."""
        found = {SECRET}
        for exchange in self.exchanges():
            asked, answer = exchange["asked"], exchange["answer"] or {}
            found |= {asked.get(key) for key in ("refresh_token", "code", "device_code", "code_verifier", "client_assertion")}
            found |= {answer.get(key) for key in ("access_token", "refresh_token", "id_token")}
        return found - {None}


def parsed(text):
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Browser:
    """A person's browser: keeps cookies, follows redirects, and does not go where `stops_at` leads."""

    def __init__(self, stops_at=None):
        self.stops_at = stops_at
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar, self._redirects())

    def open(self, url):
        """Goes there and returns (address, status, text) of where it ends."""
        try:
            with self.opener.open(url, timeout=30) as answer:
                return answer.geturl(), answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            target = error.headers.get("location") if error.code in (302, 303) else None
            return target or error.geturl(), error.code, error.read().decode(errors="replace")

    def _redirects(self):
        stops_at = self.stops_at

        class Redirects(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, request, answer, code, message, headers, target):
                if stops_at is not None and target.startswith(stops_at):
                    return None
                return super().redirect_request(request, answer, code, message, headers, target)

        return Redirects()


def make_client_certificate(certificate, key):
    """A self-signed certificate by which an application proves who it is."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=relay",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )
    key.chmod(0o600)
