"""A provider whose refresh tokens are good once: it takes the one before only as long as nothing of its successor was used.

So it is after a lost answer. Who shows an old one later has lost the sign-in, as with a thief.
"""

import base64
import json
import logging
import threading
import urllib.parse
from http.server import ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from crash_upstream import CrashUpstream
from network import JsonHandler

# aiosmtpd warns of what it does itself.
logging.getLogger("mail.log").setLevel(logging.ERROR)


class TokenUpstream(CrashUpstream):
    """An upstream that wants a token, and the provider that issues it; `provider` is the server for that.

    `history` has what was done with tokens, each with how much the relay's disk had been through by then: (recorded, what,
    generation). All that the provider knows follows from it.
    """

    def __init__(self, port, provider):
        super().__init__(port)
        self.provider = provider
        self.own = threading.RLock()

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, auth_require_tls=False, ready_timeout=20)
        self.controller.start()
        self.provider.tenants[str(self.port)] = self
        return self

    def stop(self):
        super().stop()
        self.provider.tenants.pop(str(self.port), None)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.provider.server_port}/{self.port}"

    def revoke(self):
        """The access tokens that were issued so far are good no longer."""
        with self.own:
            self._note("revoked", self._last("issued"))

    @property
    def is_lost(self):
        """Whether an old refresh token was shown when it was good no longer."""
        return self._last("lost") > 0

    def _note(self, what, generation):
        self.history.append((self.recorded(), what, generation))

    def _last(self, what):
        """The latest generation of which that is known; 0: none."""
        return max((generation for _, known, generation in self.history if known == what), default=0)

    def answer_token(self, asked):
        """(status, answer) to a request at /token."""
        with self.own:
            if asked["grant_type"] == "refresh_token":
                shown = int(asked["refresh_token"].removeprefix("refresh-"))
                if self.is_lost or shown < self._last("used") or shown > self._last("issued"):
                    self._note("lost", 1)
                    return 400, {"error": "invalid_grant", "error_description": "it was used before"}
                self._note("used", shown)
            generation = self._last("issued") + 1
            self._note("issued", generation)
        return 200, {
            "access_token": f"access-{generation}", "refresh_token": f"refresh-{generation}", "token_type": "Bearer",
            "expires_in": 3600, "scope": "mail offline_access",
        }

    async def auth_XOAUTH2(self, server, args):
        text = base64.b64decode(args[1]).decode() if len(args) > 1 else ""
        generation = int(text.split("access-", 1)[1].split("\1")[0]) if "access-" in text else 0
        with self.own:
            if generation <= self._last("revoked") or generation > self._last("issued"):
                return AuthResult(success=False, handled=False, message="535 5.7.8 the token is good no longer")
            self._note("used", generation)
        return AuthResult(success=True)


class Provider(ThreadingHTTPServer):
    """One place for all: a stored sign-in is good for its place alone. Each upstream has a path of its own there."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Requests)
        self.tenants = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Requests(JsonHandler):
    def do_POST(self):
        asked = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers.get("content-length", 0))).decode()))
        _, tenant, what = self.path.split("/")
        upstream = self.server.tenants.get(tenant)
        if what == "device":
            status, answer = 200, {"device_code": "d", "user_code": "A-B", "verification_uri": "http://127.0.0.1/", "expires_in": 600, "interval": 1}
        elif upstream is None:
            status, answer = 503, {"error": "temporarily_unavailable"}
        else:
            status, answer = upstream.answer_token(asked)
        self.answer(status, json.dumps(answer).encode())
