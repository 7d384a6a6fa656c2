"""A real Postfix whose TLS proves nothing, or asks who we are: mail waits with the reason, and no password is said."""

import base64
import hashlib
import subprocess
import tempfile
from pathlib import Path

import pytest

from messages import SAMPLES
from network import free_port
from postfix import MASTER, Postfix
from test_postfix_upstream import send, six_lines

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

AUTHORITY = """
[ca]
default_ca = own
[own]
database = index
rand_serial = yes
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
"""

# What each service does otherwise than the Postfix of the other tests, by the options of its smtpd.
SERVICES = {
    "expired": "smtpd_tls_cert_file={tls}/expired.pem smtpd_tls_key_file={tls}/expired.key",
    "early": "smtpd_tls_cert_file={tls}/early.pem smtpd_tls_key_file={tls}/early.key",
    "elsewhere": "smtpd_tls_cert_file={tls}/elsewhere.pem smtpd_tls_key_file={tls}/elsewhere.key",
    "self-signed": "smtpd_tls_cert_file={tls}/self.pem smtpd_tls_key_file={tls}/self.key",
    "wants-us": "smtpd_tls_req_ccert=yes smtpd_tls_CAfile={tls}/ca.pem",
    "wants-us-1.2": "smtpd_tls_req_ccert=yes smtpd_tls_CAfile={tls}/ca.pem smtpd_tls_mandatory_protocols=TLSv1.2",
    "asks-us": "smtpd_tls_ask_ccert=yes smtpd_tls_CAfile={tls}/ca.pem",
    "tls-1.1": "smtpd_tls_mandatory_protocols=TLSv1.1 tls_medium_cipherlist=ALL:@SECLEVEL=0",
    "at-once": "smtpd_tls_wrappermode=yes",
    "in-clear": "smtpd_tls_security_level=none",
}


class FaultyPostfix(Postfix):
    """A Postfix with a port for each of `SERVICES`."""

    def __init__(self, home):
        super().__init__(home)
        self.ports = {name: free_port() for name in SERVICES}
        tls = self.home / "tls"
        services = (
            f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd\n  "
            + " ".join(f"-o {option}" for option in options.format(tls=tls).split())
            for name, options in SERVICES.items()
        )
        self.master = MASTER + "\n".join(services) + "\n"

    def _write_secrets(self):
        super()._write_secrets()
        tls = self.home / "tls"
        (tls / "ca.cnf").write_text(AUTHORITY)
        (tls / "index").touch()
        self.signed("expired", "DNS:localhost", 2019, 2020)
        self.signed("early", "DNS:localhost", 2090, 2091)
        self.signed("elsewhere", "DNS:mail.elsewhere.example", 2020, 2090)
        self.signed("client", "DNS:relay.test", 2020, 2090)
        openssl(tls, "req", "-x509", *EC, "-days", "2", "-subj", "/CN=box", "-keyout", "self.key", "-out", "self.pem")

    def signed(self, name, names, first, last):
        """A certificate of the authority, from the beginning of one year to that of another."""
        tls = self.home / "tls"
        openssl(tls, "req", *EC, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (tls / f"{name}.names").write_text(f"subjectAltName={names}\n")
        openssl(tls, "ca", "-batch", "-notext", "-config", "ca.cnf", "-in", f"{name}.csr", "-out", f"{name}.pem",
                "-startdate", f"{first}0101000000Z", "-enddate", f"{last}0101000000Z", "-extfile", f"{name}.names")

    def pin(self, name):
        """Of a certificate's public key, as OpenSSL sees it."""
        tls = self.home / "tls"
        public = openssl(tls, "x509", "-in", f"{name}.pem", "-noout", "-pubkey")
        key = openssl(tls, "pkey", "-pubin", "-outform", "DER", given=public)
        return base64.b64encode(hashlib.sha256(key).digest()).decode()


def openssl(folder, *words, given=None):
    done = subprocess.run(["openssl", *words], cwd=folder, input=given, check=True, capture_output=True, timeout=60)
    return done.stdout


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="mailsluice-postfix-", dir="/tmp") as folder:
        postfix = FaultyPostfix(Path(folder) / "instance")
        postfix.start()
        yield postfix
        postfix.stop()


