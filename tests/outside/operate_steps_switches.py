"""Steps that switch something: upstreams, limits, test mode, the blacklist, and the configuration itself."""

import re
import smtplib
from collections import Counter
from contextlib import contextmanager

from network import wait_until
from operate_desk import CLI, PATIENCE, is_late
from operate_model import BULK_LIMIT, TEST_ADDRESS
from operate_registry import step


@step("upstream list", "GET /upstreams")
def upstream_list(desk, way):
    told = {one["name"]: one for one in (desk.command("upstream", "list") if way == CLI else desk.ask("GET", "upstreams"))}
    states = {name: one["state"] for name, one in told.items()}
    assert states == {"main": "up", "spare": "up", "bulk": "limited", "off": "disabled"}, states
    assert told["off"]["action"] == "mailsluice upstream enable off", told["off"]


def switch(desk, way, verb, name):
    """Switches an upstream; what comes of it is in the configuration file."""
    one = desk.command("upstream", verb, name) if way == CLI else desk.ask("POST", f"upstreams/{name}/{verb}")
    assert one["name"] == name and one["not_in_file"] is None, one
    return one


@step("upstream default", "POST /upstreams/{name}/default")
def default(desk, way):
    """The other one of two; mail in the queue follows."""
    with desk.alone():
        desk.settle()
        desk.model.default = "spare" if desk.model.default == "main" else "main"
        assert switch(desk, way, "default", desk.model.default)["default"] is True
    if way == CLI:
        desk.run("upstream", "default", "nowhere", status=1)
    else:
        desk.ask("POST", "upstreams/nowhere/default", status=404)


@step("upstream enable", "POST /upstreams/{name}/enable")
def enable(desk, way):
    """All that has waited for it goes; then it is disabled again."""
    with desk.alone():
        desk.settle()
        desk.model.disabled.discard("off")
        desk.model.make_due(desk.all(lambda mail: desk.model.upstream(mail) == "off"))
        assert switch(desk, way, "enable", "off")["state"] == "up"
        desk.settle()
        desk.model.disabled.add("off")
        assert switch(desk, way, "disable", "off")["state"] == "disabled"


@step("upstream disable", "POST /upstreams/{name}/disable")
def disable(desk, way):
    """Nothing goes by it, whatever comes; enabled again it sends all of that."""
    name = desk.model.default
    with desk.alone():
        desk.settle()
        desk.model.disabled.add(name)
        assert switch(desk, way, "disable", name)["state"] == "disabled"
    mail = desk.hand_in()
    told = desk.ask("GET", f"queue/{mail.queue_id}")
    assert (told["state"], told["waiting_for"]) == ("ready", "disabled") and told["waits"][0]["applies_to"] == "upstream", told
    with desk.alone():
        desk.settle()
        desk.model.disabled.discard(name)
        desk.model.make_due(desk.all(lambda mail: desk.model.state(mail) == "ready"))
        switch(desk, way, "enable", name)


@step("limits show", "GET /limits")
def limits_show(desk, way):
    for upstream in (None, "bulk"):
        if way == CLI:
            told = desk.command("limits", "show", *([upstream] if upstream else []))
        else:
            told = desk.ask("GET", "limits", **({"upstream": upstream} if upstream else {}))
        assert {one["upstream"] for one in told} == ({upstream} if upstream else {"main", "spare", "bulk", "off"})
        day = next(one for one in told if (one["upstream"], one["window"]) == ("bulk", "day"))
        assert day["messages"] == {"used": BULK_LIMIT, "limit": BULK_LIMIT} and day["next_free"], day
    if way == CLI:
        desk.run("limits", "show", "nowhere", status=1)


@step("limits reset", "POST /limits/reset")
def limits_reset(desk, way):
    """As many again as a day may have go at once; another window's reset lets none go."""
    def reset(window):
        if way == CLI:
            return desk.command("limits", "reset", "bulk", "--window", window)
        return desk.ask("POST", "limits/reset", {"upstream": "bulk", "windows": [window]})

    with desk.alone():
        desk.settle()
        reset("hour")
        desk.settle()
        desk.model.bulk_allowance += BULK_LIMIT
        reset("day")
        desk.settle()


