"""DKIM keys, and two independent verifiers that get the public keys locally: dkimpy and OpenDKIM."""

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dkim

from messages import fields

HERE = Path(__file__).resolve().parent


@dataclass
class Key:
    """A signing key as the relay's configuration and the verifiers want it."""

    domain: str
    selector: str
    file: Path
    record: str

    @property
    def name(self):
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def section(self):
        return f'[[dkim]]\ndomain = "{self.domain}"\nselector = "{self.selector}"\nkey = {{ file = "{self.file}" }}\n'


def make_key(folder, kind, selector, domain="firm.example"):
    """`kind`: rsa (PKCS#8), rsa-pkcs1 or ed25519."""
    file = folder / f"{selector}.pem"
    words = ["-algorithm", "ed25519"] if kind == "ed25519" else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    subprocess.run(["openssl", "genpkey", *words, "-out", file], check=True, capture_output=True, timeout=60)
    if kind == "rsa-pkcs1":
        subprocess.run(["openssl", "rsa", "-traditional", "-in", file, "-out", file], check=True, capture_output=True, timeout=60)
    file.chmod(0o600)
    public = subprocess.run(["openssl", "pkey", "-in", file, "-pubout", "-outform", "DER"], check=True, capture_output=True, timeout=60)
    der = public.stdout[-32:] if kind == "ed25519" else public.stdout
    record = f"v=DKIM1; k={'ed25519' if kind == 'ed25519' else 'rsa'}; p={base64.b64encode(der).decode()}"
    return Key(domain, selector, file, record)


def signatures(message):
    """The message's DKIM-Signature fields, in order, as raw text. The message has CRLF line ends."""
    head = message.split(b"\r\n\r\n", 1)[0].replace(b"\r\n", b"\n")
    return [text.replace(b"\n", b"\r\n") + b"\r\n" for name, text in fields(head) if name == b"dkim-signature"]


def with_only(message, keep):
    """The message with that one signature, since OpenDKIM's test mode tells of one only."""
    for signature in signatures(message):
        if signature != keep:
            message = message.replace(signature, b"", 1)
    return message


def dkimpy_verdicts(message, keys):
    """One bool for each signature."""
    records = {f"{key.name}.".encode(): key.record.encode() for key in keys}
    return dkimpy_says(message, lambda name: records.get(name.encode()))


def dkimpy_verdicts_by_dns(message, name_server):
    """One bool for each signature, by the records of that name server; of several dkimpy is given the first."""
    return dkimpy_says(message, lambda name: next(iter(name_server.texts(name)), None))


def dkimpy_says(message, text_of):
    def lookup(name, timeout=5):
        return text_of(name.decode() if isinstance(name, bytes) else name)

    verdicts = []
    for index in range(len(signatures(message))):
        try:
            verdicts.append(dkim.DKIM(message).verify(idx=index, dnsfunc=lookup))
        except dkim.DKIMException as fault:
            print(f"dkimpy: signature {index}: {fault}", file=sys.stderr)
            verdicts.append(False)
    return verdicts


def opendkim_verdicts(message, keys, folder):
    """One bool for each signature, from the filter's test mode with a file of public keys."""
    key_file = folder / "opendkim.keys"
    key_file.write_text("".join(f"{key.name} {key.record}\n" for key in keys))
    return opendkim_says(message, folder, f"TestPublicKeys {key_file}\n")


def opendkim_verdicts_by_dns(message, name_server, folder):
    """One bool for each signature, from the filter's test mode, which asks that name server by libunbound."""
    resolver = folder / "unbound.conf"
    resolver.write_text(
        'server:\n do-not-query-localhost: no\n module-config: "iterator"\n use-syslog: no\n'
        f'stub-zone:\n name: "."\n stub-addr: 127.0.0.1@{name_server.port}\n stub-prime: no\n'
    )
    return opendkim_says(message, folder, f"ResolverConfiguration {resolver}\n")


def opendkim_says(message, folder, where_keys_are):
    settings, file = folder / "opendkim.conf", folder / "opendkim.message"
    wishes = "".join(f"On-{what} reject\n" for what in ("BadSignature", "NoSignature", "KeyNotFound", "DNSError"))
    settings.write_text(f"{where_keys_are}Mode v\nSyslog no\n{wishes}")
    verdicts = []
    for signature in signatures(message):
        file.write_bytes(with_only(message, signature))
        done = subprocess.run(
            ["opendkim", "-x", settings, "-t", file, "-v"], capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stdout + done.stderr
        verdicts.append(" succeeded" in said and "SMFIS_ACCEPT" in said)
        if not verdicts[-1]:
            print(f"opendkim: {said}", file=sys.stderr)
    return verdicts


def can_have_own_network():
    """Whether this machine lets us make a network and mount namespace (root outside most containers)."""
    return subprocess.run(["unshare", "-mn", "true"], capture_output=True, timeout=20, check=False).returncode == 0


def testmsg_verdict(message, keys, folder):
    """opendkim-testmsg's exit status for the whole message. It asks a DNS server of our own, in a network namespace."""
    zone, file = folder / "zone", folder / "testmsg.message"
    zone.write_text("".join(f"{key.name} {key.record}\n" for key in keys))
    file.write_bytes(message)
    done = subprocess.run(
        ["unshare", "-mn", sys.executable, HERE / "private_dns.py", zone, "opendkim-testmsg"],
        stdin=file.open("rb"), capture_output=True, text=True, timeout=60, check=False,
    )
    if done.returncode != 0:
        print(f"opendkim-testmsg: {done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode == 0