def config(server, folder, service, more=""):
    lines = six_lines(server, folder).replace(f"port = {server.port}\n", f"port = {server.ports[service]}\n")
    return lines + 'security = "starttls"\n' + more + '[upstream.timeouts]\ngreeting = "1s"\n'


def waits(start_relay, server, folder, service, more=""):
    """The log's word about mail that could not go there; nothing was said to Postfix that is for none but it."""
    server.clear()
    before = len(server.log())
    relay = start_relay(config(server, folder, service, more))
    send(relay, SAMPLES["plain"])
    told = relay.wait_event("deferred")[0]["reply"]
    assert relay.queued() == 1 and not server.messages()
    log = server.log()[before:]
    assert "sasl_" not in log and "from=<" not in log, log[-3000:]
    return told


def goes(start_relay, server, folder, service, more=""):
    """What Postfix logged while the mail went."""
    server.clear()
    before = len(server.log())
    relay = start_relay(config(server, folder, service, more))
    send(relay, SAMPLES["plain"])
    relay.wait_event("sent")
    return server.log()[before:]


@pytest.mark.parametrize(("service", "words"), [
    ("expired", "certificate expired at 2020-01-01T00:00:00Z"),
    ("early", "certificate is not valid yet, but from 2090-01-01T00:00:00Z on"),
    ("elsewhere", "not for localhost, but for mail.elsewhere.example; set host or tls_name"),
    ("tls-1.1", "speaks no TLS newer than 1.1"),
    ("at-once", 'set security = "tls"'),
    ("in-clear", "does not offer STARTTLS"),
    ("wants-us", "No client certificate presented"),
    ("wants-us-1.2", "No client certificate presented"),
])
def test_mail_waits_with_the_reason(service, words, start_relay, server, tmp_path):
    assert words in waits(start_relay, server, tmp_path, service)


def test_who_signed_itself_is_trusted_by_the_pin_that_the_log_names(start_relay, server, tmp_path):
    pin = server.pin("self")
    told = waits(start_relay, server, tmp_path, "self-signed")
    assert "is self-signed" in told and f'set pin = "{pin}"' in told, told
    other = f'pin = "{server.pin("elsewhere")}"\n'
    told = waits(start_relay, server, tmp_path, "self-signed", other)
    assert "not the one in pin" in told and pin in told, told
    assert "sasl_method" in goes(start_relay, server, tmp_path, "self-signed", f'pin = "{pin}"\n')


def test_a_pin_holds_beside_the_chain(start_relay, server, tmp_path):
    for service in ("expired", "elsewhere"):
        pin = f'pin = ["{server.pin("self")}", "{server.pin(service)}"]\n'
        told = waits(start_relay, server, tmp_path, service, pin)
        assert "expired at" in told or "not for localhost" in told, told
    good = f'pin = "{server.pin("elsewhere")}"\ntls_name = "mail.elsewhere.example"\n'
    assert "sasl_method" in goes(start_relay, server, tmp_path, "elsewhere", good)


@pytest.mark.parametrize("service", ["wants-us", "wants-us-1.2", "asks-us"])
def test_postfix_knows_us_by_our_certificate(service, start_relay, server, tmp_path):
    tls = server.home / "tls"
    key = tmp_path / "client.key"
    key.write_bytes((tls / "client.key").read_bytes())
    key.chmod(0o600)
    more = f'client_certificate = "{tls / "client.pem"}"\nclient_key = "{key}"\n'
    assert "Trusted TLS connection established from localhost" in goes(start_relay, server, tmp_path, service, more)


def test_who_only_asks_takes_mail_of_strangers(start_relay, server, tmp_path):
    assert "Anonymous TLS connection established" in goes(start_relay, server, tmp_path, "asks-us")


def test_clear_text_on_a_port_for_tls_is_named(start_relay, server, tmp_path):
    toml = config(server, tmp_path, "in-clear").replace('"starttls"', '"tls"')
    relay = start_relay(toml)
    send(relay, SAMPLES["plain"])
    assert 'set security = "starttls"' in relay.wait_event("deferred")[0]["reply"]
