"""Signatures of both key types hold with dkimpy and OpenDKIM after a hop through Postfix, for difficult contents."""

import smtplib

import pytest

import verify_dkim
from conftest import upstream_to
from messages import SAMPLES, compose, fields, with_lf
from network import wait_until
from relay import target_folder
from test_postfix_upstream import six_lines
from verifiers import can_have_own_network, dkimpy_verdicts, make_key, opendkim_verdicts, signatures
from verifiers import testmsg_verdict as opendkim_testmsg_verdict

CUSTOMER = "customer@elsewhere.example"

HARD = {
    **SAMPLES,
    "white-space-only-body": compose(b" \r\n\t\r\n  \r\n"),
    "one-empty-line": compose(b"\r\n"),
    "white-space-then-no-end": compose(b"text \t \r\n   "),
    "inner-white-space": compose(b"a  b\t\tc \r\n\r\n\r\n d\r\n"),
    "dot-at-the-end": compose(b"text\r\n."),
    "long-line": compose(b"x" * 990 + b"\r\n" + b"y" * 2500 + b"\r\n"),
    "many-mime-fields": compose(
        b"text\r\n", b"MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=us-ascii;\r\n\tformat=flowed\r\n"
        b"Content-Transfer-Encoding: 7bit\r\nReply-To: a@firm.example\r\nCc: c@elsewhere.example,\r\n d@elsewhere.example\r\n",
    ),
    "form-feed-in-the-subject": compose(b"text\x0c x\r\n", subject=b"page\x0c 1\x0cof 2"),
    "non-ascii-subject": compose(b"text\r\n", subject=b"=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?UTF-8?Q?_und_mehr?="),
}


def submit(relay, content, sender="office@firm.example"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail(sender, [CUSTOMER], content, mail_options=["BODY=8BITMIME"])


def crlf(stored):
    return with_lf(stored).replace(b"\n", b"\r\n")


def all_verdicts(message, keys, folder):
    """The verdict of every verifier about every signature."""
    verdicts = dkimpy_verdicts(message, keys) + opendkim_verdicts(message, keys, folder)
    if can_have_own_network():
        verdicts.append(opendkim_testmsg_verdict(message, keys, folder))
    return verdicts


@pytest.mark.feature(15)
@pytest.mark.parametrize("rsa", ["rsa", "rsa-pkcs1"])
def test_both_key_types_verify_after_a_hop_through_postfix(rsa, start_relay, postfix, tmp_path):
    keys = [make_key(tmp_path, rsa, "r2026"), make_key(tmp_path, "ed25519", "e2026")]
    relay = start_relay(six_lines(postfix, tmp_path) + "".join(key.section for key in keys))
    for name, content in HARD.items():
        postfix.clear()
        submit(relay, content)
        message = crlf(postfix.wait_for(1)[0])
        assert len(signatures(message)) == 2, f"{name}: {message[:2000]!r}"
        assert all(all_verdicts(message, keys, tmp_path)), name
        assert {tag(s, "a") for s in signatures(message)} == {"rsa-sha256", "ed25519-sha256"}
        assert {tag(s, "d") for s in signatures(message)} == {"firm.example"}


def test_what_is_forged_afterwards_is_seen(start_relay, sink, tmp_path):
    """Oversigning: a second field of a signed name breaks every signature; so does a changed body."""
    keys = [make_key(tmp_path, "rsa", "r2026"), make_key(tmp_path, "ed25519", "e2026")]
    relay = start_relay(upstream_to(sink.port) + "".join(key.section for key in keys))
    submit(relay, SAMPLES["plain"])
    wait_until(lambda: sink.arrivals, 30, "the message")
    message = sink.arrivals[0].content
    assert all(all_verdicts(message, keys, tmp_path))
    forgeries = {name: f"{name}: forged@evil.example\r\n".encode() + message for name in
                 ("From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding")}
    forgeries["body"] = message.replace(b"a line.", b"a lime.")
    for name, forged in forgeries.items():
        assert not any(all_verdicts(forged, keys, tmp_path)), f"a forged {name} is not noticed"


def test_the_key_follows_the_from_domain(start_relay, sink, tmp_path):
    """Its own domain or a parent signs; another domain's mail goes unsigned."""
    keys = [make_key(tmp_path, "rsa", "r2026"), make_key(tmp_path, "ed25519", "sub", "mail.firm.example")]
    relay = start_relay(upstream_to(sink.port) + "".join(key.section for key in keys))
    wanted = {
        "office@firm.example": ["firm.example"],
        "office@Other.Firm.Example": ["firm.example"],
        "office@mail.firm.example": ["mail.firm.example"],
        "office@notfirm.example": [],
        "office@elsewhere.example": [],
    }
    for sender, domains in wanted.items():
        sink.arrivals.clear()
        submit(relay, compose(b"text\r\n", sender=sender.encode()), sender)
        wait_until(lambda: sink.arrivals, 30, "the message")
        message = sink.arrivals[0].content
        assert [tag(s, "d").lower() for s in signatures(message)] == domains, sender
        assert all(all_verdicts(message, keys, tmp_path)) or not domains, sender


def test_an_old_signature_and_the_clients_fields_stay(start_relay, sink, tmp_path):
    key = make_key(tmp_path, "rsa", "r2026")
    relay = start_relay(upstream_to(sink.port) + key.section)
    old = b"DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=x; h=from; bh=AAAA; b=AAAA\r\n"
    submit(relay, old + SAMPLES["folded-header"])
    wait_until(lambda: sink.arrivals, 30, "the message")
    message = sink.arrivals[0].content
    found = signatures(message)
    assert len(found) == 2 and found[1] == old
    assert dkimpy_verdicts(message, [key])[0]
    assert message.endswith(old + SAMPLES["folded-header"])


def test_sign_false_leaves_it_to_the_upstream(start_relay, sink, tmp_path):
    key = make_key(tmp_path, "ed25519", "e2026")
    relay = start_relay(upstream_to(sink.port, "sign = false") + key.section)
    submit(relay, SAMPLES["plain"])
    wait_until(lambda: sink.arrivals, 30, "the message")
    assert not signatures(sink.arrivals[0].content)


def tag(signature, name):
    for part in b"".join(signature.split(b":", 1)[1].split()).decode().split(";"):
        key, _, value = part.partition("=")
        if key == name:
            return value
    return None


def test_the_samples_of_the_rust_tests_verify():
    """`cargo test --test dkim` leaves what it signed; the verifiers judge those, too."""
    folder = target_folder() / "tmp" / "dkim"
    if not folder.is_dir():
        pytest.skip("cargo test --test dkim has not run")
    faults, judged = verify_dkim.faults(folder)
    assert judged > 0 and not faults, faults


def test_the_fields_helper_sees_folding():
    assert fields(b"A: 1\n 2\nB: 3") == [(b"a", b"A: 1\n 2"), (b"b", b"B: 3")]
