"""Microsoft Graph knows no envelope: whatever a header says, nobody gets a message but the recipients of its transaction.

GRAPH_ENVELOPE_CASES messages (3,000 when nobody says, in under a minute) are made of good and bad pieces of headers, and go through relays with
and without `large`, with split envelopes, a blacklist, and in test mode. GRAPH_ENVELOPE_SEED makes others.
"""

import os
import random
import re
import socket
import threading
from collections import Counter, defaultdict

import pytest

from conftest import upstream_to
from graph_party import GraphParty, readings

CASES = int(os.environ.get("GRAPH_ENVELOPE_CASES", "3000"))
SEED = int(os.environ.get("GRAPH_ENVELOPE_SEED", "13"))
CLIENTS = 6
BOX = "office@firm.test"
TEST = "test@firm.test"
BLACKLISTED = "p9@x.test"
PEOPLE = [f"p{n}@x.test" for n in range(12)]
STRANGERS = [f"s{n}@elsewhere.test" for n in range(8)]


class Maker:
    """Makes headers and envelopes."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def case(self, number):
        """(recipients, content)"""
        one = self.random
        recipients = one.sample(PEOPLE, one.randint(1, 6))
        lines = [b"From: office@firm.test", b"Subject: case", b"X-Number: %d" % number]
        named = [r for r in recipients if one.random() < 0.8]
        cut = one.randint(0, len(named))
        for name, some in (("To", named[:cut]), ("Cc", named[cut:])):
            lines += self.fields(name, some)
        for odd in (self.resent, self.blind, self.control, self.oddity):
            if one.random() < 0.15:
                lines.append(odd())
        one.shuffle(lines)
        body = "To: s0@elsewhere.test\r\nBcc: s1@elsewhere.test\r\n\r\nGrüße\r\n".encode()
        return recipients, b"\r\n".join(lines) + b"\r\n\r\n" + body

    def fields(self, name, some):
        one = self.random
        some = list(some)
        if one.random() < 0.25:
            some += one.sample(STRANGERS, one.randint(1, 2))
            one.shuffle(some)
        if not some:
            return []
        if len(some) > 1 and one.random() < 0.1:
            return [self.field(name, some[:1]), self.field(name, some[1:])]
        return [self.field(name, some)]

    def field(self, name, addresses):
        one = self.random
        written = [self.mailbox(address) for address in addresses]
        comma = one.choice([", ", ",", ",\r\n ", ",\r\n\t", " , "])
        if one.random() < 0.12:
            cut = one.randint(0, len(written))
            group = one.choice(["Team", '"The, Team"', "A B"])
            written = [f"{group}: {comma.join(written[:cut])};", *written[cut:]]
        value = comma.join(written)
        if one.random() < 0.06:
            value = self.spoil(value)
        name = one.choice([name, name, name, name.upper(), name.lower(), f"{name} "])
        return f"{name}:{one.choice([' ', '', '  ', chr(9)])}{value}".encode("utf-8" if one.random() < 0.5 else "latin-1", "replace")

    def mailbox(self, address):
        one, stranger = self.random, self.random.choice(STRANGERS)
        address = one.choice([address, address, address, address.upper()])
        plain = [
            f"{address}", f"<{address}>", f"Ann Other <{address}>", f'"Other, Ann" <{address}>', f'"A \\"B\\" C" <{address}>',
            f"J. R. Ewing <{address}>", f"=?utf-8?Q?M=C3=BCller=2C_A?= <{address}>", f"=?iso-8859-1?B?TfxsbGVy?=\r\n <{address}>",
            f"{address} (Ann)", f"(Ann) {address}", f"Ann\r\n\tOther <{address}>", f'"{address}" <{address}>', f"Ann<{address}>",
            f"=?utf-8?Q?a?= =?utf-8?Q?b?= <{address}>", f"O'Brien <{address}>",
        ]
        odd = [
            f'"{stranger}" <{address}>', f"{stranger} <{address}>", f"Ann (see {stranger}) <{address}>", f"<@elsewhere.test:{address}>",
            f"=?utf-8?Q?{stranger.replace('@', '=40')}?= <{address}>", f'"=?utf-8?Q?x=2C_{stranger.replace("@", "=40")}?=" <{address}>',
            f"{address.replace('@', ' @ ')}", f"{address.replace('@', '(c)@')}", f'"{address.split("@")[0]}"@x.test', f"Jürgen <{address}>",
            f"<{address}", f"{address}>", f"{address} {stranger}", f"<{address}> <{stranger}>", f"({stranger}, {address}", f'"{address}',
            f"<<{address}>>", f"< {address} >", f"[Team] <{address}>", f"{address} <{address}>", f"{address};{stranger}", f"{address}, , ",
            f"=?utf-8?Q?=3C{stranger.replace('@', '=40')}=3E?= <{address}>", f'"s s"@elsewhere.test, {address}', f"{address} (a, (b) c)",
            f"=?utf-8?Q?a=0D=0ABcc=3A_{stranger.replace('@', '=40')}?= <{address}>", f"Ann\r\n \r\n <{address}>", f"root, {address}",
        ]
        return one.choice(odd if one.random() < 0.12 else plain)

    def spoil(self, value):
        """Breaks something anywhere, but where a line begins: there the body would begin."""
        at = self.random.choice([at for at in range(len(value) + 1) if value[at - 1:at] not in ("\r", "\n")])
        return value[:at] + self.random.choice('"()<>,;:\\@\t[]=?') + value[at:]

    def resent(self):
        one = self.random
        name = one.choice(["Resent-To", "resent-cc", "Resent-Bcc", "Resent-To ", "Resent-From"])
        return f"{name}: {one.choice(STRANGERS + PEOPLE)}".encode()

    def blind(self):
        name = self.random.choice(["Bcc", "BCC", "bcc ", "Bcc\x01"])
        return f"{name}: {self.random.choice(STRANGERS)}".encode()

    def control(self):
        one = self.random
        name = one.choice(["X-SMTPAPI", "Apparently-To", "X-MC-BccAddress", "Delivered-To", "X-Envelope-To", "Errors-To", "X-Mailsluice-Other-To"])
        return f"{name}: {one.choice(STRANGERS)}".encode()

    def oddity(self):
        stranger = self.random.choice(STRANGERS).encode()
        return self.random.choice([
            b"Subject: x\x0bTo: " + stranger, b"X-A: b\x0cBcc: " + stranger, b"T\x01o: " + stranger, b"To\xc2\xa0: " + stranger,
            b"X-Empty:\r\n \r\n To: " + stranger, b"X-A : b", b"Comments: \xe2\x80\xa8To: " + stranger, b"X-A: =?utf-8?Q?=0D=0ATo:_" + stranger + b"?=",
            b"X-A: b\rBcc: " + stranger, b"Reply-To: " + stranger,
        ])


def submit(port, cases, replies):
    """Hands cases in over one connection, each in one piece, and notes the last reply to each."""
    with socket.create_connection(("127.0.0.1", port), 60) as line, line.makefile("rb") as answers:
        def reply():
            while (got := answers.readline())[3:4] == b"-":
                pass
            assert got, "the relay has gone"
            return got.decode()

        reply()
        line.sendall(b"EHLO client.test\r\n")
        reply()
        for number, (recipients, content) in cases:
            commands = [f"RCPT TO:<{to}>" for to in recipients]
            line.sendall("\r\n".join([f"MAIL FROM:<{BOX}> BODY=8BITMIME", *commands, "DATA", ""]).encode())
            got = [reply() for _ in range(len(recipients) + 2)]
            assert got[-1].startswith("354"), got
            line.sendall(re.sub(rb"(?m)^\.", b"..", content) + b"\r\n.\r\n")
            replies[number] = reply()


def submit_all(port, cases):
    replies, faults = {}, []

    def work(some):
        try:
            submit(port, some, replies)
        except Exception as fault:  # noqa: BLE001
            faults.append(fault)

    cases = list(cases.items())
    threads = [threading.Thread(target=work, args=(cases[n::CLIENTS],)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not faults, faults
    assert len(replies) == len(cases)
    return replies


def number_of(content):
    return int(re.search(rb"(?m)^X-Number: (\d+)", content).group(1))


@pytest.mark.parametrize("way", ["alone", "large", "test"])
def test_nobody_but_the_recipients_gets_it(start_relay, sink, way):
    """In each way a third of the cases."""
    seeds = {"alone": 0, "large": 1, "test": 2}
    maker = Maker(SEED * 3 + seeds[way])
    cases = {number: maker.case(number) for number in range(CASES // 3 + 1)}
    with GraphParty() as graph:
        config = '[blacklist]\naction = "drop"\n' + graph.sign_in()
        limits = "[upstream.limits]\nrecipients_per_message = 4\nconnections = 6\n"
        if way == "large":
            config += graph.upstream(BOX, f'large = "smtp"\n{limits}') + upstream_to(sink.port).replace('name = "sink"', 'name = "smtp"')
        else:
            config += graph.upstream(BOX, limits)
        if way == "test":
            config = f'[test_mode]\nenabled = true\naction = "redirect"\naddress = "{TEST}"\n' + config
        relay = start_relay(config)
        relay.command("blacklist", "add", BLACKLISTED, "--reason", "asked for it")
        replies = submit_all(relay.port, cases)
        relay.wait_empty(120)
        check(relay, graph.requests, sink.arrivals, (cases, replies, way))


def check(relay, requests, arrivals, told):
    cases, replies, way = told
    by_graph, by_large = defaultdict(list), defaultdict(list)
    for mailbox, content in requests:
        found = readings(content)
        assert mailbox == BOX
        assert found["modern"] == found["old"] == found["careless"], (found, content)
        by_graph[number_of(content)].append(found["modern"])
    for arrival in arrivals:
        by_large[number_of(arrival.content)].append({to.lower() for to in arrival.recipients})
    bounced, queued = defaultdict(set), {}
    for number, reply in replies.items():
        if match := re.match(r"250 2\.0\.0 queued as (\S+)", reply):
            queued[match.group(1)] = number
        else:
            assert reply.startswith("554 5.6.0"), (reply, cases[number])
    for event in relay.events("bounced"):
        if event["queue_id"] in queued:
            assert "5.6.0" in event["reply"], event
            bounced[queued[event["queue_id"]]].add(event["to"].lower())
    ends = Counter()
    accepted = set(queued.values())
    for number, (recipients, content) in cases.items():
        wanted = {to for to in recipients if to != BLACKLISTED}
        if way == "test" and wanted:
            wanted = {TEST}
        graph, large = by_graph[number], by_large[number]
        got = [address for some in graph + large for address in some]
        if number not in accepted:
            assert not got, (number, content)
            ends["refused"] += 1
            continue
        assert len(got) == len(set(got)), ("twice", number, graph, large, content)
        assert set(got) | bounced[number] == wanted, (number, graph, large, bounced[number], content)
        assert not set(got) & bounced[number]
        ends["graph" if graph else "large" if large else "bounced" if bounced[number] else "nobody"] += 1
        if large and way != "test":
            assert b"\r\n".join(content.split(b"\r\n\r\n", 1)[1:]) in next(a.content for a in arrivals if number_of(a.content) == number)
    edited = [event for event in relay.events("sent") if event.get("edited")]
    kept = [content for _, content in requests if b"\r\nX-Mailsluice-Other-" in content]
    # Enough went by Graph, and what was edited says so.
    assert ends["graph"] > len(cases) // 6, ends
    if way == "alone":
        assert ends["refused"] and edited and kept, ends
        assert {event["edited"] for event in edited} == {"to", "cc", "to,cc"}
    if way == "large":
        assert ends["large"] and not ends["refused"] and not ends["bounced"] and not edited and not kept, ends
