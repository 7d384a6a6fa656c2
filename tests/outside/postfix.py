"""A private Postfix on a loopback port: own configuration, queue, certificates and mailbox. Needs root.

STARTTLS and AUTH are required of every client, and every recipient's mail ends in one Maildir; recipients at
refused.example are refused.
The machine's own Postfix, if there is one, is not touched.
"""

import os
import shutil
import subprocess
from pathlib import Path

from network import free_port, port_answers, wait_until

REALM = "postfix.example"
USER = f"mailer@{REALM}"
PASSWORD = "s3cret word"

MAIN = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = /tmp, /var
myhostname = postfix.example
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
mynetworks =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
message_size_limit = 52428800
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{refused.example = 550 5.1.1 no such user here}} }}
smtpd_sasl_auth_enable = yes
smtpd_sasl_authenticated_header = yes
smtpd_sasl_local_domain = postfix.example
cyrus_sasl_config_path = {home}/conf/sasl
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {home}/tls/server.pem
smtpd_tls_key_file = {home}/tls/server.key
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

SASL = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {home}/data/sasldb2
mech_list: PLAIN LOGIN CRAM-MD5
"""


def with_values(main, values):
    """The configuration with these values, each in place of the one that it has.

    A name that is given twice is warned of by each process, over a socket that holds ten lines until postlogd reads them: so many
    warnings, and the master waits for a process that it has yet to start.
    """
    named = values.keys()
    kept = [line for line in main.splitlines() if line.split("=")[0].strip() not in named]
    return "\n".join([*kept, *(f"{name} = {value}" for name, value in values.items())]) + "\n"


class Postfix:
    """A running Postfix: `port`, `ca_file`, the log, and the messages that arrived."""

    main, master = MAIN, MASTER

    def __init__(self, home):
        self.home = Path(home)
        self.port = free_port()
        self.ca_file = self.home / "tls" / "ca.pem"
        self.mailbox = self.home / "mail" / "inbox" / "new"

    def start(self):
        self._write()
        self.start_again()

    def start_again(self):
        self._postfix("start")
        wait_until(lambda: port_answers(self.port), 20, lambda: f"Postfix on {self.port}: {self.log()}")

    def stop(self):
        self._postfix("stop")

    def log(self):
        path = self.home / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self):
        """The mailbox's messages, oldest first, with LF line ends as Postfix stores them."""
        found = self.mailbox.iterdir() if self.mailbox.exists() else []
        return [path.read_bytes() for path in sorted(found, key=lambda p: p.stat().st_mtime_ns)]

    def wait_for(self, count, seconds=30):
        wait_until(lambda: len(self.messages()) >= count, seconds, lambda: f"{count} messages at Postfix: {self.log()[-3000:]}")
        return self.messages()

    def clear(self):
        for path in self.mailbox.iterdir() if self.mailbox.exists() else []:
            path.unlink()

    def _postfix(self, verb):
        done = subprocess.run(
            ["postfix", "-c", str(self.home / "conf"), verb], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"postfix {verb}: {done.stderr} {self.log()}"

    def _write(self):
        for name in ("conf/sasl", "queue", "data", "mail", "tls"):
            (self.home / name).mkdir(parents=True)
        # Postfix's processes drop to their own users and must be able to walk here.
        for folder in [self.home, *self.home.parents]:
            if folder.stat().st_uid == os.geteuid() and folder not in (Path("/"), Path("/tmp")):
                folder.chmod(folder.stat().st_mode | 0o011)
        shutil.chown(self.home / "data", "postfix")
        os.chown(self.home / "mail", 65534, 65534)
        (self.home / "conf" / "main.cf").write_text(self.main.format(home=self.home))
        (self.home / "conf" / "master.cf").write_text(self.master.format(port=self.port))
        self._write_secrets()

    def _write_secrets(self):
        (self.home / "conf" / "sasl" / "smtpd.conf").write_text(SASL.format(home=self.home))
        database = self.home / "data" / "sasldb2"
        subprocess.run(
            ["saslpasswd2", "-p", "-c", "-f", str(database), "-u", REALM, USER.split("@")[0]],
            input=PASSWORD.encode(), check=True, timeout=20,
        )
        shutil.chown(database, "postfix")
        make_certificates(self.home / "tls")


def make_certificates(folder):
    """An authority `ca.pem` and, signed by it, a server certificate for localhost and 127.0.0.1."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")
