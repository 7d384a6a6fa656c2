"""The desk at which a relay is operated: commands, requests, and the comparison of its answers with the model."""

import json
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlencode

from network import wait_until
from operate_model import ENDS
from submitter import Submitter

PATIENCE = 120
CLI, API = "cli", "api"
# A viewer's, at the console.
TOKEN = "a-viewers-token"


def differs(totals):
    """Whether the sum of the totals is wrong."""
    return totals["accepted"] + totals["generated"] != sum(totals[name] for name in (*ENDS, "queued"))


class SumWatch:
    """Asks for the status all the time, and notes each answer whose sum is wrong."""

    def __init__(self, relay):
        self.relay, self.wrong, self.answers = relay, [], 0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def _watch(self):
        while not self.ending.wait(0.1):
            try:
                status = json.loads(self.relay.api("status"))
            except OSError as fault:
                self.wrong.append(repr(fault))
                return
            self.answers += 1
            if differs(status["totals"]):
                self.wrong.append(status["totals"])


class Desk:
    """A relay, what must be in it, and who hands mail in. `chance` decides all that a step leaves open."""

    def __init__(self, relay, console, model, intake, chance):
        self.relay, self.console, self.model, self.intake, self.chance = relay, console, model, intake, chance
        self.own = Submitter(relay.port)

    # Commands and requests.

    def run(self, *words, status=0, seconds=120):
        """What a command prints, with the exit status that it must have; stderr where it must fail."""
        done = self._done(words, status, seconds)
        return done.stdout if status == 0 else done.stdout + done.stderr

    def command(self, *words, status=0):
        """The JSON that a command prints."""
        return json.loads(self._done(words, status, PATIENCE).stdout)

    def _done(self, words, status, seconds):
        done = self.relay.command(*words, check=False, seconds=seconds)
        assert done.returncode == status, f"mailsluice {' '.join(words)}: {done.returncode} {done.stdout[-2000:]} {done.stderr}"
        return done

    def raw(self, method, path, body=None, status=200, kind="application/json"):
        """The octets and the header of an answer of the control interface."""
        got, header, octets = self.relay.ask(method, path, body, kind, seconds=PATIENCE)
        assert got == status, f"{method} {path} {body}: {got} {octets[:2000]}"
        return octets, header

    def ask(self, method, path, body=None, status=200, **query):
        """The JSON of an answer; of one that goes on its last line."""
        path += f"?{urlencode(query)}" if query else ""
        octets, header = self.raw(method, path, None if body is None else json.dumps(body), status)
        text = octets.decode()
        return json.loads(text.splitlines()[-1] if "ndjson" in header["content-type"] else text)

    def each(self, way, action, mails, *words, body=None):
        """Does something to single messages, and returns what became of each."""
        if way == CLI:
            return self.command("queue", action, *[mail.queue_id for mail in mails], *words)
        method, end = ("DELETE", "") if action == "delete" else ("POST", f"/{action}")
        return [self.ask(method, f"queue/{mail.queue_id}{end}", body) for mail in mails]

    def bulk(self, way, action, *words, **filters):
        """Does something to all messages that fit."""
        if way == CLI:
            options = [word for name, value in filters.items() for word in (f"--{name}", value)]
            return self.command("queue", action, "--all", *options, *words)
        return self.ask("POST", "queue/bulk", {"action": action, "filter": filters})

    def listed(self, **filters):
        """`queue list` by the command."""
        options = [word for name, value in filters.items() for word in (f"--{name}", str(value))]
        return self.command("queue", "list", "--limit", "100000", *options)

    def pages(self, limit, **filters):
        """The list page by page, as its links lead."""
        path, pages = f"queue?{urlencode({'limit': limit, **filters})}", []
        while path:
            octets, header = self.raw("GET", path)
            pages.append(json.loads(octets))
            link = header["link"] or ""
            path = link.partition("</api/v1/")[2].partition(">")[0] if 'rel="next"' in link else None
        return pages

    def at_console(self, path, token=None):
        """Status and octets of an answer at the console's address."""
        connection = HTTPConnection("127.0.0.1", self.console, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    # Mail.

    def hand_in(self, sender="office@firm.example", kinds=("good",), **how):
        """A message of the person at the desk."""
        return self.intake.hand_in(self.own, sender, list(kinds), **how)

    def some(self, count, fits):
        """Messages of the queue that fit, by chance; there must be one."""
        found = self.model.some(self.chance, count, fits)
        assert found, "the stock has none of these"
        return found

    def all(self, fits):
        with self.model.lock:
            return [mail for mail in self.model.queue.values() if fits(mail)]

    def alone(self):
        """Nobody hands mail in meanwhile."""
        return self.intake.gate.alone()

    # What must be.

    def settle(self):
        """Waits until all has gone that nothing keeps, while nobody hands mail in. Returns the status."""
        wait_until(self.model.follow, PATIENCE, lambda: f"all that is due to go: {self._overdue()}")
        return wait_until(self._status_as_expected, PATIENCE, lambda: self._other_status())

    def _status_as_expected(self):
        status = self.command("status") if self.chance.random() < 0.5 else self.ask("GET", "status")
        return self._differences(status) == [] and status

    def _differences(self, status):
        wanted = {"totals": self.model.expected_totals(), "queue": self.model.expected_queue()}
        return [f"{name}: {status[name]}, not {value}" for name, value in wanted.items() if status[name] != value]

    def _overdue(self):
        with self.model.lock:
            late = [mail for mail in self.model.queue.values() if mail.due_since]
            missing = self.model.reported - self.model.record.reports.keys()
        shown = [self.relay.command("queue", "show", mail.queue_id, check=False).stdout for mail in late[:2]]
        return f"{len(late)} messages {late[:2]} {shown}; {len(missing)} reports; {self.relay.log_tail()}"

    def _other_status(self):
        return f"the expected status: {self._differences(self.command('status'))}"

    def compare(self, thorough):
        """What the relay says of its queue, against the model, while nobody hands mail in. Returns the differences."""
        status = self.settle()
        faults = [*self.model.faults]
        if differs(status["totals"]):
            faults.append(f"the sum is wrong: {status['totals']}")
        twice = self.model.record.twice()
        if twice:
            faults.append(f"taken twice: {twice[:3]}")
        if thorough:
            # What moves to another upstream's lane does so in the background.
            deadline = time.monotonic() + PATIENCE
            while (found := self._list_differences()) and time.monotonic() < deadline:
                pass
            faults += found
        return faults

    def _list_differences(self):
        listed = self.listed() if self.chance.random() < 0.5 else [one for page in self.pages(5_000) for one in page]
        wanted, got = self.model.expected_list(), {}
        for one in listed:
            got[one["queue_id"]] = {key: one[key] for key in ("state", "from", "upstream", "waiting_for", "test_mode")} | {
                "waiting": {to["address"]: to["attempts"] for to in one["to"] if to["state"] == "waiting"}
            }
        if len(got) != len(listed):
            return ["a message is listed twice"]
        return [
            f"{queue_id}: {got.get(queue_id)}, not {wanted.get(queue_id)}"
            for queue_id in sorted(got.keys() | wanted.keys()) if got.get(queue_id) != wanted.get(queue_id)
        ][:5]


def of(sender):
    """Whether a message is of this sender."""
    return lambda mail: mail.sender == sender


def is_held(mail):
    """Whether it is held, and no test."""
    return mail.held and mail.test is None


def is_late(mail):
    """Whether it was put off."""
    return not mail.held and mail.sender.startswith("late")
