"""A store that an older binary wrote goes on: 10,000 messages, stops, counters and a blacklist; nothing is lost or forgotten.

store_5/README.md says what is in it. Its time line stands where it stood when it was made, so its windows are never over.
"""

import json
import smtplib
from collections import Counter
from email import message_from_bytes
from statistics import mean

import pytest

import old_store
from messages import compose
from network import wait_until
from old_store import EXPECTED, OldStore, observe, relay_folder, seconds_from_now
from sink import Sink

# A restart, and a slow machine: what was so many seconds ahead may be that much nearer.
SLACK = 180
EXPECT = json.loads(EXPECTED.read_text())
# What has expired is no longer shown, and goes.
EXPECT["blacklist"] = [entry for entry in EXPECT["blacklist"] if entry["expires_at"] is None or entry["expires_at"] > 0]
REFUSED = "nobody1@there.example"


@pytest.fixture(scope="module")
def store():
    """What is in the store, by its tables."""
    return OldStore()


class Mailboxes(Sink):
    """A sink that knows that one mailbox does not exist."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == REFUSED:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 fine"


@pytest.fixture
def upstream():
    sink = Mailboxes().start()
    yield sink
    sink.stop()


@pytest.fixture
def old_relay(start_relay, tmp_path, store, upstream):
    return start_relay(old_store.config(store, upstream.port), folder=relay_folder(tmp_path / "relay"))


def assert_same(got, want, where=""):
    """`got` has all that `want` has. Times that lie ahead may have come nearer."""
    if isinstance(want, dict):
        for name, value in want.items():
            ahead = name in ("next_attempt", "until", "next_free", "expires_at") and value is not None
            if ahead:
                assert got[name] is not None and abs(got[name] - value) <= SLACK, (where, name, got[name], value)
            else:
                assert_same(got[name], value, f"{where} {name}")
    elif isinstance(want, list):
        assert len(got) == len(want), (where, got, want)
        for number, (one, other) in enumerate(zip(got, want)):
            assert_same(one, other, f"{where} {number}")
    else:
        assert got == want, where


def content(relay, queue_id):
    return relay.command("queue", "show", queue_id, "--content")["content"].encode()


def assert_all_there(relay, store):
    """Each message of the store, with all that a list shows of it."""
    shown = {entry["queue_id"]: entry for entry in relay.queue()}
    assert shown.keys() == store.messages.keys()
    for queue_id, message in store.messages.items():
        want = message.shown()
        assert {name: shown[queue_id][name] for name in want} == want


def assert_adds_up(totals):
    out = sum(totals[name] for name in ("sent", "bounced", "expired", "dropped", "captured", "deleted", "queued"))
    assert totals["accepted"] + totals["generated"] == out, totals


def without_minute(limits):
    return [line for line in limits if line["window"] != "minute"]


def test_the_fixture_holds_what_it_should(store):
    """Else the other tests would prove less than they say."""
    messages = store.messages.values()
    assert (store.version, len(messages)) == (5, 10_000)
    assert {message.state for message in messages} == {"ready", "deferred", "held"}
    assert {message.test_mode for message in messages} == {None, "redirect", "hold", "capture"}
    assert {message.row["priority"] for message in messages} == {0, 1, 2, 3}
    assert {message.state for message in messages if message.row["state"] == 1} == {"ready", "deferred"}
    assert {"", "/captured", "office", "office/bound@firm.example", "bulk"} <= {message.lane for message in messages}
    for name in ("in_file", "smtputf8", "body", "warned", "ret", "envelope_id", "user"):
        assert any(message.row[name] for message in messages), name
    recipients = store.tables["recipient"]
    assert {row["state"] for row in recipients} == {0, 1, 2, 3, 4}
    assert {row["notify"] for row in recipients} == {None, 0, 2, 3}
    assert {row["kind"] for row in store.tables["standing"]} == {0, 1, 2}
    assert {row["window"] for row in store.tables["usage"]} == {0, 1, 2, 3}
    assert store.tables["permit"] and store.tables["lease"] and {row["count"] for row in store.tables["hard_bounce"]} == {1, 2}


def test_nothing_is_lost_or_forgotten(old_relay, store, upstream):
    relay = old_relay
    seen = observe(relay, EXPECT["sample"])
    assert_same(seen, EXPECT)
    assert_adds_up(seen["totals"])
    assert sum(seen["queue"].values()) == 10_000 and seen["queue"]["sending"] == 0
    for line in seen["limits"]:
        if line["account"] != "*":
            window = old_store.WINDOWS.index(line["window"])
            assert line["messages"]["used"] == store.used(line["upstream"], line["account"], window), line
    assert_all_there(relay, store)
    in_files = {message.id for message in store.messages.values() if message.row["in_file"]}
    for queue_id in {*EXPECT["sample"], *in_files}:
        assert content(relay, queue_id) == store.messages[queue_id].content, queue_id
    assert {path.name for path in (relay.data / "content").iterdir()} == in_files
    aside = relay.data / "orphaned"
    orphans = {path.name: path.stat().st_size for path in aside.iterdir()} if aside.is_dir() else {}
    assert orphans == store.orphans, "what no message claims is set aside, and nothing of it is removed"
    doubtful = [event["queue_id"] for event in relay.events("recovered") if "duplicate" in event["reason"]]
    assert sorted(doubtful) == sorted(store.under_way())

    # Once more: now a store of this version, after an orderly end.
    assert relay.terminate() == 0
    relay.start()
    again = observe(relay, EXPECT["sample"])
    later = {**EXPECT, "limits": without_minute(EXPECT["limits"])}
    assert_same({**again, "limits": without_minute(again["limits"])}, later)
    assert_all_there(relay, store)
    assert len([event for event in relay.events("recovered") if "duplicate" in event["reason"]]) == len(doubtful)
    assert upstream.arrivals == [], "nothing may have gone"


def test_the_mail_goes_as_it_was_taken(old_relay, store, upstream):
    """An upstream that was disabled by hand is enabled: all of its lane goes when a person has made due what rests for its own
    sake, and nothing else."""
    relay = old_relay
    lane = {message.number: message for message in store.find("second") if message.state != "held"}
    refused = next(
        message for message in lane.values()
        if message.row["ret"] == 0 and message.test_mode is None and [r["notify"] for r in message.recipients] == [2]
    )
    upstream.answer = lambda envelope: refuse(envelope, refused.number)
    before = relay.command("status")["totals"]
    relay.command("queue", "retry", *[message.id for message in lane.values() if message.state == "deferred"])
    relay.command("upstream", "enable", "second")
    gone = lambda: len(relay.command("queue", "list", "--upstream", "second", "--limit", "10000")) == 60
    wait_until(gone, 120, lambda: f"the lane to be empty but for what is held: {relay.log_tail()}")
    reports = [arrival for arrival in upstream.arrivals if b"multipart/report" in arrival.content]
    arrived = [arrival for arrival in upstream.arrivals if arrival not in reports]
    by_number = {number_of(arrival): arrival for arrival in arrived}
    assert len(by_number) == len(arrived), "each once"
    assert by_number.keys() == lane.keys() - {refused.number}
    for number, arrival in by_number.items():
        assert_arrived(arrival, lane[number])
    assert any("SMTPUTF8" in arrival.options for arrival in arrived)
    places = {priority: [] for priority in range(4)}
    for place, arrival in enumerate(arrived):
        places[lane[number_of(arrival)].row["priority"]].append(place)
    assert places[0] == list(range(len(places[0]))), "our reports go before all"
    # What is urgent lets other mail through now and then.
    assert mean(places[1]) < mean(places[2]) < mean(places[3]), places
    [failed] = [report for report in reports if b"\r\nAction: failed\r\n" in report.content]
    assert (sender_of(failed), failed.recipients) == ("", [refused.row["sender"]])
    fields = failed.content.replace(b"; ", b";").split(b"\r\n")
    for name, kept in [("Envelope-Id", refused.row["envelope_id"]), ("Recipient", refused.recipients[0]["original"])]:
        assert f"Original-{name}: {kept.replace('+2B', '+')}".encode() in fields, fields
    assert refused.content in failed.content, "all of it was asked for, not the header alone"
    relayed = Counter(number_of(report) for report in reports if report is not failed)
    wanted = [message for message in lane.values() if message.test_mode is None and wants_success(message)]
    assert relayed == Counter(message.number for message in wanted), "as many reports of success as were asked for"

    totals = relay.command("status")["totals"]
    assert_adds_up(totals)
    recipients = sum(len(message.waiting()) for message in lane.values())
    assert totals["sent"] - before["sent"] == recipients - 1 + len(reports)
    assert totals["bounced"] - before["bounced"] == 1
    left = {entry["queue_id"] for entry in relay.queue()}
    assert left == store.messages.keys() - {message.id for message in lane.values()}
    relay.terminate()
    relay.start()
    states = {shown["name"]: shown["state"] for shown in relay.command("upstream", "list")}
    assert states == {**{shown["name"]: shown["state"] for shown in EXPECT["upstreams"]}, "second": "up"}


def test_single_messages_go_when_a_person_says(old_relay, store, upstream):
    """What waits for its time is due when it was, and goes when asked for; so does what is held, or to be captured."""
    relay = old_relay
    shown = {entry["queue_id"]: entry for entry in relay.command("queue", "list", "--upstream", "resting", "--limit", "1000")}
    resting = store.find("resting", state="deferred")
    for message in resting:
        ahead = (message.row["due"] - old_store.NOW) / 1000
        assert abs(seconds_from_now(shown[message.id]["next_attempt"]) - ahead) <= SLACK, message
    for message in resting[:3]:
        relay.command("queue", "retry", message.id)
    [held, redirected, *_] = store.find("resting", state="held")
    relay.command("queue", "release", held.id, "--to", "recipients")
    relay.command("queue", "release", redirected.id, "--to", "test")
    wait_until(lambda: len(upstream.arrivals) == 5, 30, lambda: f"five to arrive: {relay.log_tail()}")
    arrived = {number_of(arrival): arrival for arrival in upstream.arrivals}
    for message in [*resting[:3], held]:
        assert_arrived(arrived[message.number], message)
    assert arrived[redirected.number].recipients == ["test@second.example"]
    captured = store.find("/captured")[:2]
    for message in captured:
        relay.command("queue", "retry", message.id)
    wait_until(lambda: len(relay.captured()) == 2, 30, lambda: f"two in the mailbox: {relay.log_tail()}")
    assert all(any(mail.endswith(message.content) for mail in relay.captured()) for message in captured)
    wait_until(lambda: relay.queued() == 10_000 - 7, 30, lambda: f"{relay.command('status')}")
    assert_adds_up(relay.command("status")["totals"])


def test_the_blacklist_and_what_counts_towards_it(old_relay, store, upstream):
    relay = old_relay
    relay.command("test-mode", "off")
    for address, listed in [
        ("left2@there.example", True), ("who@gone0.example", True), ("who@deep.spam1.example", True),
        ("nobody0@there.example", True), (REFUSED, False), ("over@there.example", False),
    ]:
        assert relay.command("blacklist", "check", address, check=False).returncode == (0 if listed else 1), address
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.ehlo("client.test")
        client.mail("calm@resting.example")
        assert client.rcpt("left2@there.example")[0] == 550
        client.rset()
        # What an older version counted had no times: it begins anew, and one refusal lists nobody.
        client.sendmail("calm@resting.example", [REFUSED], compose(b"text\r\n", sender=b"calm@resting.example"))
    relay.wait_event("bounced")
    assert relay.command("blacklist", "check", REFUSED, check=False).returncode == 1
    assert len(relay.command("blacklist", "list")) == len(EXPECT["blacklist"])


def number_of(arrival):
    return arrival.content.split(b"X-Number: ", 1)[1].split(b"\r\n", 1)[0].decode()


def sender_of(arrival):
    """The reverse-path; the sink writes the null one in its own way."""
    return "" if arrival.sender in (None, "<>") else arrival.sender


def wants_success(message):
    return any(recipient["notify"] in (1, 3) for recipient in message.recipients if recipient["state"] == 0)


def refuse(envelope, number):
    content = envelope.original_content
    refused = f"X-Number: {number}\r\n".encode() in content and b"multipart/report" not in content
    return "550 5.7.1 not this one" if refused else None


def assert_arrived(arrival, message):
    """The content as it was stored, for those recipients that had not had it."""
    if message.test_mode == "redirect":
        assert arrival.recipients == ["test@second.example"], message
        kept = " ".join(message_from_bytes(arrival.content)["X-Mailsluice-Original-Recipients"].split())
        assert all(address in kept for address in message.waiting() if address.isascii()), (kept, message)
        return
    assert arrival.recipients == message.waiting(), message
    assert sender_of(arrival) == message.row["reverse_path"]
    assert arrival.content.endswith(message.content), (arrival.content[:500], message.content[:500])
    assert ("BODY=8BITMIME" in arrival.options) == bool(message.row["body"]), (arrival.options, message)
    # It is asked for only where an address of those that are left needs it.
    needs = message.row["smtputf8"] and not all(address.isascii() for address in message.waiting())
    assert ("SMTPUTF8" in arrival.options) == bool(needs), (arrival.options, message)
