"""Steps at the queue: look, try again, hold, release, delete. One that acts tells the model before it tells the relay."""

import json
import smtplib
from concurrent.futures import ThreadPoolExecutor, wait

from network import wait_until
from operate_desk import CLI, PATIENCE, is_held, is_late, of
from operate_model import TEST_ADDRESS
from operate_registry import step

NOBODY = "01AAAAAAAAAAAAAA"


@step("status", "GET /status")
def status(desk, way):
    told = desk.command("status") if way == CLI else desk.ask("GET", "status")
    assert {one["name"] for one in told["upstreams"]} == {"main", "spare", "bulk", "off"}
    assert [one["name"] for one in told["upstreams"] if one["default"]] == [desk.model.default]
    assert told["test_mode"]["enabled"] is False and told["store_fault"] is None and told["needs_a_person"] == [], told
    if way == CLI:
        desk.run("status", "--check")
        assert "QUEUE" in desk.relay.text("status").upper()


@step("queue list", "GET /queue")
def queue_list(desk, way):
    """All of it, then each filter, and filters together. What is in the stock is there, whatever comes and goes meanwhile."""
    read = desk.listed if way == CLI else lambda **filters: [one for page in desk.pages(4_000, **filters) for one in page]
    mail = desk.some(1, lambda mail: is_held(mail) and len(mail.waiting) > 1)[0]
    recipient = min(mail.waiting)
    everything = {one["queue_id"]: one for one in read()}
    assert everything[mail.queue_id]["size"] > 0 and everything[mail.queue_id]["client"] == "127.0.0.1"
    assert everything.keys() >= {one.queue_id for one in desk.all(is_held)}
    for filters, fits in [
        ({"sender": mail.sender}, of(mail.sender)),
        ({"recipient": recipient}, lambda one: one is mail),
        ({"upstream": "bulk"}, lambda one: desk.model.upstream(one) == "bulk"),
        ({"state": "held"}, lambda one: one.held),
        ({"sender": "bulk7@bulk.example", "upstream": "bulk", "state": "ready"}, lambda one: one.sender == "bulk7@bulk.example" and not one.held),
        ({"sender": "nobody@firm.example"}, lambda one: False),
    ]:
        wanted = {one.queue_id for one in desk.all(fits)}
        assert {one["queue_id"] for one in read(**filters)} == wanted, (filters, len(wanted))
    states = {one["state"] for one in read(state="deferred", sender="late3@firm.example")}
    assert states <= {"deferred"}, states
    _first_messages(desk, way, mail.sender)


def _first_messages(desk, way, sender):
    """A limit, and pages that follow each other without a gap."""
    whole = [one["queue_id"] for one in desk.listed(sender=sender)]
    assert len(whole) > 10
    if way == CLI:
        assert [one["queue_id"] for one in desk.command("queue", "list", "--sender", sender, "--limit", "7")] == whole[:7]
        desk.run("queue", "list", "--state", "asleep", status=2)
        desk.run("queue", "list", "--upstream", "nowhere", status=1)
    else:
        pages = desk.pages(7, sender=sender)
        assert [one["queue_id"] for page in pages for one in page] == whole and len(pages) == len(whole) // 7 + 1
        desk.ask("GET", "queue", status=404, upstream="nowhere")
        desk.ask("GET", "queue", status=400, state="asleep")


@step("queue show", "GET /queue/{id}")
def show(desk, way):
    for fits, state, word in [
        (is_held, "held", "release"), (is_late, "deferred", "retry"),
        (lambda mail: desk.model.upstream(mail) == "bulk" and not mail.held, "ready", "limit"),
    ]:
        mail = desk.some(1, fits)[0]
        told = desk.command("queue", "show", mail.queue_id) if way == CLI else desk.ask("GET", f"queue/{mail.queue_id}")
        assert (told["state"], told["waiting_for"], told["from"]) == (state, word, mail.sender), (mail, told)
        assert told["subject"] == f"Mail {mail.number}" and told["waits"], told
        assert {to["address"] for to in told["to"]} >= mail.waiting
    if way == CLI:
        desk.run("queue", "show", NOBODY, status=1)
        assert f"X-Number: {mail.number}" in desk.command("queue", "show", mail.queue_id, "--content")["content"]
    else:
        desk.ask("GET", f"queue/{NOBODY}", status=404)


@step("queue export", "GET /queue/{id}/export")
def export(desk, way):
    mail = desk.some(1, is_held)[0]
    text = desk.run("queue", "export", mail.queue_id) if way == CLI else desk.raw("GET", f"queue/{mail.queue_id}/export")[0].decode()
    assert f"X-Number: {mail.number}" in text.splitlines() and f"id {mail.queue_id}" in text, text


