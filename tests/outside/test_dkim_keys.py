"""DKIM keys from making to verifying: the relay makes the key and prints the record, NSD publishes it, `dkim check` finds it,
and OpenDKIM and dkimpy verify by that name server what the relay has signed."""

import base64
import json
import smtplib
import stat
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from conftest import upstream_to
from messages import SAMPLES
from network import wait_until
from relay import binary, clean_environment
from verifiers import dkimpy_verdicts_by_dns, make_key, opendkim_verdicts_by_dns, signatures

DOMAIN = "firm.example"
NAME = f"s2026._domainkey.{DOMAIN}"


def run(relay, *words):
    """A command as a person gives it."""
    return subprocess.run(
        [binary(), "--config", str(relay.file), *words],
        capture_output=True, text=True, timeout=120, env=clean_environment(), check=False,
    )


def with_dns(sink, name_server):
    return upstream_to(sink.port) + f'[dns]\nservers = ["{name_server.address}"]\n'


def printed(text):
    """The path, the entry for the configuration, and the line for the zone, as `dkim generate` prints them."""
    path = text.splitlines()[0]
    entry = "[[dkim]]\n" + text.split("[[dkim]]\n")[1].split("\n\n")[0] + "\n"
    (zone,) = (line.removeprefix("Zone:").strip() for line in text.splitlines() if line.startswith("Zone:"))
    return path, entry, zone


def published(zone_line):
    """For the name server: the line as it is, not a value that is put into words again."""
    name, rest = zone_line.split(" IN TXT ")
    return {name: [("IN TXT", rest)]}


def sent(relay, sink):
    """A message of the domain, as it leaves the relay."""
    before = len(sink.arrivals)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail(f"office@{DOMAIN}", ["customer@elsewhere.example"], SAMPLES["plain"])
    wait_until(lambda: len(sink.arrivals) > before, 30, "the message")
    return sink.arrivals[-1].content


def verdicts(message, name_server, folder):
    """What OpenDKIM and dkimpy say of the one signature."""
    assert len(signatures(message)) == 1, message[:2000]
    return opendkim_verdicts_by_dns(message, name_server, folder) + dkimpy_verdicts_by_dns(message, name_server)


@pytest.mark.feature(22)
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_from_the_key_to_the_verified_mail(kind, start_relay, sink, name_server, tmp_path):
    config = with_dns(sink, name_server)
    relay = start_relay(config)

    words = ["dkim", "generate", "--domain", DOMAIN, "--selector", "s2026", "--type", kind]
    made = run(relay, *words)
    assert made.returncode == 0, made
    path, entry, zone = printed(made.stdout)
    key = relay.folder / "certs" / "dkim" / f"{DOMAIN}.s2026.pem"
    assert path == str(key) and 'file = "certs/dkim/firm.example.s2026.pem"' in entry
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert [file.name for file in key.parent.iterdir()] == [key.name], "nothing else was left behind"
    assert "PRIVATE" not in made.stdout + made.stderr

    content = key.read_bytes()
    again = run(relay, *words)
    assert again.returncode == 1 and "stays as it is" in again.stderr and "--out" in again.stderr, again
    assert key.read_bytes() == content

    # OpenSSL reads the key, and finds the same public half.
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True, timeout=60)
    der = public.stdout[-32:] if kind == "ed25519" else public.stdout
    assert f"p={base64.b64encode(der).decode()}" in zone.replace('" "', "")

    relay.write(config + entry)
    assert relay.command("reload")["changed"] == [f"dkim {NAME}: new"]
    check = run(relay, "dkim", "check", DOMAIN)
    assert check.returncode == 1 and f"{NAME} is not published" in check.stdout and zone in check.stdout, check

    name_server.publish(published(zone))
    check = run(relay, "dkim", "check", DOMAIN)
    assert check.returncode == 0 and check.stdout.startswith("ok ") and NAME in check.stdout, check

    message = sent(relay, sink)
    assert b"d=firm.example" in signatures(message)[0]
    assert all(verdicts(message, name_server, tmp_path))
    # By another key under that name, nothing is verified: the verifiers did ask the name server.
    name_server.publish({NAME: [("TXT", make_key(tmp_path, kind, "other").record)]})
    assert not any(verdicts(message, name_server, tmp_path))


