"""The two ends of every line: the client that hands messages in, and the sink that takes and counts them.

In clear text they are Postfix's smtp-source and smtp-sink; these speak no TLS, so that `smtp_load` stands in for both.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from network import free_port, port_answers, wait_until
from postfix import make_certificates

SENDER, RECIPIENT = "office@firm.example", "customer@elsewhere.example"


@dataclass(frozen=True)
class Load:
    """What the client does: so many sessions, messages and octets; `each` message on a connection of its own, or not."""

    sessions: int
    messages: int
    octets: int
    each: bool


class Sink:
    """smtp-sink, which counts what it takes."""

    def __init__(self, folder):
        self.port = free_port()
        self.file = folder / "sink"
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(self._words(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        wait_until(lambda: port_answers(self.port), 10, lambda: f"the sink: {self.file.read_text()}")

    def _words(self):
        user = ["-u", "postfix"] if os.geteuid() == 0 else []
        return ["smtp-sink", "-c", *user, "-h", "sink.example", f"127.0.0.1:{self.port}", "1000"]

    def count(self):
        """The messages taken so far; the counter line is written over and over, so its end is enough."""
        with self.file.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - 400))
            found = re.findall(rb"mesg=(\d+)", lines.read())
        return int(found[-1]) if found else 0

    def agreed(self):
        """What the first handshake agreed on, and how many there were; nothing in clear text."""
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Clear:
    """Both lines in clear text."""

    name = "none"
    clear = True

    def sink(self, folder):
        return Sink(folder)

    def source(self, port, load):
        kept = [] if load.each else ["-d"]
        return ["smtp-source", *kept, "-s", str(load.sessions), "-m", str(load.messages), "-l", str(load.octets),
                "-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{port}"]


class Encrypted:
    """TLS on both lines; the way in by STARTTLS or implicit, the way out by STARTTLS.

    One certificate (ECDSA, P-256) serves all relays and the sink.
    """

    clear = False

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make_certificates(folder)
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        self.load = os.environ["SMTP_LOAD_BIN"]

    def sink(self, folder):
        return EncryptedSink(folder, self)

    def source(self, port, load):
        return [self.load, "source", "--to", f"127.0.0.1:{port}", "--ca", str(self.ca), "--tls", self.name,
                "--connections", "each" if load.each else "kept",
                "--sessions", str(load.sessions), "--messages", str(load.messages), "--octets", str(load.octets)]

    def source_to_sink(self, port, load):
        """The client straight to the sink, which knows STARTTLS alone."""
        words = self.source(port, load)
        words[words.index("--tls") + 1] = "starttls"
        return words


class EncryptedSink(Sink):
    """`smtp_load sink`, which takes mail inside STARTTLS alone."""

    def __init__(self, folder, way):
        self.way = way
        super().__init__(folder)

    def _words(self):
        return [self.way.load, "sink", "--listen", f"127.0.0.1:{self.port}", "--certificate", str(self.way.certificate),
                "--key", str(self.way.key)]

    def agreed(self):
        text = self.file.read_text()
        handshakes = re.findall(r"handshakes=(\d+)", text)
        return f"{re.search(r'tls=(.*)', text).group(1)}, {handshakes[-1]} handshakes"
