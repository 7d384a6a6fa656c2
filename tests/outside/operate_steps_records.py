"""Steps with what is kept and told beside the queue: history, files of the blacklist, metrics, alerts."""

import csv
import io
import json
import re
from collections import Counter

from network import wait_until
from operate_desk import CLI, PATIENCE, TOKEN, is_held
from operate_model import ENDS, Mail
from operate_registry import step

NO_SUCH_MAILBOX = """\
From: mailer-daemon@elsewhere.example
To: office@firm.example
Subject: failed
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="edge"

--edge
Content-Type: text/plain

It could not be delivered.

--edge
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.elsewhere.example

Final-Recipient: rfc822; {address}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here

--edge--
"""


@step(route="GET /metrics")
def metrics(desk, _way):
    """What was counted since the start is what the store has counted: it was new then."""
    with desk.alone():
        totals = desk.settle()["totals"]
        status, text = desk.at_console("/metrics", TOKEN)
    assert status == 200, text
    counted = Counter()
    for outcome, count in re.findall(r'^mailsluice_recipients_total\{.*?outcome="(\w+)".*?\} (\d+)', text.decode(), re.MULTILINE):
        counted[outcome] += int(count)
    for outcome in ("accepted", "generated", *ENDS):
        assert counted[outcome] == totals[outcome], (outcome, counted, totals)


@step("blacklist import", "POST /blacklist/import")
def blacklist_import(desk, way):
    """Two entries and a line that is none; what is there can be searched for."""
    number = desk.intake.number()
    text = f"address,reason\n@d{number}.spam.example,by a file\nanna@d{number}.ham.example,by a file\nno address,\n"
    if way == CLI:
        file = desk.relay.folder / "blacklist.csv"
        file.write_text(text)
        told = desk.command("blacklist", "import", str(file), status=1)
    else:
        told = json.loads(desk.raw("POST", "blacklist/import", text, kind="text/csv")[0])
    assert (told["added"], told["faulty"]) == (2, 1) and told["faults"][0]["line"] == 4, told
    found = desk.command("blacklist", "list", "--search", f"@d{number}") if way == CLI else desk.ask("GET", "blacklist", search=f"@d{number}")
    assert {one["address"] for one in found} == {f"@d{number}.spam.example", f"anna@d{number}.ham.example"}, found


@step("blacklist export", "GET /blacklist/export")
def blacklist_export(desk, way):
    """All entries, in a form that is taken again and changes nothing."""
    desk.ask("POST", "blacklist", {"address": f"@d{desk.intake.number()}.spam.example", "reason": 'a "word", and more'})
    text = desk.run("blacklist", "export") if way == CLI else desk.raw("GET", "blacklist/export")[0].decode()
    entries = {one["address"] for one in desk.ask("GET", "blacklist")}
    assert {row["address"] for row in csv.DictReader(io.StringIO(text))} == entries
    again = json.loads(desk.raw("POST", "blacklist/import", text, kind="text/csv")[0])
    assert (again["added"], again["replaced"], again["faulty"], again["unchanged"]) == (0, 0, 0, len(entries)), again


@step("blacklist learn", "POST /blacklist/learn")
def blacklist_learn(desk, way):
    address = f"gone@d{desk.intake.number()}.example"
    if way == CLI:
        file = desk.relay.folder / "report.eml"
        file.write_text(NO_SUCH_MAILBOX.format(address=address))
        desk.run("blacklist", "learn", str(file))
    else:
        desk.ask("POST", "blacklist/learn", {"mailboxes": [{"address": address, "reason": "no such user"}]})
    told = desk.ask("GET", "blacklist/check", address=address)
    assert told["listed"] is True and told["entry"]["source"] == "learned", told


def _history(desk, way, **filters):
    """What has become of mail, the newest first."""
    if way == CLI:
        return desk.command("history", *[word for name, value in filters.items() for word in (f"--{name}", value)])
    return desk.ask("GET", "history", **filters)


def _sent(desk):
    """A message that has gone, and its recipient."""
    mail = desk.hand_in(kinds=("good",))
    address = min(mail.waiting)
    with desk.alone():
        desk.settle()
    return mail, address


@step("history", "GET /history")
def history(desk, way):
    """What was sent, what was refused, what a person has deleted."""
    mail, address = _sent(desk)
    told = _history(desk, way, to=address)
    assert [(one["queue_id"], one["state"], one["from"], one["upstream"]) for one in told] == [
        (mail.queue_id, "sent", mail.sender, desk.model.default)
    ], told
    bad = desk.hand_in(kinds=("bad",))
    refused, deleted = min(bad.waiting), desk.some(1, is_held)[0]
    gone = min(deleted.waiting)
    with desk.alone():
        desk.settle()
        desk.each(way, "delete", [deleted])
        desk.model.delete([deleted])
    assert [one["state"] for one in _history(desk, way, to=refused)] == ["bounced"]
    assert [one["state"] for one in _history(desk, way, to=gone)] == ["deleted"]
    assert _history(desk, way, to="nobody@nowhere.example") == []


@step("history forget", "POST /history/forget")
def history_forget(desk, way):
    _, address = _sent(desk)
    told = desk.command("history", "forget", address) if way == CLI else desk.ask("POST", "history/forget", {"address": address})
    assert told["entries"] == 1, told
    assert _history(desk, way, to=address) == []


@step("history resend", "POST /history/{id}/resend")
def history_resend(desk, way):
    """As a new message to the same recipient, who gets it a second time by another queue id."""
    mail, address = _sent(desk)
    with desk.alone():
        asked = desk.model.record.asked[address]
        told = desk.command("history", "resend", mail.queue_id) if way == CLI else desk.ask("POST", f"history/{mail.queue_id}/resend", {})
        again, record = Mail(told["queue_id"], mail.number, mail.sender, {address}), desk.model.record
        # Its content is the one of before, and so is the queue id in its Received field.
        first, second = (mail.queue_id, address), (again.queue_id, address)
        wait_until(lambda: len(record.taken[first]) == 2, PATIENCE, "the second delivery")
        with record.lock:
            record.taken[second].append(record.taken[first].pop())
        desk.model.accept(again)
        # No client has handed it in.
        desk.model.totals.update(accepted=-1, generated=1)
        again.due_since = {address: asked}
        desk.settle()
    assert sorted(one["state"] for one in _history(desk, way, to=address)) == ["sent", "sent"]


@step("alert test", "POST /alerts/test")
def alert_test(desk, way):
    """The configuration names a command, which has what it needs on stdin."""
    told = desk.command("alert", "test") if way == CLI else desk.ask("POST", "alerts/test")
    assert told and all(one["ok"] for one in told), told
