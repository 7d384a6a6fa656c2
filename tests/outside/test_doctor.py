"""`mailsluice doctor` over zones in a real name server: it thinks of SPF as pyspf does, names each planted fault with its remedy,
and finds no fault in a sound set-up of any preset."""

import json
import random
import subprocess

import dkim
import dns.exception
import dns.resolver
import pytest
import spf

from dns_party import BROKEN
from messages import compose
from relay import binary, clean_environment
from verifiers import make_key

# No record of these zones names it.
STRANGER = "203.0.113.254"
# Where all hosts of the providers are.
PROVIDERS_NET, PROVIDERS_HOST = "198.51.100.0/24", "198.51.100.7"

# What the providers document, written down here by hand.
INCLUDES = {
    "office365": "spf.protection.outlook.com",
    "office365-graph": "spf.protection.outlook.com",
    "azure-communication": "spf.protection.outlook.com",
    "gmail": "_spf.google.com",
    "google-workspace": "_spf.google.com",
    "google-relay": "_spf.google.com",
    "fastmail": "spf.messagingengine.com",
    "icloud": "icloud.com",
    "zoho": "zohomail.eu",
    "ionos": "_spf-eu.ionos.com",
    "strato": "_spf.strato.com",
    "ovh": "mx.ovh.com",
    "infomaniak": "spf.infomaniak.ch",
}
# Those that send with a reverse-path of their own.
# It takes tokens alone, and signs by itself.
GRAPH = {"office365-graph"}
APPLICATION = (
    '[[oauth]]\nname = "app"\nprovider = "microsoft"\ntenant = "firm.example"\nflow = "client_credentials"\n'
    'client_id = "7d1f0c5e-2f7b-4f0e-9d5a-0b6c3f1a2e44"\nclient_secret = "secret"\n'
)
OWN_REVERSE_PATH = {"ses", "sendgrid", "mailgun", "mailgun-eu", "postmark", "brevo", "mailjet", "smtp2go"}
REGIONAL = {"ses": "email-smtp.eu-central-1.amazonaws.com", "zoho": "smtp.zoho.eu"}

PROVIDERS = {name: [("TXT", f"v=spf1 ip4:{PROVIDERS_NET} ~all")] for name in set(INCLUDES.values())}


def examine(folder, name_server, config, status=None):
    """What doctor finds, without a relay and without a test of accounts."""
    folder.mkdir(exist_ok=True)
    file = folder / "mailsluice.toml"
    file.write_text(f'hostname = "relay.test"\ndata_dir = "data"\n[dns]\nservers = ["{name_server.address}"]\n{config}\n')
    done = subprocess.run(
        [binary(), "--config", str(file), "--json", "doctor", "--no-probe"],
        capture_output=True, text=True, timeout=120, env=clean_environment(), check=False,
    )
    assert done.returncode in ((0, 1) if status is None else (status,)), f"{done.returncode}: {done.stderr} {done.stdout}"
    found = json.loads(done.stdout)
    assert (done.returncode == 1) == any(finding["level"] == "fault" for finding in found)
    for finding in found:
        assert set(finding) == {"check", "subject", "level", "text", "remedy"}
        assert finding["level"] in ("ok", "unknown") or finding["remedy"], finding
    return found


def upstream(domains, name="up", preset=None, host="smtp.firm.example"):
    where = f'preset = "{preset}"\n' if preset else ""
    host = REGIONAL.get(preset) if preset else host
    where += f'host = "{host}"\n' if host else ""
    login = 'user = "login"\npassword = "secret"\n' if preset else ""
    if preset in GRAPH:
        login = f'mailbox = "office@{domains[0]}"\noauth = "app"\n'
    return f'[[upstream]]\nname = "{name}"\n{where}{login}filter = {json.dumps(domains)}\n'


def of(found, check, subject):
    return [finding for finding in found if (finding["check"], finding["subject"]) == (check, subject)]


def verdict_of_pyspf(name_server, domain, address, monkeypatch):
    """pass, fail, softfail, neutral, none, permerror or temperror."""
    resolver = name_server.resolver()

    def lookup(name, kind, strict=True, timeout=20):
        def value(record):
            if kind == "MX":
                return record.preference, record.exchange.to_text(True)
            if kind == "PTR":
                return record.target.to_text(True)
            return record.strings if kind == "TXT" else record.address

        # Records of type SPF are no more (RFC 7208 3.1).
        return [((name, kind), value(record)) for record in answers(resolver, name, kind)] if kind != "SPF" else []

    monkeypatch.setattr(spf, "DNSLookup", lookup)
    return spf.check2(i=address, s=f"office@{domain}", h="relay.test", timeout=10, querytime=30)[0]