@contextmanager
def test_mode(desk, way, action):
    """It is on within; both ends are told by the same way."""
    def change(enabled):
        if way == CLI:
            told = desk.command("test-mode", *(["on", "--action", action, "--address", TEST_ADDRESS] if enabled else ["off"]))
        else:
            told = desk.ask("PUT", "test-mode", {"enabled": enabled, **({"action": action, "address": TEST_ADDRESS} if enabled else {})})
        assert told["enabled"] is enabled and told["not_in_file"] is None, told
        desk.intake.test = action if enabled else None

    with desk.alone():
        change(True)
    yield
    with desk.alone():
        change(False)


@step("test-mode on", "PUT /test-mode")
def redirect(desk, way):
    """One copy goes to the test address, and nobody else is asked for."""
    with test_mode(desk, way, "redirect"):
        mails = [desk.hand_in(kinds=("good", "good", "bad")) for _ in range(3)]
        originals = {address for mail in mails for address in mail.waiting}
        with desk.alone():
            desk.settle()
    assert not originals & desk.model.record.asked.keys(), "an original recipient was asked for"


@step("test-mode off", "PUT /test-mode")
def hold_tests(desk, way):
    """Held tests, released to the test address and to their recipients. What others handed in meanwhile is deleted."""
    with test_mode(desk, way, "hold"):
        tests = [desk.hand_in(kinds=("good", "good")) for _ in range(3)]
    assert all(one["test_mode"] == "hold" for one in desk.listed(state="held", sender="office@firm.example"))
    for mail, to in zip(tests, ("test", "recipients", "test"), strict=True):
        mail.held, mail.test = False, "redirect" if to == "test" else None
        desk.model.make_due([mail])
        desk.each(way, "release", [mail], "--to", to, body={"to": to})
    others = desk.all(lambda mail: mail.test == "hold" and mail.held)
    if others:
        desk.each(way, "delete", others)
        desk.model.delete(others)


@step("test-mode status", "GET /test-mode")
def test_mode_status(desk, way):
    with desk.alone():
        desk.settle()
        told = desk.command("test-mode", "status") if way == CLI else desk.ask("GET", "test-mode")
        counts = Counter((mail.test is not None, mail.held) for mail in desk.all(lambda mail: True))
        names = {"outside_test_mode": (False, False), "outside_test_mode_held": (False, True), "tests": (True, False), "tests_held": (True, True)}
        assert told["enabled"] is False and {name: told[name] for name in names} == {name: counts[key] for name, key in names.items()}, told


def capture(desk, way):
    """Mail into the local mailbox, whoever hands it in."""
    with test_mode(desk, way, "capture"):
        return [desk.hand_in(kinds=("good", "never")) for _ in range(4)]


@step("captured list")
def captured_list(desk, way):
    mails = capture(desk, way)
    # What was captured is written after its 250.
    wait_until(lambda: {one["queue_id"] for one in desk.command("captured", "list")} == desk.model.captured, PATIENCE, "captured")
    told = {one["queue_id"]: one for one in desk.command("captured", "list")}
    for mail in mails:
        assert (told[mail.queue_id]["from"], set(told[mail.queue_id]["to"])) == (mail.sender, mail.waiting), told[mail.queue_id]


@step("captured show")
def captured_show(desk, way):
    mail = capture(desk, way)[0]
    with desk.alone():
        desk.settle()
    assert f"X-Number: {mail.number}" in desk.run("captured", "show", mail.queue_id)


@step("captured delete")
def captured_delete(desk, way):
    mails = capture(desk, way)[:2]
    with desk.alone():
        desk.settle()
    ids = [mail.queue_id for mail in mails]
    assert sorted(desk.command("captured", "delete", *ids)["deleted"]) == sorted(ids)
    desk.model.captured -= set(ids)
    assert {one["queue_id"] for one in desk.command("captured", "list")} == desk.model.captured
    desk.run("captured", "show", ids[0], status=1)


