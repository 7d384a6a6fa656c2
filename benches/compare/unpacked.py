"""The relays that are unpacked and not installed: OpenSMTPD and Exim.

Debian builds both with fixed paths below /var and with users of their own. Each runs in a mount namespace in which /var is a
folder on the measured disk, and /etc/passwd and /etc/group know these users; the machine itself stays as it is.
"""

import os
import shutil
from pathlib import Path

from relays import LIMIT_OF_SIZE, UPSTREAM_CONNECTIONS, Program

FIRST_ID = 64_700
ENTER = (
    'mount --make-rprivate / && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && '
    'mount --bind "$1/var" /var && shift && exec "$@"'
)


class Unpacked(Program):
    """A relay in its own mount namespace. `home/var` is its /var, and `packages/<folder>` what was unpacked."""

    folder = ""
    users = ()
    # What the program wants below /var: path, owner and group ("" is root), mode.
    folders = ()

    def __init__(self, home, sink, way):
        self.packages = Path(os.environ["PEERS"]) / self.folder
        super().__init__(home, sink, way)

    def prepare(self, sink, way):
        self.var = self.home / "var"
        ids = {user: FIRST_ID + number for number, user in enumerate(self.users)}
        passwd = "".join(f"{user}:x:{id}:{id}::/var/empty:/usr/sbin/nologin\n" for user, id in ids.items())
        group = "".join(f"{user}:x:{id}:\n" for user, id in ids.items())
        (self.home / "passwd").write_text(Path("/etc/passwd").read_text() + passwd)
        (self.home / "group").write_text(Path("/etc/group").read_text() + group)
        for path, owner, group, mode in (("tmp", "", "", 0o1777), ("run", "", "", 0o755), ("empty", "", "", 0o755), *self.folders):
            folder = self.var / path
            folder.mkdir(parents=True)
            folder.chmod(mode)
            os.chown(folder, ids.get(owner, 0), ids.get(group, 0))
        # What runs as one of these users cannot walk to where this folder is.
        if not way.clear:
            for file in (way.certificate, way.key, way.ca):
                copy = self.var / Path(file).name
                shutil.copy(file, copy)
                copy.chmod(0o640)
                os.chown(copy, 0, ids[self.users[0]])
        (self.var / "relay.conf").write_text(self.config(sink, way))

    def config(self, sink, way):
        """The text of the configuration."""
        raise NotImplementedError

    def words(self):
        return ["unshare", "--mount", "sh", "-c", ENTER, "sh", self.home, *self.program()]

    def program(self):
        """The command line inside."""
        raise NotImplementedError


def libraries(packages):
    """Sets the search path for libraries that had to be unpacked, too."""
    return ["env", f"LD_LIBRARY_PATH={packages}/usr/lib/x86_64-linux-gnu:{packages}/lib/x86_64-linux-gnu"]


class OpenSmtpdRelay(Unpacked):
    """OpenSMTPD with its defaults, without the limits that would slow this load. It syncs each file of its queue.

    Debian's 6.8.0p2 ends each TLS handshake with "EVP lib" (OpenSSL 3), with an ECDSA and with an RSA key: in clear text alone.
    """

    title, folder = "OpenSMTPD", "opensmtpd"
    only_clear = True
    users = ("opensmtpd", "opensmtpq")
    folders = (
        ("lib/opensmtpd/empty", "", "", 0o755), ("spool/smtpd", "", "", 0o711),
        ("spool/smtpd/offline", "", "opensmtpq", 0o770),
        *((f"spool/smtpd/{name}", "opensmtpq", "", 0o700) for name in ("queue", "corrupt", "incoming", "purge", "temporary")),
    )

    def config(self, sink, way):
        assert way.clear, "its TLS does not work here"
        return (
            f"smtp limit max-mails 1000000\nsmtp max-message-size {LIMIT_OF_SIZE}\n"
            f"mta limit max-conn-per-host {UPSTREAM_CONNECTIONS}\nmta limit max-conn-per-route {UPSTREAM_CONNECTIONS}\n"
            "mta limit conn-delay-relay 0\nmta limit conn-delay-route 0\nmta limit reconn-delay-route 0\n"
            f"listen on 127.0.0.1 port {self.port} hostname relay.example\n"
            f'action out relay host "smtp://127.0.0.1:{sink}"\nmatch from any for any action out\n'
        )

    def program(self):
        return [*libraries(self.packages), f"{self.packages}/usr/sbin/smtpd", "-d", "-f", "/var/relay.conf"]


class EximRelay(Unpacked):
    """Exim with its defaults, without the limits that would slow this load. It syncs the two files of each message."""

    title, folder = "Exim", "exim"
    users = ("Debian-exim",)
    folders = (
        ("spool/exim4", "Debian-exim", "Debian-exim", 0o750), ("log/exim4", "Debian-exim", "Debian-exim", 0o750),
        ("lib/exim4", "", "", 0o755), ("bin", "", "", 0o755),
    )

    CONFIG = """
exim_path = /var/bin/exim4
primary_hostname = relay.example
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
host_lookup =
rfc1413_hosts =
keep_environment = LD_LIBRARY_PATH
message_size_limit = {size}
acl_smtp_rcpt = take
smtp_accept_max = 1000
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
dkim_verify_signers =
{incoming}
begin acl
take:
  accept
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {sink}
  hosts_try_fastopen =
{outgoing}
begin retry
* * F,2h,1m
"""
    INCOMING = """
tls_advertise_hosts = *
tls_certificate = /var/server.pem
tls_privatekey = /var/server.key
"""
    OUTGOING = """
  hosts_require_tls = *
  tls_verify_certificates = /var/ca.pem
  tls_verify_cert_hostnames =
"""

    def prepare(self, sink, way):
        super().prepare(sink, way)
        # The path is compiled in, and with it the root's right to use the file.
        (self.var / "relay.conf").rename(self.var / "lib/exim4/config.autogenerated")
        # Set-uid, by which a process that has given up its rights starts a delivery.
        shutil.copy(self.packages / "usr/sbin/exim4", self.var / "bin/exim4")
        (self.var / "bin/exim4").chmod(0o4755)

    def config(self, sink, way):
        incoming, outgoing = ("tls_advertise_hosts =", "  hosts_avoid_tls = *") if way.clear else (self.INCOMING, self.OUTGOING)
        if way.name == "implicit":
            incoming += f"tls_on_connect_ports = {self.port}\n"
        return self.CONFIG.format(port=self.port, sink=sink, size=LIMIT_OF_SIZE, incoming=incoming, outgoing=outgoing)

    def program(self):
        # -q1m starts a runner of the queue each minute, as Debian's daemon does each half hour.
        return [*libraries(self.packages), "/var/bin/exim4", "-bdf", "-q1m"]

    def log(self):
        files = sorted((self.var / "log/exim4").glob("*")) if self.process else []
        return super().log() + "".join(file.read_text(errors="replace")[-3000:] for file in files)