@step(route="GET /queue/{id}/content")
def content(desk, _way):
    mail = desk.some(1, is_held)[0]
    octets = desk.raw("GET", f"queue/{mail.queue_id}/content")[0]
    assert f"X-Number: {mail.number}\r\n".encode() in octets, octets


@step("queue retry", "POST /queue/{id}/retry")
def retry(desk, way):
    """Some that were put off; then one that is held, which that does not release."""
    mails = desk.some(5, is_late)
    desk.model.make_due(mails)
    done = desk.each(way, "retry", mails)
    assert [one["queue_id"] for one in done] == [mail.queue_id for mail in mails]
    assert {one["outcome"] for one in done} <= {"due", "gone"}, done
    held = desk.some(1, is_held)[0]
    if way == CLI:
        desk.run("queue", "retry", held.queue_id, status=1)
        desk.run("queue", "retry", NOBODY, status=1)
    else:
        desk.ask("POST", f"queue/{held.queue_id}/retry", status=409)


@step(route="POST /queue/bulk")
def bulk(desk, way):
    """What it refuses, and all three acts by a recipient."""
    desk.ask("POST", "queue/bulk", {"action": "hold"}, status=400)
    desk.ask("POST", "queue/bulk", {"action": "sell", "all": True}, status=400)
    mail = desk.some(1, lambda mail: is_late(mail) and len(mail.waiting) == 1)[0]
    recipient = min(mail.waiting)
    assert desk.bulk(way, "hold", recipient=recipient)["messages"] == 1
    mail.held = True
    assert desk.bulk(way, "retry", recipient=recipient) == {"messages": 0, "others": 1, "done": True, "error": None}
    assert desk.bulk(way, "delete", recipient=recipient)["messages"] == 1
    desk.model.delete([mail])


@step("queue retry", "POST /queue/bulk")
def retry_of_a_sender(desk, way):
    sender = desk.some(1, is_late)[0].sender
    mails, held = desk.all(lambda mail: mail.sender == sender and not mail.held), desk.all(lambda mail: mail.sender == sender and mail.held)
    desk.model.make_due(mails)
    done = desk.bulk(way, "retry", sender=sender)
    assert done == {"messages": len(mails), "others": len(held), "done": True, "error": None}, (done, len(mails), len(held))


@step("queue retry", "POST /queue/retry")
def retry_all(desk, way):
    """All that were put off, whoever sent them; nobody hands mail in, so that it is known how many those are."""
    with desk.alone():
        desk.settle()
        deferred = desk.all(lambda mail: not mail.held)
        desk.model.make_due(deferred)
        done = desk.command("queue", "retry", "--all") if way == CLI else desk.ask("POST", "queue/retry")
        assert done["messages"] == len(deferred), (done, len(deferred))
        desk.settle()


@step("queue hold", "POST /queue/{id}/hold")
def hold(desk, way):
    mails = desk.some(3, is_late) + desk.some(3, lambda mail: desk.model.upstream(mail) == "off" and not mail.held)
    done = desk.each(way, "hold", mails)
    assert all(one["outcome"] == "held" for one in done), done
    for mail in mails:
        mail.held = True


@step("queue hold", "POST /queue/bulk")
def hold_of_a_sender(desk, way):
    sender = f"bulk{desk.chance.randrange(20)}@bulk.example"
    # What has permission to go just now would be in the way of a count.
    with desk.alone():
        desk.settle()
        mails = desk.all(of(sender))
        done = desk.bulk(way, "hold", sender=sender, upstream="bulk")
        assert (done["messages"], done["others"]) == (len(mails), 0), (done, len(mails))
        for mail in mails:
            mail.held = True


@step("queue release", "POST /queue/{id}/release")
def release(desk, way):
    """To their recipients; to the test address only when a person insists, since their recipients never get them then."""
    mails = desk.some(4, is_held)
    _let_go(desk, mails, test=None)
    done = desk.each(way, "release", mails, "--to", "recipients", body={"to": "recipients"})
    assert all(one["outcome"] == "released" for one in done), done
    mail = desk.some(1, is_held)[0]
    if way == CLI:
        assert "--yes" in desk.run("queue", "release", mail.queue_id, "--to", "test", status=1)
    else:
        desk.ask("POST", f"queue/{mail.queue_id}/release", {"to": "test"}, status=409)
    _let_go(desk, [mail], test="redirect")
    desk.each(way, "release", [mail], "--to", "test", "--yes", body={"to": "test", "confirmed": True})


def _let_go(desk, mails, test):
    """What the model has of mail that is released."""
    for mail in mails:
        mail.held, mail.test = False, test
    desk.model.make_due(mails)


