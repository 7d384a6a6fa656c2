"""Steps that look on, try out, or write something beside the queue: probe, send, explain, trace, events, doctor, backup."""

import json
import signal
import subprocess
from urllib.parse import urlencode

from messages import compose
from network import wait_until
from operate_desk import CLI, PATIENCE
from operate_model import COPIES_TO, Mail
from operate_registry import step
from relay import ControlConnection, binary, clean_environment


@step("probe", "POST /probe")
def probe(desk, way):
    """All that are enabled, then one that is not; nothing is sent."""
    for names in ([], ["off"]):
        if way == CLI:
            begun = ended = desk.command("probe", *names)
        else:
            octets, _ = desk.raw("POST", "probe", json.dumps({"upstreams": names}))
            told = [json.loads(line) for line in octets.splitlines()]
            begun, ended = ([one for one in told if one["event"] == event] for event in ("begun", "ended"))
        assert {one["upstream"] for one in begun} == (set(names) or {"main", "spare", "bulk"}), begun
        assert len(ended) == len(begun) and all(one["ok"] for one in ended), ended


@step("send", "POST /send")
def send(desk, way):
    """A test mail by the default, one by a named upstream, one that is refused."""
    for upstream, kind, state in [(None, "good", "sent"), ("spare", "good", "sent"), (None, "bad", "bounced")]:
        address = f"{kind}.{desk.intake.number()}@d1.example"
        with desk.alone():
            told = _send(desk, way, address, upstream, status=0 if state == "sent" else 1)
            assert [(one["address"], one["state"]) for one in told["recipients"]] == [(address, state)], told
            desk.model.accept(Mail(told["queue_id"], None, "office@firm.example", {address}, upstream=upstream))
            desk.settle()


def _send(desk, way, address, upstream, status):
    """What `send --json` prints, by either way."""
    if way == CLI:
        words = ["--upstream", upstream] if upstream else []
        done = desk.relay.command("send", "--to", address, "--from", "office@firm.example", *words, check=False)
        assert done.returncode == status, done
        return json.loads(done.stdout)
    query = urlencode({"to": address, "from": "office@firm.example", **({"upstream": upstream} if upstream else {})})
    content = compose(b"A test.\r\n")
    events = [json.loads(line) for line in desk.raw("POST", f"send?{query}", content, kind="message/rfc822")[0].splitlines()]
    assert events[-1] == {"event": "ended", "end": "settled"}, events
    outcomes = [one for one in events if one["event"] == "recipient"]
    return {"queue_id": events[0]["queue_id"], "recipients": outcomes}


@step(route="GET /send")
def send_plan(desk, _way):
    plan = desk.ask("GET", "send", **{"from": "bulk1@bulk.example"})
    assert (plan["upstream"], plan["from"], plan["hostname"]) == ("bulk", "bulk1@bulk.example", "relay.test"), plan
    desk.ask("GET", "send", status=404, upstream="nowhere")


@step("explain")
def explain(desk, _way):
    """What it says of a message is what becomes of one."""
    file = desk.relay.folder / "explained.eml"
    for sender, mark, rules, upstream, copies in [
        ("bulk1@bulk.example", b"X-Hold: yes\r\n", ["held"], "bulk", []), ("office@firm.example", b"X-Copy: yes\r\n", ["copied"], None, [COPIES_TO]),
    ]:
        file.write_bytes(compose(b"text\r\n", mark, sender=sender.encode()))
        told = desk.command("explain", "--from", sender, "--to", "good.1@d1.example", str(file))
        assert (told["rules"], told["copies"]) == (rules, copies), told
        assert told["upstream"] == (upstream or desk.model.default) and told["recipients"] == ["good.1@d1.example"], told


