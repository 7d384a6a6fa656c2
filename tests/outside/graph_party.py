"""Microsoft Graph of another family, as far as `sendMail` goes: http.server, which takes tokens that it gave out itself.

Delivers to nobody, and keeps what it was given. To whom Graph would have delivered is read from the header by readers
that have nothing to do with the relay's.
"""

import base64
import email
import json
import re
import threading
import urllib.parse
from email.header import decode_header, make_header
from email.policy import default
from email.utils import getaddresses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "access-token-of-the-test"
FIELDS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9._-]+")


class GraphParty:
    """Public: `url`, `requests` (mailbox, content), in their order."""

    def __init__(self):
        self.requests = []
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

    def _handler(party):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/token":
                    answer = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode()
                    return self._answer(200, answer)
                match = re.fullmatch(r"/v1\.0/users/([^/]+)/sendMail", self.path)
                if self.headers["authorization"] != f"Bearer {TOKEN}" or not match:
                    return self._answer(401, b'{"error":{"code":"InvalidAuthenticationToken","message":"no"}}')
                content = base64.b64decode(body, validate=True)
                with party.lock:
                    party.requests.append((urllib.parse.unquote(match.group(1)), content))
                self._answer(202, b"")

            def _answer(self, status, body):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler


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
