"""What a public parser reads in /metrics agrees with the run: with `mailsluice status`, with the log, and with what was sent."""

import hashlib
import smtplib
from http.client import HTTPConnection

import pytest
from aiosmtpd.controller import Controller
from network import free_port, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

TOKEN = "a-scrapers-token"
VIEWER = f'[[api_token]]\nname = "scraper"\nhash = "sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"\nrole = "viewer"\n'
MESSAGE = "From: office@firm.example\r\nTo: x@elsewhere.example\r\nSubject: figures\r\n\r\nHello\r\n"


class Upstream:
    """Takes mail for some, defers others, refuses others."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("later"):
            return "450 4.2.2 the mailbox is full"
        if address.startswith("never"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 taken"


@pytest.fixture
def upstream():
    controller = Controller(Upstream(), hostname="127.0.0.1", port=free_port(), ready_timeout=20)
    controller.start()
    yield controller
    controller.stop()


class Scraped:
    """The samples of an answer, by name and labels."""

    def __init__(self, text, parser=parse):
        self.families = list(parser(text))
        self.samples = {}
        for family in self.families:
            assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{key} stands twice"
                self.samples[key] = sample.value

    def get(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())))

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)


def scrape(port, token=None, accept="*/*"):
    """Status, media type and text."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def configuration(console, upstream, more=""):
    return (
        f'[console]\naddress = "127.0.0.1:{console}"\n{more}{VIEWER}'
        '[queue]\nretry_min = "1h"\nretry_max = "2h"\n[blacklist]\naction = "drop"\n'
        f'[[upstream]]\nname = "provider"\ndefault = true\nhost = "127.0.0.1"\nport = {upstream}\nsecurity = "none"\n'
        '[upstream.limits]\nper_day = { messages = 100 }\n'
        '[[upstream]]\nname = "local"\nkind = "capture"\nfilter = ["captured.example"]\n'
    )