@step("queue release", "POST /queue/release")
def release_of_a_sender(desk, way):
    sender = desk.some(1, lambda mail: is_held(mail) and mail.sender.startswith("held"))[0].sender
    mails = desk.all(of(sender))
    recipients = sum(len(mail.waiting) for mail in mails)
    wanted = (len(mails), recipients)
    if way == CLI:
        plan = desk.command("queue", "release", "--all", "--sender", sender, "--to", "recipients", status=1)
    else:
        plan = desk.ask("GET", "queue/release", to="recipients", sender=sender)
    assert (plan["messages"], plan["recipients"]) == wanted, (plan, wanted)
    _let_go(desk, mails, test=None)
    if way == CLI:
        done = desk.command("queue", "release", "--all", "--sender", sender, "--to", "recipients", "--yes")
    else:
        query = {"to": "recipients", "sender": sender}
        desk.ask("POST", "queue/release", {"query": query, "plan": {**plan, "recipients": recipients - 1}}, status=409)
        done = desk.ask("POST", "queue/release", {"query": query, "plan": plan})
    assert (done["messages"], done["recipients"], done["done"]) == (*wanted, True), (done, wanted)


@step(route="GET /queue/release")
def release_plan(desk, _way):
    mail = desk.some(1, is_held)[0]
    plan = desk.ask("GET", "queue/release", to="test", recipient=min(mail.waiting))
    assert (plan["messages"], plan["never_reached"], plan["test_address"]) == (1, len(mail.waiting), TEST_ADDRESS), plan


@step("queue delete", "DELETE /queue/{id}")
def delete(desk, way):
    mails = desk.some(3, is_held) + desk.some(3, is_late)
    done = desk.each(way, "delete", mails)
    assert all(one["outcome"] == "deleted" for one in done), done
    desk.model.delete(mails)
    if way == CLI:
        desk.run("queue", "delete", mails[0].queue_id, status=1)
    else:
        desk.ask("DELETE", f"queue/{mails[0].queue_id}", status=404)


@step("queue delete", "POST /queue/bulk")
def delete_of_a_sender(desk, way):
    sender = desk.some(1, is_held)[0].sender
    if way == CLI:
        assert "--yes" in desk.run("queue", "delete", "--all", "--sender", sender, status=1)
    mails = desk.all(lambda mail: mail.sender == sender and mail.held)
    words = ["--yes"] if way == CLI else []
    done = desk.bulk(way, "delete", *words, sender=sender, state="held")
    assert (done["messages"], done["others"]) == (len(mails), 0), (done, len(mails))
    desk.model.delete(mails)


def while_it_is_sent(desk, way, action, succeeds=False):
    """Does something to a message that is being sent: that waits, and finds it gone. Whoever comes too late for that does not find it."""
    desk.model.record.goes_on.clear()
    try:
        mail = desk.hand_in(kinds=("slow",))
        wait_until(lambda: desk.listed(state="sending", sender=mail.sender), PATIENCE, "a message that is being sent")
        with ThreadPoolExecutor(1) as pool:
            if way == CLI:
                asked = pool.submit(desk.relay.command, "queue", action, mail.queue_id, check=False)
            else:
                method, end = ("DELETE", "") if action == "delete" else ("POST", f"/{action}")
                asked = pool.submit(desk.relay.ask, method, f"queue/{mail.queue_id}{end}", seconds=PATIENCE)
            assert not wait([asked], 0.3).done, asked
            desk.model.record.goes_on.set()
            told = asked.result(PATIENCE)
    finally:
        desk.model.record.goes_on.set()
    if way == CLI:
        was_gone = '"gone"' in told.stdout and told.returncode == (0 if succeeds else 1)
        assert was_gone or told.returncode == 1 and "is not in the queue" in told.stderr, told
    else:
        status, _, octets = told
        assert (status, b'"gone"' in octets) in ((200, True), (404, False)), told


@step("queue hold", "POST /queue/{id}/hold")
def hold_of_what_is_sent(desk, way):
    while_it_is_sent(desk, way, "hold")


@step("queue delete", "DELETE /queue/{id}")
def delete_of_what_is_sent(desk, way):
    while_it_is_sent(desk, way, "delete")


@step("queue retry", "POST /queue/{id}/retry")
def retry_of_what_is_sent(desk, way):
    while_it_is_sent(desk, way, "retry", succeeds=True)


@step("queue list", "GET /queue")
def a_client_that_is_gone(desk, way):
    """A client that breaks off within its content has left nothing behind."""
    client = smtplib.SMTP("127.0.0.1", desk.relay.port, timeout=20)
    client.ehlo("client.test")
    client.mail("broken@firm.example")
    client.rcpt("good.broken@d1.example")
    client.putcmd("data")
    assert client.getreply()[0] == 354
    client.send(b"Subject: half of it\r\n")
    client.sock.close()
    client.close()
    told = desk.listed(sender="broken@firm.example") if way == CLI else json.loads(desk.raw("GET", "queue?sender=broken@firm.example")[0])
    assert told == []
