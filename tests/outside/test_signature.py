"""Signatures below mail, and S/MIME: what a recording upstream gets is read by Python's email and by openssl."""

import email
import email.policy
import smtplib
import subprocess
from email.message import EmailMessage

import pytest

from conftest import upstream_to
from messages import compose, fields
from network import wait_until
from test_clients import CLIENTS
from verifiers import dkimpy_verdicts, make_key

CUSTOMER = "customer@elsewhere.example"
TEXT = "-- \nFirm Ltd · Zürich\nGrüße, 5 €\n"
HTML = "<p>Firm Ltd &middot; <b>Zürich</b></p>\n"
SIGNED = '[upstream.signature]\ntext = "signature.txt"\nhtml = "signature.html"\n'


def start(start_relay, sink, folder, more="", files=()):
    folder.mkdir()
    for name, text in {"signature.txt": TEXT, "signature.html": HTML, **dict(files)}.items():
        (folder / name).write_text(text)
    return start_relay(upstream_to(sink.port, SIGNED) + more, folder)


def relayed(relay, sink, content, folder, client="smtplib", sender="office@firm.example"):
    """The message as the upstream gets it."""
    sink.arrivals.clear()
    if isinstance(content, EmailMessage):
        content = content.as_bytes(policy=email.policy.SMTP)
    if client == "smtplib":
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as session:
            session.sendmail(sender, [CUSTOMER], content, mail_options=["BODY=8BITMIME"])
    else:
        assert CLIENTS[client](relay, content, [CUSTOMER], folder) == 0
    wait_until(lambda: sink.arrivals, 30, "the message at the upstream")
    return sink.arrivals[0].content


def read(content):
    return email.message_from_bytes(content, policy=email.policy.default)