def test_the_record_in_every_form(start_relay, sink, name_server, tmp_path):
    key = make_key(tmp_path, "rsa", "s2026")
    relay = start_relay(with_dns(sink, name_server) + key.section)
    (record,) = relay.command("dkim", "record", DOMAIN)
    assert record["name"] == NAME and record["type"] == "TXT" and record["value"] == key.record
    assert "".join(record["strings"]) == key.record and all(len(string) <= 255 for string in record["strings"])
    assert (record["key_type"], record["bits"], record["standing"]) == ("rsa", 2048, "signs")
    name_server.publish(published(record["zone"]))
    assert name_server.texts(NAME) == [key.record.encode()]
    shown = run(relay, "dkim", "record", DOMAIN, "--selector", "s2026").stdout
    assert all(text in shown for text in (NAME, key.record, record["zone"]))
    (of_file,) = relay.command("dkim", "record", DOMAIN, "--key", str(key.file), "--selector", "else")
    assert of_file["name"] == f"else._domainkey.{DOMAIN}" and of_file["value"] == key.record
    nothing = relay.command("dkim", "record", "other.example", check=False)
    assert nothing.returncode == 1 and "dkim generate" in nothing.stderr and NAME in nothing.stderr, nothing
    no_key = relay.command("dkim", "record", DOMAIN, "--key", str(relay.file), "--selector", "x", check=False)
    assert no_key.returncode == 1 and "is not a private key" in no_key.stderr, no_key


def variants(key, folder):
    """Name: what is published, the level that `dkim check` gives it, and a word of what it says."""
    good, p = key.record, key.record.split("p=")[1]
    other = make_key(folder, "rsa", "other").record
    txt = lambda *texts: {NAME: [("TXT", text) for text in texts]}
    return {
        "good": (txt(good), "ok", "as it should be"),
        "good, with more": (txt(f"{good}; t=s; s=email; n=ours"), "ok", "as it should be"),
        "by a CNAME": ({NAME: [("CNAME", "k.host.example.")], "k.host.example": [("TXT", good)]}, "ok", "as it should be"),
        "nothing": ({}, "fault", "no TXT record"),
        "another type of record": ({NAME: [("A", "192.0.2.1")]}, "fault", "no TXT record"),
        "a dead CNAME": ({NAME: [("CNAME", "k.host.example.")]}, "fault", "k.host.example"),
        "another key": (txt(other), "fault", "another key"),
        "revoked": (txt("v=DKIM1; k=rsa; p="), "fault", "revoked"),
        "a test": (txt(f"{good}; t=y"), "warning", "t=y"),
        "too short": (txt(short_record(folder, 512)), "fault", "512 bits"),
        "rather short": (txt(short_record(folder, 1024)), "warning", "1024 bits"),
        "wrong type": (txt(f"v=DKIM1; k=ed25519; p={p}"), "fault", "ed25519"),
        "wrong version": (txt(good.replace("DKIM1", "DKIM2")), "fault", "DKIM2"),
        "wrong service": (txt(f"{good}; s=tlsrpt"), "fault", "tlsrpt"),
        "wrong hash": (txt(f"{good}; h=sha1"), "fault", "sha1"),
        "two records": (txt(other, good), "fault", "2 TXT records"),
        "in two records": (txt(good[:200], good[200:]), "fault", "pieces"),
        "cut off": (txt(good[:255]), "fault", "cut off"),
        "quoted": (txt(f'"{good}"'), "fault", "quotation marks"),
        "escaped": (txt(good.replace(";", "\\;")), "fault", "backslashes"),
        "SPF": (txt("v=spf1 -all"), "fault", "no DKIM record"),
        "damaged": (txt(good.replace("p=MII", "p=MJJ")), "fault", "holds no RSA key"),
    }


