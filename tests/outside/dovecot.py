"""A private Dovecot (2.3) submission service on loopback: every mechanism, over STARTTLS, and what it takes goes to a sink.

Passwords are those of PASSWORDS; tokens are JWTs that it checks by itself, with the key in the folder that it is told.
"""

import re
import signal
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
protocols = submission
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
  args = {home}/passwords
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
    """A running Dovecot: `port`, `ca_file`, the log, and `sink` with what arrived."""

    def __init__(self, home, tls, authorization_server, mechanisms=MECHANISMS):
        self.home, self.tls = Path(home), tls
        self.ca_file = tls / "ca.pem"
        self.port = free_port()
        self.sink = Sink()
        self.server = authorization_server
        self.mechanisms = " ".join(mechanisms)
        self.process = None
        self.before = 0

    def start(self):
        version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        assert version.startswith("2.3"), f"this configuration is for Dovecot 2.3, this is {version}"
        self.sink.start()
        self._write()
        with (self.home / "said").open("wb") as said:
            self.process = subprocess.Popen(
                ["dovecot", "-F", "-c", str(self.home / "dovecot.conf")], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        wait_until(lambda: port_answers(self.port), 20, lambda: f"Dovecot on {self.port}: {self.log()}")
        return self

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        self.sink.stop()

    def clear(self):
        self.before = len(self.log())
        self.sink.arrivals.clear()
        self.sink.numbers.clear()

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
        (self.home / "passwords").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        (self.home / "passwords").chmod(0o644)
        (self.home / "oauth2.conf").write_text(OAUTH.format(keys=self.server.keys, issuer=self.server.url))
        (self.home / "dovecot.conf").write_text(MAIN.format(
            home=self.home, tls=self.tls, mechanisms=self.mechanisms, sink=self.sink.port, port=self.port,
        ))
