"""Messages of all sorts, and what may have been added to them on the way."""

import base64
import random

ADDED = (b"received", b"date", b"message-id")
BY_POSTFIX = (b"return-path", b"x-original-to", b"delivered-to", b"received")


def compose(body, extra=b"", number=None, sender=b"office@firm.example", subject=b"A letter"):
    """A complete message with CRLF line ends; `body` is taken as it is."""
    head = (
        b"From: Firm <" + sender + b">\r\nTo: customer@elsewhere.example\r\nSubject: " + subject + b"\r\n"
        b"Date: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <fixed@firm.example>\r\n"
    )
    if number is not None:
        head += b"X-Number: " + str(number).encode() + b"\r\n"
    return head + extra + b"\r\n" + body


def attachment(octets):
    """A MIME message with one base64 attachment of that many octets (before encoding)."""
    data = base64.encodebytes(random.Random(7).randbytes(octets)).replace(b"\n", b"\r\n")
    extra = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="edge"\r\n'
    body = (
        b"--edge\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n"
        b"--edge\r\nContent-Type: application/octet-stream; name=data.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + data + b"--edge--\r\n"
    )
    return compose(body, extra)


MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"

SAMPLES = {
    "plain": compose(b"Hello,\r\n\r\na line.\r\n"),
    "folded-header": compose(
        b"text\r\n", b"X-Folded: one\r\n two\r\n\tthree\r\nReply-To: Service\r\n <service@firm.example>\r\n",
        subject=b"a subject that goes on and\r\n on over\r\n\tthree lines",
    ),
    "eight-bit": compose("Grüße aus Zürich: ÄÖÜ € 日本\r\n".encode() * 5, MIME),
    "latin-1": compose("Grüße\r\n".encode("latin-1"), MIME.replace(b"utf-8", b"iso-8859-1")),
    "empty-body": compose(b""),
    "no-final-newline": compose(b"the last line has no end"),
    "white-space-end": compose(b"text  \r\n \t\r\n  \r\n"),
    "empty-lines-end": compose(b"text\r\n\r\n\r\n\r\n"),
    "dots": compose(b".\r\n..\r\n.first\r\nx\r\n...\r\n.\r\n"),
    "attachment": attachment(1 << 20),
}


def fields(head):
    """The header section's fields as (lower-case name, whole field with its folding)."""
    found = []
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + b"\n" + line)
        elif line:
            found.append((line.split(b":", 1)[0].strip().lower(), line))
    return found


def with_lf(content):
    return content.replace(b"\r\n", b"\n")


def assert_same(sent, got, allowed=ADDED):
    """`got` is `sent`, octet for octet save for the line ends' form, below header fields with an allowed name.

    SMTP cannot carry a last line without its end (RFC 5321 4.1.1.4).
    """
    sent, got = with_lf(sent), with_lf(got)
    if not sent.endswith(b"\n"):
        sent += b"\n"
    assert got.endswith(sent), f"the content was changed:\nsent {sent[:1500]!r}\ngot  {got[:2500]!r}"
    added = fields(got[: len(got) - len(sent)])
    assert {name for name, _ in added} <= set(allowed), f"unexpected fields above the content: {added}"
    assert any(name == b"received" and b"by relay.test" in text for name, text in added), f"no Received field: {added}"