def short_record(folder, bits):
    file = folder / f"short-{bits}.pem"
    subprocess.run(["openssl", "genrsa", "-out", file, str(bits)], check=True, capture_output=True, timeout=60)
    public = subprocess.run(["openssl", "pkey", "-in", file, "-pubout", "-outform", "DER"], check=True, capture_output=True, timeout=60)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public.stdout).decode()}"


def test_each_fault_is_told_with_its_remedy(start_relay, sink, name_server, tmp_path):
    """What is no fault verifies for one verifier at least, and what is one for both never."""
    key = make_key(tmp_path, "rsa", "s2026")
    relay = start_relay(with_dns(sink, name_server) + key.section)
    message = sent(relay, sink)
    (record,) = relay.command("dkim", "record", DOMAIN)
    for name, (zone, level, word) in variants(key, tmp_path).items():
        name_server.publish(zone)
        check = relay.command("dkim", "check", DOMAIN, check=False)
        lines = parsed(check)
        assert {line["subject"] for line in lines} == {NAME} and {line["check"] for line in lines} == {"dkim"}
        assert any(line["level"] == level and word in line["text"] for line in lines), f"{name}: {lines}"
        levels = {line["level"] for line in lines}
        assert check.returncode == (1 if "fault" in levels else 0), f"{name}: {check}"
        for line in lines:
            assert line["level"] == "ok" or record["zone"] in line["remedy"], f"{name}: {line}"
        said = verdicts(message, name_server, tmp_path)
        assert not all(said) if "fault" in levels else any(said), f"{name}: {lines}: {said}"


def parsed(done):
    return json.loads(done.stdout)


def test_what_cannot_be_looked_up_is_no_fault_of_the_record(start_relay, sink, name_server, tmp_path):
    key = make_key(tmp_path, "rsa", "s2026", "mail.servfail.example")
    relay = start_relay(with_dns(sink, name_server) + key.section)
    check = relay.command("dkim", "check", "mail.servfail.example", check=False)
    (line,) = parsed(check)
    assert check.returncode == 1 and line["level"] == "unknown", line


def test_another_key_takes_over_on_its_day(start_relay, sink, name_server, tmp_path):
    old, new = make_key(tmp_path, "rsa", "old"), make_key(tmp_path, "rsa", "new")
    day = lambda days: (datetime.now(timezone.utc) + timedelta(days=days)).date().isoformat()
    config = with_dns(sink, name_server)
    relay = start_relay(f'{config}{old.section}{new.section}from = "{day(2)}"\n')
    name_server.publish({key.name: [("TXT", key.record)] for key in (old, new)})
    assert b"s=old" in signatures(sent(relay, sink))[0]
    standings = {line["selector"]: line["standing"] for line in relay.command("dkim", "record", DOMAIN)}
    assert standings == {"old": "signs", "new": "waits"}
    relay.write(f'{config}{old.section}{new.section}from = "{day(-2)}"\n')
    assert relay.command("reload")["changed"] == [f"dkim {new.name}: changed"]
    message = sent(relay, sink)
    assert b"s=new" in signatures(message)[0] and all(verdicts(message, name_server, tmp_path))
    # The record of the old one is still needed for mail that is under way, and then can go.
    name_server.publish({new.name: [("TXT", new.record)]})
    check = relay.command("dkim", "check", DOMAIN, check=False)
    levels = {line["subject"]: line["level"] for line in parsed(check)}
    assert check.returncode == 0 and levels == {old.name: "warning", new.name: "ok"}, check
    relay.write(f'{config}{new.section}from = "{day(2)}"\n')
    warned = run(relay, "check")
    assert warned.returncode == 0 and "has not come" in warned.stderr, warned
    relay.command("reload")
    assert signatures(sent(relay, sink)) == []


def test_an_upstream_that_signs_by_itself_gets_no_signature(start_relay, sink, tmp_path):
    key = make_key(tmp_path, "rsa", "s2026")
    relay = start_relay(f"{upstream_to(sink.port)}sign = false\n{key.section}")
    assert signatures(sent(relay, sink)) == []
    relay.write(f"{upstream_to(sink.port)}sign = true\n{key.section}")
    relay.command("reload")
    assert len(signatures(sent(relay, sink))) == 1