def invoice(charset="utf-8", cte=None):
    """Text in two forms, and a PDF."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Firm <office@firm.example>", CUSTOMER, "Invoice 17"
    message["Date"], message["Message-ID"] = "Sun, 22 Nov 2026 07:00:00 +0000", "<invoice@firm.example>"
    message.set_content("Sehr geehrte Frau Müller\n\nanbei die Rechnung.\n", charset=charset, cte=cte)
    message.add_alternative("<html><body><p>Sehr geehrte Frau Müller</p></body></html>\n", subtype="html", charset=charset, cte=cte)
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="pdf", filename="invoice.pdf")
    return message


@pytest.mark.feature(28)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_invoice_with_its_pdf_gets_the_signature_in_both_forms(client, start_relay, sink, tmp_path):
    relay = start(start_relay, sink, tmp_path / "relay")
    for charset, cte in [("utf-8", "quoted-printable"), ("utf-8", "base64"), ("utf-8", "8bit"), ("iso-8859-15", "quoted-printable")]:
        sent = invoice(charset, cte)
        got = read(relayed(relay, sink, sent, tmp_path, client))
        text, html = got.get_body(("plain",)).get_content(), got.get_body(("html",)).get_content()
        assert text.replace("\r\n", "\n").startswith("Sehr geehrte Frau Müller\n\nanbei die Rechnung.\n\n-- \n"), (charset, cte, text)
        assert text.replace("\r\n", "\n").rstrip("\n").endswith(TEXT.rstrip("\n")), (charset, cte, text)
        assert "<b>Zürich</b></p>" in html and html.index("Zürich") < html.index("</body>"), (charset, cte, html)
        [pdf] = got.iter_attachments()
        assert pdf.get_content() == bytes(range(256)) * 40, (charset, cte)


def test_a_rule_names_another_signature(start_relay, sink, tmp_path):
    rule = '[[signature]]\nname = "Sales"\ntext = "sales.txt"\n[[rule]]\nname = "sales"\nwhen = { sender = "sales@firm.example" }\n'
    files = {"sales.txt": "Ask our sales team.\n"}
    relay = start(start_relay, sink, tmp_path / "relay", rule + 'signature = "sales"\n', files)
    for sender, end in [("sales@firm.example", "Ask our sales team."), ("office@firm.example", TEXT.rstrip("\n"))]:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, CUSTOMER, "Offer 17"
        message.set_content("Hello.\n")
        got = read(relayed(relay, sink, message, tmp_path, sender=sender)).get_content()
        assert got.replace("\r\n", "\n").rstrip("\n").endswith(end) and ("sales" in got) == (sender[0] == "s"), (sender, got)


def test_what_does_not_change_keeps_every_octet(start_relay, sink, tmp_path):
    """Without the lines that were added, it is the message that was sent."""
    relay = start(start_relay, sink, tmp_path / "relay")
    sent = invoice("utf-8", "8bit").as_bytes(policy=email.policy.SMTP)
    got = relayed(relay, sink, sent, tmp_path)
    added = [line.encode() for line in (TEXT + HTML).split("\n")]
    assert got.endswith(sent[sent.index(b"application/pdf"):]), "the file stands at the end as it was"
    left = iter(got.split(b"\r\n"))
    for line in sent.split(b"\r\n"):
        if b"</body>" not in line:
            assert line in left, line
    extra = [line for line in got.split(b"\r\n\r\n", 1)[1].split(b"\r\n") if line not in sent]
    assert all(line in added for line in extra), extra


REPLIES = {
    "Thunderbird, reply": b"References: <1@elsewhere.example>\r\nIn-Reply-To: <1@elsewhere.example>\r\nUser-Agent: Mozilla Thunderbird\r\n",
    "Thunderbird, forward": b"X-Forwarded-Message-Id: <1@elsewhere.example>\r\nUser-Agent: Mozilla Thunderbird\r\n",
    "Outlook, reply": b"In-Reply-To: <1@elsewhere.example>\r\nReferences: <1@elsewhere.example>\r\n"
                      b"Thread-Topic: Offer\r\nThread-Index: AQHYn1x9Z0aBcDeFgHiJkLmNoPqRsa1bCdEfAAAQ\r\nX-Mailer: Microsoft Outlook 16.0\r\n",
    "Outlook, forward": b"Thread-Index: AQHYn1x9Z0aBcDeFgHiJkLmNoPqRsa1bCdEfAAAQ\r\nX-Mailer: Microsoft Outlook 16.0\r\n",
    "mutt, reply": b"In-Reply-To: <1@elsewhere.example>\r\nReferences: <0@elsewhere.example>\r\n <1@elsewhere.example>\r\nUser-Agent: Mutt/2.2.12\r\n",
}
SUBJECTS = {"Outlook in German, forward": b"WG: Angebot", "mutt, forward": b"[ann@elsewhere.example: Offer]", "encoded": b"=?utf-8?q?Fwd=3A_Gr=C3=BC=C3=9Fe?="}


@pytest.mark.feature(28)
def test_replies_forwards_and_sealed_mail_get_none(start_relay, sink, tmp_path):
    relay = start(start_relay, sink, tmp_path / "relay")
    quoted = b"> Dear Firm\r\n>\r\n> the question\r\n\r\nthe answer\r\n"
    none = {name: compose(quoted, extra) for name, extra in REPLIES.items()}
    none |= {name: compose(b"-----Original Message-----\r\nold\r\n", subject=subject) for name, subject in SUBJECTS.items()}
    mime = b"MIME-Version: 1.0\r\nContent-Type: "
    none["signed"] = compose(
        b"--s\r\nContent-Type: text/plain\r\n\r\nhi\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n",
        mime + b"multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=s\r\n")
    none["encrypted"] = compose(b"MIAGCSqGSIb3\r\n", mime + b"application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n")
    none["PGP in the text"] = compose(b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhi\r\n-----BEGIN PGP SIGNATURE-----\r\nx\r\n")
    for name, content in none.items():
        got = relayed(relay, sink, content, tmp_path)
        assert got.endswith(content.split(b"\r\n\r\n", 1)[1]) and b"Firm Ltd" not in got, name
    assert b"Firm Ltd" in relayed(relay, sink, compose(b"new\r\n", subject=b"Re: your order 17"), tmp_path)


def test_dkim_holds_and_broken_signatures_go(start_relay, sink, tmp_path):
    key = make_key(tmp_path, "rsa", "r2026")
    relay = start(start_relay, sink, tmp_path / "relay", key.section)
    other = b"DKIM-Signature: v=1; a=rsa-sha256; d=elsewhere.example; s=x; h=From:Subject; bh=AAAA; b=AAAA\r\n"
    got = relayed(relay, sink, compose("Grüße\r\n".encode(), other + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"), tmp_path)
    assert [name for name, _ in fields(got.split(b"\r\n\r\n", 1)[0].replace(b"\r\n", b"\n"))].count(b"dkim-signature") == 1
    assert dkimpy_verdicts(got, [key]) == [True]


def run(*words):
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def certificates(folder, kind):
    """An authority, one below it, and its certificate for the address; returns the section."""
    new = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    at = {name: folder / name for name in ("root.pem", "root.key", "middle.pem", "middle.key", "own.pem", "own.key", "own.csr", "middle.csr", "ext")}
    run("openssl", "req", "-x509", *new, "-nodes", "-days", "30", "-subj", "/CN=Root", "-keyout", at["root.key"], "-out", at["root.pem"])
    below = [("middle", "root", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n"),
             ("own", "middle", "subjectAltName=email:invoices@firm.example\nkeyUsage=digitalSignature\nextendedKeyUsage=emailProtection\n")]
    for name, issuer, extensions in below:
        run("openssl", "req", *new, "-nodes", "-subj", f"/CN={name}", "-keyout", at[f"{name}.key"], "-out", at[f"{name}.csr"])
        at["ext"].write_text(extensions)
        run("openssl", "x509", "-req", "-in", at[f"{name}.csr"], "-CA", at[f"{issuer}.pem"], "-CAkey", at[f"{issuer}.key"],
            "-CAcreateserial", "-days", "30", "-extfile", at["ext"], "-out", at[f"{name}.pem"])
    chain = folder / "chain.pem"
    chain.write_text(at["own.pem"].read_text() + at["middle.pem"].read_text())
    key = at["own.key"]
    if kind == "rsa":
        run("openssl", "rsa", "-traditional", "-in", key, "-out", key)
    key.chmod(0o600)
    section = f'[[smime]]\naddress = "invoices@firm.example"\ncertificate = "{chain}"\nkey = {{ file = "{key}" }}\n'
    return section, at["root.pem"]


@pytest.mark.feature(29)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_smime_is_verified_by_openssl(kind, start_relay, sink, tmp_path):
    section, root = certificates(tmp_path, kind)
    key = make_key(tmp_path, "rsa", "r2026")
    relay = start(start_relay, sink, tmp_path / "relay", section + key.section)
    sender = b"Invoices@Firm.example"
    mails = {
        "plain": compose(b"hi\r\n.dots\r\nFrom us\r\n", sender=sender),
        "no end": compose(b"hi", sender=sender),
        "empty": compose(b"", sender=sender),
        "eight bits": compose("Grüße\r\n".encode(), b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", sender=sender),
        "invoice": invoice("utf-8", "8bit").as_bytes(policy=email.policy.SMTP).replace(b"office@firm", b"invoices@firm"),
    }
    for name, content in mails.items():
        got = relayed(relay, sink, content, tmp_path, sender="office@firm.example")
        file = tmp_path / "message.eml"
        file.write_bytes(got)
        inner = run("openssl", "cms", "-verify", "-in", file, "-CAfile", root, "-purpose", "smimesign")
        assert inner.isascii(), name
        message = read(got)
        assert message.get_content_type() == "multipart/signed" and message["Subject"], name
        text = read(inner).get_body(("plain",)).get_content().replace("\r\n", "\n")
        assert text.rstrip("\n").endswith(TEXT.rstrip("\n")), (name, text)
        assert dkimpy_verdicts(got, [key]) == [True], name
        shown = run("openssl", "cms", "-cmsout", "-print", "-in", file)
        assert b"signingTime" in shown and b"sha256" in shown, name
        file.write_bytes(got.replace(b"Firm Ltd", b"Evil Ltd", 1))
        forged = subprocess.run(["openssl", "cms", "-verify", "-in", file, "-CAfile", root], capture_output=True, timeout=60, check=False)
        assert forged.returncode != 0, name
    assert read(relayed(relay, sink, compose(b"hi\r\n"), tmp_path)).get_content_type() == "text/plain", "another address"
