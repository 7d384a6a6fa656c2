"""An upstream with mailboxes: SMTP with a login, and the little of IMAP that puts a copy into a Sent folder."""

import re
import socket
import ssl
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from crash_upstream import NUMBER, CrashUpstream

SEARCH = re.compile(rb'^UID SEARCH HEADER Message-ID "(.*)"$', re.IGNORECASE)
APPEND = re.compile(rb"^APPEND .*\{(\d+)\}$", re.IGNORECASE)


class MailboxUpstream(CrashUpstream):
    """`history` has the copies: (recorded, number, octets)."""

    def __init__(self, port, imap, tls):
        """`imap` is the port of that, `tls` a folder with `server.pem` and `server.key`."""
        super().__init__(port)
        self.imap = imap
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(tls / "server.pem", tls / "server.key")
        self.listener = None

    def start(self):
        well = lambda *_: AuthResult(success=True)
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, auth_require_tls=False, authenticator=well, ready_timeout=20
        )
        self.controller.start()
        self.listener = socket.create_server(("127.0.0.1", self.imap))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        super().stop()
        if self.listener is not None:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except (OSError, AttributeError):
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(60)
        try:
            with self.context.wrap_socket(connection, server_side=True) as shielded:
                stream = shielded.makefile("rwb")
                say(stream, b"* PREAUTH [CAPABILITY IMAP4rev1] ready")
                while line := stream.readline():
                    tag, _, command = line.rstrip(b"\r\n").partition(b" ")
                    self._answer(stream, command)
                    say(stream, tag + b" OK done")
        except OSError:
            pass

    def _answer(self, stream, command):
        search, append = SEARCH.match(command), APPEND.match(command)
        if search:
            wanted = b"Message-ID: " + search.group(1)
            found = [str(place).encode() for place, copy in enumerate(list(self.history), 1) if wanted in copy[2][:8192]]
            say(stream, b" ".join([b"* SEARCH", *found]))
        elif append:
            say(stream, b"+ go on")
            octets = stream.read(int(append.group(1)) + 2)[:-2]
            number = NUMBER.search(octets)
            self.history.append((self.recorded(), number.group(1).decode() if number else "", octets))


def say(stream, line):
    stream.write(line + b"\r\n")
    stream.flush()