def answers(resolver, name, kind):
    try:
        return list(resolver.resolve(name.rstrip(".") + ".", kind))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.resolver.NoNameservers, dns.exception.Timeout) as fault:
        raise spf.TempError(f"DNS {fault}") from None


def txt(*values):
    return [("TXT", value) for value in values]


# Zones by what they are about: the records of the domain DOMAIN, and of others.
SPF_ZONES = {
    "sound": txt("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"),
    "softly": txt("v=spf1 a:host.party.example mx:party.example ~all"),
    "no record": txt("some other text"),
    "two records": txt("v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.2 ~all"),
    "plus all": txt("v=spf1 ip4:192.0.2.1 +all"),
    "bare all": txt("v=spf1 all"),
    "neutral": txt("v=spf1 ip4:192.0.2.1 ?all"),
    "open end": txt("v=spf1 ip4:192.0.2.1"),
    "no mechanism": txt("v=spf1 ip:192.0.2.1 -all"),
    "a bad network": txt("v=spf1 ip4:192.0.2.0/33 -all"),
    "a bad address": txt("v=spf1 ip4:192.0.2 -all"),
    "ip6 in ip4": txt("v=spf1 ip4:2001:db8::1 -all"),
    "no domain": txt("v=spf1 include: -all"),
    "all with a value": txt("v=spf1 ip4:192.0.2.1 all:party.example"),
    "two redirects": txt("v=spf1 redirect=sound.party.example redirect=sound.party.example"),
    "redirect": txt("v=spf1 redirect=sound.party.example"),
    "redirect to nothing": txt("v=spf1 redirect=nothing.party.example"),
    "redirect behind all": txt("v=spf1 -all redirect=nothing.party.example"),
    "include": txt("v=spf1 include:sound.party.example -all"),
    "include of nothing": txt("v=spf1 include:nothing.party.example -all"),
    "include of text": txt("v=spf1 include:text.party.example -all"),
    "include of two": txt("v=spf1 include:two.party.example -all"),
    "include of a fault": txt("v=spf1 include:wrong.party.example -all"),
    "include of what fails": txt(f"v=spf1 include:x.{BROKEN} -all"),
    "include of the world": txt("v=spf1 include:world.party.example -all"),
    "redirect to the world": txt("v=spf1 redirect=world.party.example"),
    "itself": txt("v=spf1 include:DOMAIN -all"),
    "a ring": txt("v=spf1 include:ring1.party.example -all"),
    "one void": txt("v=spf1 a:n1.party.example -all"),
    "two voids": txt("v=spf1 a:n1.party.example mx:n2.party.example -all"),
    "three voids": txt("v=spf1 a:n1.party.example mx:n2.party.example exists:n3.party.example -all"),
    "ten look-ups": txt("v=spf1 " + "a:host.party.example " * 10 + "-all"),
    "eleven look-ups": txt("v=spf1 " + "a:host.party.example " * 11 + "-all"),
    "ten in a chain": txt("v=spf1 include:chain1.party.example -all"),
    "eleven in a chain": txt("v=spf1 a:host.party.example include:chain1.party.example -all"),
    "many exchanges": txt("v=spf1 mx:many.party.example -all"),
    "a macro": txt("v=spf1 exists:%{i}.any.party.example -all"),
    "a macro of the domain": txt("v=spf1 include:sub.%{d} -all"),
    "a bad macro": txt("v=spf1 exists:%{x}.party.example -all"),
    "half a macro": txt("v=spf1 exists:%{i -all"),
    "a ptr": txt("v=spf1 ptr -all"),
    "capitals": txt("V=SPF1 IP4:192.0.2.1 A:HOST.PARTY.EXAMPLE -ALL"),
    "a long one": txt("v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(60)) + " -all"),
    "an unknown modifier": txt("v=spf1 ip4:192.0.2.1 odd=value -all"),
    "spaces": txt("v=spf1  ip4:192.0.2.1   -all "),
}

PARTY = {
    "host.party.example": [("A", "192.0.2.40")],
    "party.example": [("MX", "10 host.party.example.")],
    "many.party.example": [("MX", f"{n} m{n}.many.party.example.") for n in range(11)],
    **{f"m{n}.many.party.example": [("A", "192.0.2.41")] for n in range(11)},
    "sound.party.example": txt("v=spf1 ip4:192.0.2.0/24 -all"),
    "text.party.example": txt("hello"),
    "two.party.example": txt("v=spf1 -all", "v=spf1 ~all"),
    "world.party.example": txt("v=spf1 +all"),
    "wrong.party.example": txt("v=spf1 ipv4:192.0.2.1 -all"),
    "ring1.party.example": txt("v=spf1 include:ring2.party.example -all"),
    "ring2.party.example": txt("v=spf1 redirect=ring1.party.example"),
    **{f"chain{n}.party.example": txt(f"v=spf1 include:chain{n + 1}.party.example ~all") for n in range(1, 10)},
    "chain10.party.example": txt("v=spf1 ip4:192.0.2.77 -all"),
}


def generated(seed, count):
    """Records of random terms, most of them sound."""
    dice = random.Random(seed)
    terms = [
        "ip4:192.0.2.{n}", "ip6:2001:db8::{n}", "a:host.party.example", "mx:party.example", "include:sound.party.example",
        "include:chain8.party.example", "-include:sound.party.example", "exists:%{{i}}.any.party.example", "a:n{n}.party.example",
        "include:chain9.party.example", "?a:host.party.example/28", "include:nothing.party.example", "include:two.party.example",
    ]
    weights = [8, 4, 6, 4, 6, 3, 2, 2, 2, 3, 3, 1, 1]
    for n in range(count):
        chosen = dice.choices(terms, weights, k=dice.randint(1, 8))
        end = dice.choice(["-all", "~all", "?all", "", "redirect=sound.party.example", "+all"])
        yield f"generated {n}", txt(" ".join(["v=spf1", *(term.format(n=n) for term in chosen), end]).strip())


@pytest.mark.feature(15)
def test_spf_is_judged_as_pyspf_does(name_server, tmp_path, monkeypatch):
    zones = {**SPF_ZONES, **dict(generated(12, 40))}
    assert len(zones) > 80
    domains = {case: f"d{n}.example" for n, case in enumerate(zones)}
    records = {
        domains[case]: [(kind, value.replace("DOMAIN", domains[case])) for kind, value in zone] for case, zone in zones.items()
    }
    records[f"sub.{domains['a macro of the domain']}"] = txt("v=spf1 ip4:192.0.2.1 -all")
    name_server.publish({**records, **PARTY})
    found = examine(tmp_path / "doctor", name_server, upstream(list(domains.values())))
    seen = set()
    for case, domain in domains.items():
        verdict = verdict_of_pyspf(name_server, domain, STRANGER, monkeypatch)
        seen.add(verdict)
        ours = of(found, "spf", domain)
        told = f"{case}: {zones[case]}: pyspf says {verdict}, doctor {json.dumps(ours, indent=1)}"
        faults = [finding["text"] for finding in ours if finding["level"] == "fault"]
        open_to_all = [text for text in faults if "whole world" in text]
        assert bool(set(faults) - set(open_to_all)) == (verdict == "permerror"), told
        if verdict != "permerror":
            assert bool(open_to_all) == (verdict == "pass"), told
        assert any("there is no SPF record" in f["text"] and f["level"] == "warning" for f in ours) == (verdict == "none"), told
        if verdict == "temperror":
            assert any(f["level"] == "unknown" and "cannot be looked up" in f["text"] for f in ours), told
    assert seen == {"none", "neutral", "pass", "fail", "softfail", "permerror", "temperror"}


# Case: the records of the domain, and whether pyspf lets a host of Google send.
HOSTS = {
    "included": (txt("v=spf1 include:_spf.google.com ~all"), True),
    "redirected": (txt("v=spf1 redirect=_spf.google.com"), True),
    "in a chain": (txt("v=spf1 include:all.party.example -all"), True),
    "flattened": (txt(f"v=spf1 ip4:{PROVIDERS_NET} -all"), True),
    "missing": (txt("v=spf1 ip4:192.0.2.1 -all"), False),
    "another provider": (txt("v=spf1 include:other.party.example ~all"), False),
    "failing": (txt("v=spf1 -include:_spf.google.com ~all"), False),
    "neutral": (txt("v=spf1 ?include:_spf.google.com ~all"), False),
    "behind all": (txt("v=spf1 -all include:_spf.google.com"), False),
    "no record": ([], False),
}


def test_the_hosts_of_a_provider_may_send_or_not(name_server, tmp_path, monkeypatch):
    domains = {case: f"h{n}.example" for n, case in enumerate(HOSTS)}
    zone = {domains[case]: records for case, (records, _) in HOSTS.items() if records}
    zone["all.party.example"] = txt("v=spf1 a:host.party.example include:_spf.google.com -all")
    zone["other.party.example"] = txt("v=spf1 ip4:192.0.2.0/24 ~all")
    zone["host.party.example"] = [("A", "192.0.2.40")]
    name_server.publish({**zone, **PROVIDERS})
    config = upstream(list(domains.values()), preset="gmail")
    found = examine(tmp_path / "doctor", name_server, config, status=1)
    cures = {}
    for case, (records, may) in HOSTS.items():
        domain = domains[case]
        verdict = verdict_of_pyspf(name_server, domain, PROVIDERS_HOST, monkeypatch)
        assert (verdict == "pass") == may, f"{case}: {verdict}"
        ours = of(found, "spf", domain)
        assert any("its hosts may send" in f["text"] and f["level"] == "ok" for f in ours) == may, f"{case}: {ours}"
        faults = [finding for finding in ours if finding["level"] == "fault"]
        assert bool(faults) != may, f"{case}: {ours}"
        if faults:
            # The remedy is the very record: published, it cures.
            cures[domain] = txt(faults[0]["remedy"].split('TXT "')[1].rstrip('"'))
    name_server.publish({**zone, **PROVIDERS, **cures})
    found = examine(tmp_path / "doctor", name_server, config)
    for domain in set(cures) - {domains["failing"], domains["neutral"]}:
        assert verdict_of_pyspf(name_server, domain, PROVIDERS_HOST, monkeypatch) == "pass", domain
        assert not [f for f in of(found, "spf", domain) if f["level"] == "fault"], domain


# Case: the TXT records at _dmarc, the level of the worst finding, a word of it, and of its remedy.
DMARC_ZONES = {
    "none": (txt("v=DMARC1; p=none; rua=mailto:dmarc@firm.example"), "ok", "only watches", ""),
    "quarantine": (txt("v=DMARC1; p=quarantine; pct=50"), "ok", "quarantine", ""),
    "reject": (txt("v=DMARC1;p=reject;"), "ok", "reject", ""),
    "missing": ([], "warning", "no DMARC record", 'TXT "v=DMARC1; p=none'),
    "two": (txt("v=DMARC1; p=none", "v=DMARC1; p=reject"), "fault", "2 DMARC records", "all but one"),
    "no policy": (txt("v=DMARC1; rua=mailto:a@firm.example"), "fault", "not p, the policy", "publish _dmarc."),
    "misspelt policy": (txt("v=DMARC1; p=rejct"), "fault", "p=rejct", "publish _dmarc."),
    "no list": (txt("v=DMARC1; p=none; hello"), "fault", "no list of tags", "publish _dmarc."),
    "another version": (txt("v=DMARC2; p=none"), "warning", "no DMARC record", "publish _dmarc."),
    "odd percentage": (txt("v=DMARC1; p=none; pct=101"), "warning", "pct=101", "correct or remove"),
    "odd address": (txt("v=DMARC1; p=none; rua=dmarc@firm.example"), "warning", "no mailto:", "correct or remove"),
    "odd mode": (txt("v=DMARC1; p=none; aspf=loose"), "warning", "aspf=loose", "correct or remove"),
}


def test_dmarc_is_judged_and_the_remedy_told(name_server, tmp_path):
    levels = ["ok", "unknown", "warning", "fault"]
    domains = {case: f"m{n}.example" for n, case in enumerate(DMARC_ZONES)}
    records = {f"_dmarc.{domains[case]}": zone for case, (zone, *_) in DMARC_ZONES.items() if zone}
    records |= {domain: txt("v=spf1 include:_spf.google.com ~all") for domain in domains.values()}
    below = "below.firm.example"
    records |= {"_dmarc.firm.example": txt("v=DMARC1; p=reject; sp=none"), below: txt("v=spf1 include:_spf.google.com ~all")}
    fails = f"x.{BROKEN}"
    name_server.publish({**records, **PROVIDERS})
    found = examine(tmp_path / "doctor", name_server, upstream([*domains.values(), below, fails], preset="gmail"))
    for case, (_, level, text, remedy) in DMARC_ZONES.items():
        ours = of(found, "dmarc", domains[case])
        worst = max(ours, key=lambda finding: levels.index(finding["level"]))
        assert worst["level"] == level, f"{case}: {ours}"
        assert any(text in finding["text"] for finding in ours), f"{case}: {ours}"
        assert remedy in (worst["remedy"] or ""), f"{case}: {ours}"
    assert any("the policy is none" in finding["text"] for finding in of(found, "dmarc", below)), of(found, "dmarc", below)
    assert [finding["level"] for finding in of(found, "dmarc", fails)] == ["unknown"]


def changed(record, case):
    """The record of a key, as the case has it published: its texts."""
    tags, key = record.split("p=")
    return {
        "good": [record],
        "bare": [f"p={key}"],
        "revoked": [f"{tags}p="],
        "another key": [f"{tags}p={key[:60]}{'A' * 8}{key[68:]}"],
        "test": [f"{tags}t=y; p={key}"],
        "another type": [record.replace("k=rsa", "k=ed25519")],
        "other services": [f"{tags}s=chat; p={key}"],
        "another version": [record.replace("DKIM1", "DKIM2")],
        "no key": [tags],
        "missing": [],
    }[case]


# Case: the level that doctor gives, and whether dkimpy verifies a signature of the key.
DKIM_CASES = {
    "good": ("ok", True),
    "bare": ("ok", True),
    "revoked": ("fault", False),
    "another key": ("fault", False),
    "test": ("warning", True),
    "another type": ("fault", False),
    "other services": ("fault", False),
    "another version": ("fault", False),
    "no key": ("fault", False),
    "missing": ("fault", False),
}


def test_dkim_is_judged_as_dkimpy_does(name_server, tmp_path):
    key = make_key(tmp_path, "rsa", "s1", "k0.example")
    domains = {case: f"k{n}.example" for n, case in enumerate(DKIM_CASES)}
    name = {case: f"s1._domainkey.{domain}" for case, domain in domains.items()}
    zone = {name[case]: txt(*changed(key.record, case)) for case in DKIM_CASES if changed(key.record, case)}
    name_server.publish(zone)
    sections = "".join(key.section.replace("k0.example", domain) for domain in domains.values())
    found = examine(tmp_path / "doctor", name_server, upstream(list(domains.values())) + sections, status=1)
    message, private = compose(b"text\r\n"), key.file.read_bytes()
    for case, (level, verifies) in DKIM_CASES.items():
        signature = dkim.sign(message, b"s1", domains[case].encode(), private, include_headers=[b"from", b"to", b"subject"])
        texts = name_server.texts(name[case])
        try:
            verdict = dkim.verify(signature + message, dnsfunc=lambda asked, timeout=5: texts[0] if texts else None)
        except dkim.DKIMException:
            verdict = False
        ours = of(found, "dkim", name[case])
        assert verdict == verifies, f"{case}: dkimpy says {verdict}; {texts}"
        assert level in {finding["level"] for finding in ours}, f"{case}: {ours}"
        assert any(finding["level"] == "fault" for finding in ours) == (not verifies), f"{case}: {ours}"
        for finding in ours:
            assert level == "ok" or key.record.split("p=")[1] in finding["remedy"].replace('" "', ""), f"{case}: {finding}"


def presets():
    done = subprocess.run([binary(), "--json", "presets"], capture_output=True, text=True, timeout=60, check=True)
    return [preset["name"] for preset in json.loads(done.stdout)]


def test_a_sound_set_up_of_any_preset_has_no_fault(name_server, tmp_path, monkeypatch):
    names = presets()
    key = make_key(tmp_path, "rsa", "s1", "k0.example")
    domains = {preset: f"{preset}.example" for preset in names}
    zone = {"mx.firm.example": [("A", "192.0.2.50")]}
    for preset, domain in domains.items():
        include = INCLUDES.get(preset, "sound.party.example")
        zone[domain] = [("MX", "10 mx.firm.example.")]
        if preset not in OWN_REVERSE_PATH:
            zone[domain] += txt(f"v=spf1 include:{include} ~all")
        zone[f"s1._domainkey.{domain}"] = txt(key.record)
        zone[f"_dmarc.{domain}"] = txt("v=DMARC1; p=quarantine; rua=mailto:dmarc@firm.example")
    name_server.publish({**zone, **PROVIDERS, **PARTY})
    config = "".join(upstream([domain], name=preset, preset=preset) for preset, domain in domains.items())
    config += APPLICATION
    config += "".join(key.section.replace("k0.example", domain) for domain in domains.values())
    found = examine(tmp_path / "doctor", name_server, config, status=0)
    assert not [finding for finding in found if finding["level"] == "fault"]
    for preset, domain in domains.items():
        ours = of(found, "spf", domain)
        levels = {finding["level"] for finding in ours}
        if preset in INCLUDES:
            assert levels == {"ok"}, f"{preset}: {ours}"
            assert verdict_of_pyspf(name_server, domain, PROVIDERS_HOST, monkeypatch) == "pass", preset
        elif preset in OWN_REVERSE_PATH:
            assert levels == {"ok"}, f"{preset}: {ours}"
        else:
            assert "unknown" in levels, f"{preset}: {ours}"
        for check, subject in (("mx", domain), ("dkim", f"s1._domainkey.{domain}")):
            assert [finding["level"] for finding in of(found, check, subject)] == ["ok"], f"{preset}: {check}"
        [bulk] = of(found, "bulk_rules", domain)
        wanted = "unknown" if "unknown" in levels or preset in GRAPH else "ok"
        assert bulk["level"] == wanted, f"{preset}: {bulk}"


@pytest.mark.feature(16)
def test_names_and_the_machine_are_judged(name_server, tmp_path):
    folder = tmp_path / "doctor"
    name_server.publish({
        "relay.test": [("A", "192.0.2.60")],
        "60.2.0.192.in-addr.arpa": [("PTR", "host60.isp.example.")],
        "ehlo.firm.example": [("A", "192.0.2.61")],
        "61.2.0.192.in-addr.arpa": [("PTR", "ehlo.firm.example.")],
        "null.example": [("MX", "0 ."), *txt("v=spf1 -all")],
    })
    config = upstream(["null.example", "nowhere.example"]) + upstream(["other.example"], name="two") + 'ehlo = "ehlo.firm.example"\n'
    (folder / "data").mkdir(parents=True)
    (folder / "data").chmod(0o777)
    found = examine(folder, name_server, config, status=1)
    [name] = of(found, "names", "relay.test")
    assert name["level"] == "warning" and "host60.isp.example" in name["remedy"], name
    [name] = of(found, "names", "ehlo.firm.example")
    assert name["level"] == "ok", name
    for domain in ("null.example", "nowhere.example"):
        [mx] = of(found, "mx", domain)
        assert mx["level"] == "fault" and f"publish {domain} MX" in mx["remedy"], mx
    [mode] = of(found, "modes", str(folder / "data"))
    assert mode["level"] == "fault" and "chmod 0700" in mode["remedy"], mode
    assert [finding["level"] for finding in found if finding["check"] in ("disk", "clock")] == ["ok", "ok"]


def test_without_a_name_server_nothing_is_a_fault(tmp_path, name_server):
    class Nobody:
        address = "127.0.0.1:9"

    found = examine(tmp_path / "doctor", Nobody, upstream(["firm.example"], preset="office365"), status=0)
    for check in ("spf", "dmarc", "mx"):
        assert [finding["level"] for finding in of(found, check, "firm.example")] == ["unknown"], found


@pytest.mark.parametrize("config", ['[dns]\nservers = ["localhost"]\n', "colour = 1\n"])
def test_a_bad_configuration_ends_it_with_status_2(tmp_path, config):
    file = tmp_path / "mailsluice.toml"
    file.write_text(f'{config}[[upstream]]\nname = "up"\nhost = "smtp.firm.example"\n')
    done = subprocess.run(
        [binary(), "--config", str(file), "doctor"], capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )
    assert done.returncode == 2 and "mailsluice.toml" in done.stderr, done
