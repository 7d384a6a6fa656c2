"""The relays that take turns: Mailsluice and Postfix. Each takes by ESMTP, syncs, answers, and sends to the sink.

A contender has `title`, `start()`, `stop()`, `pid()`, `port`, `log()`, and is made of a folder, the port of the sink, and the
way that both lines speak.
"""

import os
import subprocess
from pathlib import Path

from network import free_port, port_answers, wait_until
from postfix import MASTER, Postfix
from relay import clean_environment

UPSTREAM_CONNECTIONS = 20
LIMIT_OF_SIZE = 64 << 20


def shown(folder):
    """All that the contender wrote into its log, or the reason why there is none."""
    path = Path(folder) / "log"
    return path.read_text(errors="replace") if path.exists() else ""


class Program:
    """A relay that is one command in the foreground, which writes its log to stdout or stderr."""

    def __init__(self, home, sink, way):
        self.home, self.port, self.process = Path(home), free_port(), None
        self.home.mkdir(parents=True)
        self.prepare(sink, way)

    def prepare(self, sink, way):
        """Writes the configuration."""
        raise NotImplementedError

    def words(self):
        """The command line."""
        raise NotImplementedError

    def start(self):
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment())
        wait_until(lambda: self._up(), 20, lambda: f"{self.title}: {self.log()}")

    def _up(self):
        assert self.process.poll() is None, f"{self.title} ended: {self.log()}"
        return port_answers(self.port)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def log(self):
        return shown(self.home)

    def pid(self):
        return self.process.pid


class MailsluiceRelay(Program):
    """Mailsluice's defaults, but for the same number of upstream connections and no limit per client."""

    title = "Mailsluice"
    dkim = False

    CONFIG = """
hostname = "relay.example"
data_dir = "data"
[[listener]]
address = "127.0.0.1:{port}"
{listener}
[session]
max_connections_per_client = 1000
[[upstream]]
name = "sink"
host = "127.0.0.1"
port = {sink}
security = "{security}"
{upstream}
[upstream.limits]
connections = {connections}
"""
    KEY = """
[[dkim]]
domain = "firm.example"
selector = "s2026"
key = {{ file = "{key}" }}
"""

    def prepare(self, sink, way):
        listener = upstream = ""
        if not way.clear:
            listener = f'tls = "{way.name}"\ncertificate = "{way.certificate}"\nkey = "{way.key}"'
            upstream = f'ca_file = "{way.ca}"'
        text = self.CONFIG.format(
            port=self.port, sink=sink, connections=UPSTREAM_CONNECTIONS, listener=listener,
            security="none" if way.clear else "starttls", upstream=upstream,
        )
        if self.dkim:
            key = self.home / "dkim.pem"
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, timeout=20)
            key.chmod(0o600)
            text += self.KEY.format(key=key)
        (self.home / "mailsluice.toml").write_text(text)

    def words(self):
        return [os.environ["MAILSLUICE_BIN"], "run", "--config", self.home / "mailsluice.toml"]

    def stop(self):
        super().stop()
        assert self.process.returncode == 0, self.log()[-2000:]


class SigningRelay(MailsluiceRelay):
    """The same, which signs each message with an Ed25519 key. None of the others signs by itself."""

    title = "Mailsluice, signing"
    dkim = True


class PostfixRelay(Postfix):
    """Debian's Postfix as a relay to the sink: its defaults, without the limits and waits that would slow this load."""

    title = "Postfix"

    main = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = /
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [127.0.0.1]:SINK
message_size_limit = SIZE
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = LEVEL
smtp_tls_security_level = LEVEL
smtp_dns_support_level = disabled
default_process_limit = 200
in_flow_delay = 0
initial_destination_concurrency = CONNECTIONS
smtp_destination_concurrency_limit = CONNECTIONS
"""
    # The same work: upstream connections stay open under load, and a broken-off one resumes its TLS session.
    tls = """
smtpd_tls_cert_file = CERTIFICATE
smtpd_tls_key_file = KEY
smtp_tls_CAfile = CA
smtp_tls_connection_reuse = yes
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtpd_tls_wrappermode = IMPLICIT
"""
    master = MASTER + "smtp unix - - n - - smtp\nrelay unix - - n - - smtp\ntlsproxy unix - - n - 0 tlsproxy\n"

    def __init__(self, home, sink, way):
        super().__init__(home)
        values = {"SINK": sink, "SIZE": LIMIT_OF_SIZE, "LEVEL": "none" if way.clear else "encrypt", "CONNECTIONS": UPSTREAM_CONNECTIONS}
        if not way.clear:
            # The text goes through str.format.
            self.main += self.tls.replace("{", "{{").replace("}", "}}")
            values |= {"CERTIFICATE": way.certificate, "KEY": way.key, "CA": way.ca, "IMPLICIT": "yes" if way.name == "implicit" else "no"}
        for name, value in values.items():
            self.main = self.main.replace(name, str(value))

    def _write_secrets(self):
        """None: nobody logs in here."""

    def pid(self):
        return int((self.home / "queue" / "pid" / "master.pid").read_text())
