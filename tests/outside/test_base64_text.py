"""`encode = "base64"`: Python's email package reads the same out of what leaves, and what is signed keeps every octet."""

import email
import random
import re
import smtplib
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart

from conftest import upstream_to

CASES = 150
WORDS = ["Grüße", "an", "alle", "=", "=3D", "50 €", ".", "..", "naïve ", "x" * 90, "日本", "\t", "-- "]


def text(one):
    lines = [" ".join(one.choices(WORDS, k=one.randint(0, 12))) for _ in range(one.randint(0, 8))]
    return "".join(line.rstrip() + "\r\n" for line in lines)


def leaf(one):
    kind = one.choice(["8bit", "8bit", "quoted-printable", "base64", "7bit", "file"])
    if kind == "file":
        return MIMEApplication(one.randbytes(200))
    part = MIMENonMultipart("text", one.choice(["plain", "html", "csv"]), charset=one.choice(["utf-8", "utf-8", "iso-8859-1"]))
    octets = text(one).encode(part.get_param("charset"), "replace")
    if kind == "7bit":
        octets = octets.decode("ascii", "replace").replace("\ufffd", "?").encode()
    if kind == "quoted-printable":
        octets = quoted(octets)
    elif kind == "base64":
        octets = email.base64mime.body_encode(octets, eol="\r\n").encode()
    part["Content-Transfer-Encoding"] = kind
    part.set_payload(octets.decode("ascii", "surrogateescape"))
    return part


def quoted(octets):
    """As careful programs write it: no line ends in white space."""
    out = []
    for line in octets.split(b"\r\n"):
        written = b"".join(b"=%02X" % b if b > 126 or b < 33 or b == 61 else bytes([b]) for b in line)
        pieces = re.findall(rb"(?:=..|[^=]){1,24}", written)
        out.append(b"=\r\n".join(pieces))
    return b"\r\n".join(out)


def entity(one, depth=0):
    if depth > 3 or one.random() < 0.4:
        return leaf(one)
    whole = MIMEMultipart(one.choice(["mixed", "alternative", "related", "signed"]))
    for _ in range(one.randint(1, 3)):
        whole.attach(entity(one, depth + 1))
    return whole


def leaves(message):
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()]


def signed(octets):
    """The octets of all that is signed."""
    found = []
    for boundary in re.findall(rb'multipart/signed;\s+boundary="([^"]+)"', octets):
        found.append(octets[octets.index(b"\r\n--" + boundary + b"\r\n"):octets.index(b"\r\n--" + boundary + b"--")])
    return found


def is_open_text(message, inside=False):
    """Text parts that nothing signed is around."""
    inside = inside or message.get_content_type() == "multipart/signed"
    if message.is_multipart():
        return [part for inner in message.get_payload() for part in is_open_text(inner, inside)]
    return [message] if message.get_content_maintype() == "text" and not inside else []


def test_it_says_the_same(start_relay, sink):
    one = random.Random(13)
    relay = start_relay(upstream_to(sink.port, 'encode = "base64"'))
    sent = {}
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        for number in range(CASES):
            message = entity(one)
            message["From"], message["To"], message["X-Number"] = "a@firm.test", "b@x.test", str(number)
            octets = re.sub(rb"\r?\n", b"\r\n", message.as_bytes())
            sent[number] = octets
            client.sendmail("a@firm.test", ["b@x.test"], octets, mail_options=["BODY=8BITMIME"])
    relay.wait_empty()
    assert len(sink.arrivals) == CASES
    encoded = 0
    for arrival in sink.arrivals:
        got = email.message_from_bytes(arrival.content)
        octets = sent[int(got["X-Number"])]
        before = email.message_from_bytes(octets)
        assert leaves(got) == leaves(before), octets
        assert signed(arrival.content) == signed(octets)
        for part in is_open_text(got):
            assert part["Content-Transfer-Encoding"] in ("base64", "7bit") or part.get_payload().isascii(), octets
            encoded += part["Content-Transfer-Encoding"] == "base64"
            assert part["Content-Transfer-Encoding"] != "quoted-printable", octets
    assert encoded > CASES // 2