@step("trace")
def trace(desk, _way):
    """The dialogue with an upstream while a mail goes; it ends with Ctrl-C."""
    words = [binary(), "--config", str(desk.relay.file), "--json", "trace", desk.model.default]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()) as tracing:
        try:
            mail = _until_seen(desk, lambda text: text in tracing.stdout.readline())
            assert mail is not None
            tracing.send_signal(signal.SIGINT)
            _, errors = tracing.communicate(timeout=PATIENCE)
            assert tracing.returncode in (0, 130), (tracing.returncode, errors)
        finally:
            tracing.kill()


def _until_seen(desk, line_has):
    """Hands mail in until a line has its recipient: whoever looks on may have come too late for the first."""
    mail = desk.hand_in(kinds=("good",))
    address = min(mail.waiting) if mail.waiting else ""
    for count in range(5_000):
        if line_has(address):
            return mail
        if count % 50 == 49:
            mail = desk.hand_in(kinds=("good",))
            address = min(mail.waiting) if mail.waiting else address
    return None


class Reader:
    """Reads an answer that goes on, line by line."""

    def __init__(self, desk, path):
        self.connection = ControlConnection(desk.relay.data / "control.sock", PATIENCE)
        self.connection.request("GET", f"/api/v1/{path}")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.status

    def __enter__(self):
        return self.answer

    def __exit__(self, *_):
        self.answer.close()
        self.connection.close()


@step(route="GET /upstreams/{name}/trace")
def trace_request(desk, _way):
    with Reader(desk, f"upstreams/{desk.model.default}/trace") as lines:
        assert _until_seen(desk, lambda address: address.encode() in lines.readline()) is not None


@step(route="GET /events")
def events(desk, _way):
    """The log from now on: what is accepted is in it, with its number's queue id."""
    with Reader(desk, "events") as lines:
        mail = desk.hand_in()
        for line in lines:
            if line == b"event: accepted\n":
                event = json.loads(lines.readline().removeprefix(b"data: "))
                if event["queue_id"] == mail.queue_id:
                    assert event["from"] == mail.sender and event["recipients"] == 1, event
                    return
    raise AssertionError(f"{mail} is not among the events")


@step("doctor")
def doctor(desk, _way):
    """The accounts are well, and so is the disk; what the name server does not tell is unknown, and no fault."""
    told = {(one["check"], one["subject"]): one["level"] for one in desk.command("doctor")}
    assert all(told["probe", name] == "ok" for name in ("main", "spare", "bulk")), told
    assert "fault" not in told.values(), told


@step("presets")
def presets(desk, _way):
    assert "office365" in {one["name"] for one in desk.command("presets")}


@step("backup")
def backup(desk, _way):
    """A backup of one instant, whose store is sound and has all messages, and the same sum."""
    file, folder = desk.relay.folder / "backup.tar", desk.relay.folder / "restored"
    with desk.alone():
        desk.settle()
        told = desk.command("backup", str(file))
        assert told["messages"] == len(desk.model.queue), (told, len(desk.model.queue))
    folder.mkdir()
    subprocess.run(["tar", "-xf", file, "-C", folder], check=True, timeout=PATIENCE)
    checked = desk.command("--data-dir", str(folder), "store", "check")
    assert (checked["messages"], checked["damage"]) == (told["messages"], []), checked
    subprocess.run(["rm", "-r", folder, file], check=True, timeout=PATIENCE)


@step(route="GET /openapi.json")
def description(desk, _way):
    assert desk.ask("GET", "openapi.json")["openapi"].startswith("3.1")


@step(route="GET /sign-ins")
def sign_ins(desk, _way):
    assert desk.ask("GET", "sign-ins") == []


@step(route="GET /healthz")
def healthy(desk, _way):
    """At the address of the console, where nobody needs a token for it."""
    assert desk.at_console("/healthz")[0] == 200


@step(route="GET /readyz")
def ready(desk, _way):
    wait_until(lambda: desk.at_console("/readyz")[0] == 200, PATIENCE, lambda: desk.at_console("/readyz"))