@step("captured clear")
def captured_clear(desk, way):
    capture(desk, way)
    with desk.alone():
        desk.settle()
    desk.run("captured", "clear", status=1)
    assert set(desk.command("captured", "clear", "--yes")["deleted"]) == desk.model.captured
    desk.model.captured.clear()
    assert desk.command("captured", "list") == []


def blacklist(desk, way, verb, address, **more):
    """One of the commands to the blacklist."""
    if way == CLI:
        return desk.command("blacklist", verb, address, *[word for name, value in more.items() for word in (f"--{name}", value)])
    if verb == "add":
        return desk.ask("POST", "blacklist", {"address": address, **more})
    return desk.ask("DELETE" if verb == "remove" else "GET", "blacklist" if verb == "remove" else "blacklist/check", address=address)


@step("blacklist add", "POST /blacklist")
def blacklist_add(desk, way):
    """Clients are refused, and what waits in the queue is refused at its next attempt, with a report."""
    mail = desk.some(1, lambda mail: is_late(mail) and len(mail.waiting) == 1)[0]
    address = min(mail.waiting)
    entry = blacklist(desk, way, "add", address, reason="asked to", expires="30d")
    assert (entry["address"], entry["source"], entry["reason"]) == (address, "manual", "asked to") and entry["expires_at"], entry
    with smtplib.SMTP("127.0.0.1", desk.relay.port, timeout=20) as client:
        client.ehlo("client.test")
        client.mail("office@firm.example")
        code, reply = client.rcpt(address)
        assert code == 550 and b"(asked to)" in reply, reply
    desk.each(way, "retry", [mail])
    desk.model.bounce(mail)


@step("blacklist list", "GET /blacklist")
def blacklist_list(desk, way):
    pattern = f"@d{desk.intake.number()}.spam.example"
    blacklist(desk, way, "add", pattern)
    told = desk.command("blacklist", "list") if way == CLI else desk.ask("GET", "blacklist")
    assert any(one["address"] == pattern and one["source"] == "manual" and one["expires_at"] is None for one in told), told


@step("blacklist check", "GET /blacklist/check")
def blacklist_check(desk, way):
    number = desk.intake.number()
    blacklist(desk, way, "add", f"*.d{number}.spam.example")
    told = blacklist(desk, way, "check", f"Anna@WWW.d{number}.Spam.example")
    assert told["listed"] is True and told["entry"]["address"] == f"*.d{number}.spam.example", told
    if way == CLI:
        assert desk.command("blacklist", "check", f"anna@d{number}.spam.example", status=1)["listed"] is False


@step("blacklist remove", "DELETE /blacklist")
def blacklist_remove(desk, way):
    """Mail to it goes again."""
    number = desk.intake.number()
    blacklist(desk, way, "add", f"@d{number}.spam.example")
    blacklist(desk, way, "remove", f"@d{number}.spam.example")
    assert not any(one["address"] == f"@d{number}.spam.example" for one in desk.ask("GET", "blacklist"))
    if way == CLI:
        desk.run("blacklist", "remove", f"@d{number}.spam.example", status=1)


@step("reload", "POST /reload")
def reload(desk, way):
    """Another value is in force; of a broken file nothing is."""
    def rewrite(change):
        text = desk.relay.file.read_text()
        desk.relay.file.write_text(change(text))
        return text

    most = desk.chance.randrange(500, 999)
    before = rewrite(lambda text: re.sub(r"max_recipients = \d+", f"max_recipients = {most}", text))
    changed = desk.command("reload") if way == CLI else desk.ask("POST", "reload")
    assert changed["changed"] == ([] if f"max_recipients = {most}\n" in before else ["session.max_recipients"]), changed
    whole = rewrite(lambda text: text.replace("max_recipients", "most_recipients"))
    if way == CLI:
        assert "most_recipients" in desk.run("reload", status=2)
        assert "most_recipients" in desk.run("check", status=2)
    else:
        assert "most_recipients" in desk.ask("POST", "reload", status=422)["detail"]
    rewrite(lambda _: whole)
    assert desk.ask("POST", "reload")["changed"] == []


@step("check")
def check(desk, _way):
    assert desk.command("check")["ok"] is True
