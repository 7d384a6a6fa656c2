"""A private Dovecot (2.3) on loopback: submission and IMAP, every mechanism, over TLS; what it takes for others goes to a sink.

Passwords are those of PASSWORDS; tokens are JWTs that it checks by itself, with the key in the folder that it is told.
"""

import imaplib
import re
import signal
import ssl
import subprocess
from pathlib import Path

from network import free_port, port_answers, wait_until
from sink import Sink

USER, PASSWORD = "mailer@firm.example", "pa55 of the mailer"

MAIN = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
auth_verbose = yes
protocols = submission imap
ssl = yes
ssl_cert = <{tls}/server.pem
ssl_key = <{tls}/server.key
disable_plaintext_auth = yes
hostname = dovecot.test
mail_location = maildir:{home}/mail/%u
first_valid_uid = 0
auth_mechanisms = {mechanisms}
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
submission_relay_host = 127.0.0.1
submission_relay_port = {sink}
submission_relay_trusted = no
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-256
  # Each protocol has its own, so that one can refuse what the other takes.
  args = {home}/passwords.%s
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={home}/mail/%u
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
# A refused login is answered at once, however many there were.
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

OAUTH = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={keys}/
username_attribute = email
issuers = {issuer}
"""

MECHANISMS = ("plain", "login", "cram-md5", "scram-sha-256", "xoauth2", "oauthbearer")


class Dovecot:
    """A running Dovecot: `port`, `imap` (STARTTLS), `imaps`, `ca_file`, the log, and `sink` with what arrived."""

    def __init__(self, home, tls, authorization_server, mechanisms=MECHANISMS):
        self.home, self.tls = Path(home), tls
        self.ca_file = tls / "ca.pem"
        self.port, self.imap, self.imaps = free_port(), free_port(), free_port()
        self.sink = Sink()
        self.server = authorization_server
        self.mechanisms = " ".join(mechanisms)
        self.process = None
        self.before = 0
        self.imap_password = PASSWORD

    def start(self):
        version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        assert version.startswith("2.3"), f"this configuration is for Dovecot 2.3, this is {version}"
        self.sink.start()
        self._write()
        with (self.home / "said").open("wb") as said:
            self.process = subprocess.Popen(
                ["dovecot", "-F", "-c", str(self.home / "dovecot.conf")], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        wait_until(lambda: all(map(port_answers, (self.port, self.imap, self.imaps))), 20, lambda: f"Dovecot on {self.port}: {self.log()}")
        return self

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        self.sink.stop()

    def clear(self):
        self.set_imap_password(PASSWORD)
        if any((self.home / "mail").iterdir()):
            self._delete_folders()
        self.before = len(self.log())
        self.sink.arrivals.clear()
        self.sink.numbers.clear()

    def set_imap_password(self, password):
        """From now on IMAP takes this password alone; it looks into the file once in a second."""
        if password == self.imap_password:
            return
        self.imap_password = password
        (self.home / "passwords.imap").write_text(f"{USER}:{{PLAIN}}{password}\n")
        wait_until(lambda: self._takes(password), 20, lambda: f"the password {password} at IMAP: {self.log()[-1000:]}")

    def _takes(self, password):
        try:
            with self.imap_client(password):
                return True
        except imaplib.IMAP4.error:
            return False

    def imap_client(self, password=PASSWORD):
        trusted = ssl.create_default_context(cafile=self.ca_file)
        client = imaplib.IMAP4_SSL("localhost", self.imaps, ssl_context=trusted, timeout=20)
        client.login(USER, password)
        return client

    def _delete_folders(self):
        with self.imap_client() as client:
            for line in client.list()[1]:
                name = line.decode().rsplit(' "." ', 1)[1]
                if name != "INBOX":
                    client.delete(name)

    def folder(self, name):
        """What IMAP shows of the messages in a folder: (flags, internal date, octets), or None where there is no folder."""
        with self.imap_client() as client:
            if client.select(f'"{name}"', readonly=True)[0] != "OK":
                return None
            numbers = client.search(None, "ALL")[1][0].split()
            found = [client.fetch(number, "(FLAGS INTERNALDATE BODY.PEEK[])")[1][0] for number in numbers]
        return [(imaplib.ParseFlags(head), imaplib.Internaldate2tuple(head), octets) for head, octets in found]

    def log(self):
        return "".join(path.read_text(errors="replace") for name in ("said", "log") if (path := self.home / name).exists())

    def methods(self):
        """The mechanisms of the logins that it has taken since it was cleared, as it names them."""
        return re.findall(r"Login: user=<[^>]*>, method=([A-Z0-9-]+)", self.log()[self.before:])

    def refusals(self):
        """How often a login was refused since then, by mechanism."""
        return re.findall(r"auth failed, [^:]*: user=<[^>]*>, method=([A-Z0-9-]+)", self.log()[self.before:])

    def wait_mail(self, count=1, seconds=30):
        wait_until(lambda: len(self.sink.arrivals) >= count, seconds, lambda: f"{count} messages: {self.log()[-3000:]}")
        return self.sink.arrivals

    def _write(self):
        (self.home / "mail").mkdir(parents=True)
        # Its processes drop to other users and must be able to walk here.
        for folder in [self.home, *self.home.parents]:
            if folder not in (Path("/"), Path("/tmp")):
                folder.chmod(folder.stat().st_mode | 0o055)
        (self.home / "mail").chmod(0o777)
        (self.home / "passwords.submission").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        (self.home / "passwords.imap").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        for protocol in ("submission", "imap"):
            (self.home / f"passwords.{protocol}").chmod(0o644)
        (self.home / "oauth2.conf").write_text(OAUTH.format(keys=self.server.keys, issuer=self.server.url))
        (self.home / "dovecot.conf").write_text(MAIN.format(
            home=self.home, tls=self.tls, mechanisms=self.mechanisms, sink=self.sink.port, port=self.port,
            imap=self.imap, imaps=self.imaps,
        ))
