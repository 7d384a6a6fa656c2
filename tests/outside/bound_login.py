"""A submission server whose logins are bound to their TLS connection: OpenSSL ends TLS, GNU SASL judges the login, aiosmtpd
speaks SMTP. And somebody in the middle, whose certificate is as good as the server's.

Who logs in is USER with PASSWORD.
"""

import ctypes
import select
import socket
import ssl
import threading
from base64 import b64decode, b64encode

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import MISSING, AuthResult
from OpenSSL import SSL

from network import free_port
from sink import Sink

USER, PASSWORD = "mailer@firm.example", "pa55 of the mailer"

BOUND, UNBOUND = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"

# Of gsasl.h.
OK, NEEDS_MORE = 0, 1
AUTHID, PASSWORD_OF, CB_TLS_EXPORTER = 1, 3, 25

# RFC 9266.
LABEL, LENGTH = b"EXPORTER-Channel-Binding", 32


def gnu_sasl():
    """The library, which Debian has in libgsasl18."""
    library = ctypes.CDLL("libgsasl.so.18")
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    library.gsasl_init.argtypes = [ctypes.POINTER(handle)]
    library.gsasl_done.argtypes = [handle]
    library.gsasl_server_start.argtypes = [handle, text, ctypes.POINTER(handle)]
    library.gsasl_finish.argtypes = [handle]
    library.gsasl_step64.argtypes = [handle, text, ctypes.POINTER(handle)]
    library.gsasl_property_set.argtypes = [handle, ctypes.c_int, text]
    library.gsasl_property_fast.argtypes = [handle, ctypes.c_int]
    library.gsasl_property_fast.restype = text
    library.gsasl_free.argtypes = [handle]
    library.gsasl_strerror_name.restype = text
    return library


class Exchange:
    """One login, as GNU SASL judges it."""

    def __init__(self, mechanism, binding):
        self.library, self.context, self.session = gnu_sasl(), ctypes.c_void_p(), ctypes.c_void_p()
        assert self.library.gsasl_init(ctypes.byref(self.context)) == OK
        started = self.library.gsasl_server_start(self.context, mechanism.encode(), ctypes.byref(self.session))
        assert started == OK, self.name(started)
        if binding is not None:
            self.library.gsasl_property_set(self.session, CB_TLS_EXPORTER, b64encode(binding))

    def step(self, said):
        """The library's verdict, and what is to be answered; both in the library's and SMTP's own base64."""
        out = ctypes.c_void_p()
        verdict = self.library.gsasl_step64(self.session, said, ctypes.byref(out))
        answer = ctypes.cast(out, ctypes.c_char_p).value or b""
        self.library.gsasl_free(out)
        if self.library.gsasl_property_fast(self.session, AUTHID) == USER.encode():
            self.library.gsasl_property_set(self.session, PASSWORD_OF, PASSWORD.encode())
        return verdict, answer

    def name(self, verdict):
        return self.library.gsasl_strerror_name(verdict).decode()

    def close(self):
        self.library.gsasl_finish(self.session)
        self.library.gsasl_done(self.context)


class Front:
    """Ends TLS 1.3 at `port`, and carries what is said to where `connect` leads; it is told what the connection is known by.
    What comes back goes through `edit`."""

    def __init__(self, tls, connect, edit=bytes):
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate_chain_file(str(tls / "server.pem"))
        self.context.use_privatekey_file(str(tls / "server.key"))
        self.connect, self.edit = connect, edit
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        # Whoever waits in it is woken.
        for each in [self.listener, *self.open]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        outer = SSL.Connection(self.context, client)
        try:
            outer.set_accept_state()
            outer.do_handshake()
            with self.connect(outer.export_keying_material(LABEL, LENGTH, b"")) as inner:
                carry(outer, client, inner, self.edit)
        except (SSL.Error, OSError):
            pass
        finally:
            client.close()


def carry(outer, client, inner, edit):
    """Until one of them ends."""
    while True:
        ready, _, _ = select.select([client, inner], [], [], 60)
        if not ready:
            return
        if client in ready:
            said = outer.recv(65536)
            if not said:
                return
            inner.sendall(said)
        if inner in ready:
            said = inner.recv(65536)
            if not said:
                return
            outer.sendall(edit(said))


class BoundServer(Sink):
    """Takes mail from who has logged in by SCRAM; `port` speaks TLS at once. `verdicts` are the logins that were tried: the
    mechanism, how the client stands to a binding (its gs2 flag), and what GNU SASL says."""

    def __init__(self, tls, offers=(BOUND, UNBOUND)):
        super().__init__()
        self.ca_file, self.tls, self.offers = tls / "ca.pem", tls, offers
        self.plain = free_port()
        # By the port that the front speaks from.
        self.bindings = {}
        self.verdicts = []
        self.front = None

    def start(self):
        known = {"LOGIN", "PLAIN", BOUND, UNBOUND}
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.plain, auth_required=True, auth_require_tls=False,
            auth_exclude_mechanism=known - set(self.offers), ready_timeout=20,
        )
        self.controller.start()
        self.front = Front(self.tls, self._connect)
        self.port = self.front.port
        return self

    def stop(self):
        self.front.stop()
        super().stop()

    def _connect(self, binding):
        plain = socket.socket()
        plain.bind(("127.0.0.1", 0))
        self.bindings[plain.getsockname()[1]] = binding
        plain.connect(("127.0.0.1", self.plain))
        return plain

    async def auth_SCRAM__SHA__256__PLUS(self, server, args):
        return await self._scram(server, args)

    async def auth_SCRAM__SHA__256(self, server, args):
        return await self._scram(server, args)

    async def _scram(self, server, args):
        # Who knows of no binding has none to compare.
        binding = self.bindings[server.session.peer[1]] if BOUND in self.offers else None
        exchange = Exchange(args[0], binding)
        try:
            said, flag = args[1].encode(), None
            while True:
                verdict, answer = exchange.step(said)
                flag = flag or gs2_flag(said)
                if verdict in (OK, NEEDS_MORE) and answer:
                    response = await server.challenge_auth(answer, encode_to_b64=False)
                    if response is MISSING:
                        return AuthResult(success=False)
                    said = b64encode(response)
                if verdict != NEEDS_MORE:
                    break
            self.verdicts.append((args[0], flag, exchange.name(verdict)))
            return AuthResult(success=verdict == OK, handled=False, auth_data=USER)
        finally:
            exchange.close()


def gs2_flag(first):
    """`n`, `y` or `p=…` (RFC 5802 7)."""
    return b64decode(first).split(b",", 1)[0].decode()


class InTheMiddle(Front):
    """Speaks TLS with both sides, and carries what they say; `hide` is left out of what the server offers."""

    def __init__(self, server, hide=""):
        context = ssl.create_default_context(cafile=server.ca_file)

        def connect(_):
            return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost")

        super().__init__(server.tls, connect, lambda said: said.replace(f" {hide}".encode(), b"") if hide else said)
        self.ca_file = server.ca_file