def send(relay, recipients, sender="office@firm.example"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        return client.sendmail(sender, recipients, MESSAGE.replace("office@firm.example", sender))


def test_the_figures_agree_with_the_run(start_relay, upstream):
    console = free_port()
    relay = start_relay(configuration(console, upstream.port))
    relay.command("blacklist", "add", "listed@elsewhere.example")
    send(relay, ["a@elsewhere.example", "b@elsewhere.example"])
    send(relay, ["c@elsewhere.example", "later@elsewhere.example", "never@elsewhere.example", "listed@elsewhere.example"])
    send(relay, ["d@elsewhere.example"], sender="office@captured.example")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.ehlo()
        assert client.mail("office@firm.example")[0] == 250
        assert client.rcpt("no address")[0] == 501
        # More than max_message_size.
        assert client.mail("office@firm.example", ["SIZE=99999999999"])[0] == 503
        client.rset()
        assert client.mail("office@firm.example", ["SIZE=99999999999"])[0] == 552
    # The report about the one that does not exist goes to its sender by the same upstream.
    relay.wait_event("sent", count=4)
    relay.wait_event("captured")

    def settled():
        status = relay.command("status")
        return status if status["queue"] == {"ready": 0, "deferred": 1, "held": 0, "sending": 0} else None

    status = wait_until(settled, 30, lambda: f"one deferred message: {relay.log_tail()}")
    answer, kind, text = scrape(console, TOKEN)
    assert answer == 200 and kind == "text/plain; version=0.0.4; charset=utf-8"
    found = Scraped(text)
    agree_with_status(found, status)
    agree_with_log(found, relay)
    for outcome, upstream_name, want in [
        ("accepted", "provider", 6), ("generated", "provider", 1), ("sent", "provider", 4), ("deferred", "provider", 1),
        ("bounced", "provider", 1), ("dropped", "provider", 1), ("accepted", "local", 1), ("rejected", "", 2),
    ]:
        labels = {"outcome": outcome, "upstream": upstream_name, "account": ""}
        assert found.get("mailsluice_recipients_total", **labels) == want, (labels, text)
    for outcome, reason in [("deferred", "mailbox"), ("bounced", "address")]:
        labels = {"outcome": outcome, "upstream": "provider", "account": "", "class": reason}
        assert found.get("mailsluice_failures_total", **labels) == 1, text
    assert found.sum("mailsluice_failures_total") == 2
    assert found.get("mailsluice_delivery_delay_seconds_count", upstream="provider") == 4
    assert found.get("mailsluice_phase_seconds_count", phase="transaction", upstream="provider") == 3
    assert found.get("mailsluice_phase_seconds_count", phase="queue", upstream="provider") == 3
    assert found.get("mailsluice_phase_seconds_count", phase="connect", upstream="provider") >= 1
    assert found.get("mailsluice_commit_seconds_count") == found.get("mailsluice_commit_writes_count") > 0
    assert found.get("mailsluice_commit_writes_sum") >= found.get("mailsluice_commit_writes_count")
    assert found.get("mailsluice_sessions_begun_total") >= 4
    assert found.get("mailsluice_queue_oldest_seconds") > 0
    assert found.get("mailsluice_waiting_messages", upstream="provider") == 1
    # Nothing of what mail says is in it.
    assert "elsewhere.example" not in text and "no such user" not in text
    opened = Scraped(scrape(console, TOKEN, "application/openmetrics-text; version=1.0.0")[2], parse_openmetrics)
    assert opened.get("mailsluice_recipients_total", outcome="sent", upstream="provider", account="") == 4
    assert scrape(console)[0] == 401
    assert relay.terminate() == 0
    relay.start()
    again = Scraped(scrape(console, TOKEN)[2])
    assert again.get("mailsluice_recipients_total", outcome="sent", upstream="provider", account="") == 0
    assert again.get("mailsluice_store_recipients_total", outcome="sent") == 4


def agree_with_status(found, status):
    for state, count in status["queue"].items():
        assert found.get("mailsluice_queue_messages", state=state) == count, state
    totals = dict(status["totals"])
    queued = totals.pop("queued")
    for outcome, count in totals.items():
        assert found.get("mailsluice_store_recipients_total", outcome=outcome) == count, outcome
        # The store was made by this process.
        assert found.sum("mailsluice_recipients_total", outcome=outcome) == count, outcome
    assert found.sum("mailsluice_waiting_recipients") == queued
    for upstream in status["upstreams"]:
        assert found.get("mailsluice_upstream_state", upstream=upstream["name"], state=upstream["state"]) == 1
        for account in upstream["accounts"]:
            names = {"upstream": upstream["name"], "account": account["account"]}
            assert found.get("mailsluice_upstream_connections_max", **names) == account["most_connections"]
        for limit in upstream["limits"]:
            names = {"upstream": limit["upstream"], "account": limit["account"], "window": limit["window"]}
            for unit in ("messages", "recipients", "octets"):
                used = found.get("mailsluice_limit_used", unit=unit, **names)
                left = found.get("mailsluice_limit_left", unit=unit, **names)
                if limit[unit]["limit"] is None:
                    assert used is None and left is None, limit
                else:
                    assert (used, used + left) == (limit[unit]["used"], limit[unit]["limit"]), limit
    assert found.get("mailsluice_needs_a_person") == len(status["needs_a_person"])
    assert found.get("mailsluice_build_info", version=status["version"]) == 1
    assert found.get("mailsluice_store_healthy") == found.get("mailsluice_ready") == 1


def agree_with_log(found, relay):
    for event in ("sent", "deferred", "bounced", "captured", "dropped", "rejected"):
        assert found.sum("mailsluice_recipients_total", outcome=event) == len(relay.events(event)), event
    reasons = [line["reason"] for line in relay.events("rejected")]
    for reason in reasons:
        assert found.get("mailsluice_rejections_total", reason=reason) == reasons.count(reason)
    assert found.sum("mailsluice_rejections_total") == len(reasons)
    assert found.get("mailsluice_log_lines_dropped_total") == 0


def test_open_to_anybody_and_told_by_a_reload(start_relay, upstream):
    console = free_port()
    relay = start_relay(configuration(console, upstream.port, 'metrics = "open"\n'))
    send(relay, ["a@elsewhere.example"])
    relay.wait_event("sent")
    assert Scraped(scrape(console)[2]).sum("mailsluice_recipients_total", outcome="sent") == 1
    lines = len(relay.events())
    for _ in range(5):
        assert scrape(console)[0] == 200
    assert len(relay.events()) == lines, "scrapes are not logged"
    relay.write(configuration(console, upstream.port).replace('"provider"', '"other"'))
    assert "console.metrics" in relay.command("reload")["changed"]
    assert scrape(console)[0] == 401
    text = scrape(console, TOKEN)[2]
    # What the configuration does not name any more is in no label.
    assert "provider" not in text and Scraped(text).get("mailsluice_waiting_messages", upstream="other") == 0
