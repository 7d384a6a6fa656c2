"""Microsoft Graph of another family, as far as `sendMail` goes: http.server, which takes tokens that it gave out itself, or
those of an authorization server, which it verifies.

Delivers to nobody, and keeps what it was given. To whom Graph would have delivered is read from the header by readers
that have nothing to do with the relay's.
"""

import base64
import email
import json
import re
import threading
import time
import urllib.parse
from email.header import decode_header, make_header
from email.policy import default
from email.utils import getaddresses
from http.server import ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from network import JsonHandler

TOKEN = "access-token-of-the-test"
AUDIENCE = "https://graph.microsoft.com"
FIELDS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9._-]+")


class GraphParty:
    """Public: `url`, `requests` (mailbox, content), in their order, and `refused`, the statuses of those that were refused."""

    def __init__(self, authority=None):
        self.authority = authority
        self.requests, self.refused = [], []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def sign_in(self):
        """`[[oauth]]` of an application that gets its tokens here."""
        return (
            f'[[oauth]]\nname = "app"\nprovider = "custom"\nflow = "client_credentials"\nclient_id = "app"\nclient_secret = "s3cret"\n'
            f'token_url = "{self.url}/token"\nscope = "smtp"\ngraph_scope = "graph"\n'
        )

    def upstream(self, mailbox, more=""):
        """`[[upstream]]` by which `mailbox` sends."""
        return (
            f'[[upstream]]\nname = "graph"\nkind = "graph"\ndefault = true\nmailbox = "{mailbox}"\nbase_url = "{self.url}"\n'
            f'oauth = "app"\n{more}\n'
        )

    def judged(self, login, mailbox):
        """Status and code for a request with this Authorization that is to go as this mailbox."""
        refused = 401, "InvalidAuthenticationToken"
        if mailbox is None or not login.startswith("Bearer "):
            return refused
        token = login.removeprefix("Bearer ")
        if self.authority is None:
            return (202, None) if token == TOKEN else refused
        claims = claims_of(token, self.authority)
        if claims is None:
            return refused
        # A person may send as herself alone.
        may_send = f"{AUDIENCE}/Mail.Send" in claims.get("scope", "").split() and claims.get("email") == mailbox
        return (202, None) if may_send else (403, "ErrorAccessDenied")

    def _handler(party):  # noqa: N805
        class Handler(JsonHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/token":
                    answer = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode()
                    return self.answer(200, answer)
                match = re.fullmatch(r"/v1\.0/users/([^/]+)/sendMail", self.path)
                mailbox = urllib.parse.unquote(match.group(1)) if match else None
                status, code = party.judged(self.headers["authorization"] or "", mailbox)
                if status != 202:
                    party.refused.append(status)
                    return self.answer(status, json.dumps({"error": {"code": code, "message": "no"}}).encode())
                content = base64.b64decode(body, validate=True)
                with party.lock:
                    party.requests.append((mailbox, content))
                self.answer(202, b"")

            def do_GET(self):
                self.answer(401, b'{"error":{"code":"InvalidAuthenticationToken","message":"no"}}')

        return Handler


def claims_of(token, authority):
    """What a token says; None when it is not of this authority, or not for us, or over."""
    try:
        signed, signature = token.rsplit(".", 1)
        key = load_pem_public_key(authority.token_key.read_bytes())
        key.verify(octets_of(signature), signed.encode(), PKCS1v15(), SHA256())
        head, claims = (json.loads(octets_of(part)) for part in signed.split("."))
    except (ValueError, InvalidSignature):
        return None
    is_ours = head["alg"] == "RS256" and claims["iss"] == authority.url and claims["aud"] == AUDIENCE
    return claims if is_ours and claims["exp"] > time.time() else None


def octets_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def readings(content):
    """To whom this would have been delivered: by each reader, a set of addresses in lower case."""
    modern = email.message_from_bytes(content, policy=default)
    old = email.message_from_bytes(content)
    first = [address.addr_spec for name in FIELDS for field in modern.get_all(name, []) for address in field.addresses]
    second = [address for _, address in getaddresses([str(v) for name in FIELDS for v in old.get_all(name, [])])]
    return {"modern": lower(first), "old": lower(second), "careless": lower(carelessly(content))}


def carelessly(content):
    """Whatever looks like an address in a field that looks like one of recipients, also when decoded first."""
    head = re.split(rb"\r\n\r\n|\n\n|\r\r", content, maxsplit=1)[0].decode("latin-1")
    for line in re.split(r"[\r\n\v\f\x1c-\x1e\x85](?![ \t])", head.replace("\r\n", "\n")):
        name, _, value = line.partition(":")
        if re.sub(r"[^!-~]", "", name).lower() in FIELDS:
            value = re.sub(r"[\r\n]", "", value)
            yield from ADDRESS.findall(value)
            yield from ADDRESS.findall(decoded(value))


def decoded(value):
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError):
        return value


def lower(addresses):
    return {address.lower() for address in addresses if address}
