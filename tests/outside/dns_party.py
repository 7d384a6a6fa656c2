"""A private NSD, an authoritative name server, on a free port of 127.0.0.1 over UDP and TCP.

It serves the root: names that were not published do not exist (NXDOMAIN), those below BROKEN answer SERVFAIL. Publish
records as `{"firm.example": [("TXT", "v=spf1 -all"), ("MX", "10 mail.firm.example.")]}`; names need no dot at the end.
"""

import signal
import socket
import subprocess
from pathlib import Path

import dns.resolver

from network import free_port, wait_until

# A zone whose file is not there: NSD answers SERVFAIL for all of it.
BROKEN = "servfail.example"

CONFIGURATION = """
server:
    server-count: 1
    ip-address: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    zonesdir: "{home}"
    database: ""
    pidfile: "{home}/nsd.pid"
    logfile: "{home}/log"
    xfrdfile: "{home}/xfrd.state"
    zonelistfile: "{home}/zone.list"
    xfrdir: "{home}"
    cookie-secret-file: "{home}/no-cookies"
    zonefiles-check: yes
    rrl-ratelimit: 0
    hide-version: yes
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "{home}/root.zone"
zone:
    name: "{broken}"
    zonefile: "{home}/is-not-there.zone"
"""


class NameServer:
    """A running NSD: `port`, `address` for `[dns] servers`, and what `publish` was given last."""

    def __init__(self, home):
        self.home = Path(home)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.serial = 1
        self.process = None

    def start(self):
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "nsd.conf").write_text(CONFIGURATION.format(port=self.port, home=self.home, broken=BROKEN))
        self._write({})
        with (self.home / "said").open("wb") as said:
            self.process = subprocess.Popen(
                ["nsd", "-d", "-c", str(self.home / "nsd.conf")], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self._wait()
        return self

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def publish(self, records):
        """Serves these records, and no others; returns when they are served. A second call replaces the first's."""
        self.serial += 1
        self._write(records)
        # The old servers share the sockets with the new ones, and answer by the old records until they are gone.
        old = servers(self.process.pid)
        self.process.send_signal(signal.SIGHUP)
        self._wait()
        wait_until(lambda: not old & living().keys(), 20, lambda: f"NSD's old servers {old} to end: {self.log()[-3000:]}")
        return self

    def resolver(self):
        """A dnspython resolver that asks this server, for independent verifiers."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        resolver.timeout, resolver.lifetime = 2, 6
        return resolver

    def texts(self, name):
        """The TXT records of a name, as octets; none where there is no such name."""
        try:
            return [b"".join(record.strings) for record in self.resolver().resolve(name.rstrip(".") + ".", "TXT")]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    def log(self):
        names = ("said", "log")
        return "".join((self.home / name).read_text(errors="replace") for name in names if (self.home / name).exists())

    def _write(self, records):
        lines = [
            "$TTL 1",
            f". SOA ns.test. admin.test. {self.serial} 3600 600 86400 1",
            ". NS ns.test.",
            f"{BROKEN}. NS ns.test.",
            "ns.test. A 127.0.0.1",
        ]
        for name, values in records.items():
            lines += [f"{name.rstrip('.')}. {kind} {text(value) if kind == 'TXT' else value}" for kind, value in values]
        # NSD looks at the time of the file: a new one has a new time and a new number.
        path = self.home / "root.zone"
        path.with_suffix(".new").write_text("\n".join(lines) + "\n")
        path.with_suffix(".new").replace(path)

    def _wait(self):
        wait_until(lambda: self._served() == self.serial, 20, lambda: f"NSD on {self.port}: {self.log()[-3000:]}")

    def _served(self):
        assert self.process.poll() is None, f"NSD has ended: {self.log()[-3000:]}"
        try:
            return self.resolver().resolve(".", "SOA", lifetime=1)[0].serial
        except (dns.exception.DNSException, OSError, socket.timeout):
            return None


def living():
    """The parent of each process that lives, by its id."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    return parents


def servers(pid):
    """The processes below one that have begun none themselves: those of NSD that answer."""
    parents, below, more = living(), set(), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - below
        below |= more
    return below - set(parents.values())


def text(value):
    """A TXT value for a zone file: strings of at most 255 octets, quoted and escaped."""
    octets = value.encode() if isinstance(value, str) else value
    pieces = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(map(escaped, piece)) + '"' for piece in pieces)


def escaped(octet):
    if octet in b'"\\' or not 32 <= octet < 127:
        return f"\\{octet:03d}"
    return chr(octet)
