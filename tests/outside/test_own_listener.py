"""An upstream that leads back to the relay itself, over an address translation that its configuration can't show."""

import smtplib
import socket
import threading
import time

from conftest import upstream_to
from messages import SAMPLES


class Translation:
    """Takes connections at a port of its own and joins each with one to `target`."""

    def __init__(self):
        self.target = None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._join, args=(source, sink), daemon=True).start()

    @staticmethod
    def _join(source, sink):
        try:
            while octets := source.recv(65536):
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_relay_that_meets_itself_keeps_its_mail(start_relay):
    translation = Translation()
    relay = start_relay(upstream_to(translation.port, 'disable_after = 1'))
    translation.target = relay.port
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])
    error = relay.wait_event("upstream_disabled")[0]
    assert error["level"] == "ERROR" and "this upstream is this relay itself" in error["reason"]
    time.sleep(1)
    assert len(relay.events("accepted")) == 1, "nothing went round"
    assert len(relay.events("upstream_disabled")) == 1
    assert relay.queued() == 1 and relay.command("upstream", "list")[0]["state"] != "ready"
    assert relay.terminate() == 0
    translation.socket.close()
