"""What a relay must have, by what it was told to do and what the upstreams say: a row for each message that is in its queue."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from operate_party import Record

TEST_ADDRESS, COPIES_TO = "test@firm.example", "archive@firm.example"
# How many messages a day the upstream `bulk` may send.
BULK_LIMIT = 40
ENDS = ("sent", "bounced", "expired", "dropped", "captured", "deleted")


@dataclass
class Mail:
    """A message that is in the queue. `waiting` are its recipients without an outcome, copies among them."""

    queue_id: str
    # None for a test mail of the relay.
    number: str | None
    sender: str
    waiting: set
    held: bool = False
    # What test mode makes of it: redirect, hold, or nothing.
    test: str | None = None
    # The upstream that a person has set, whoever serves the sender.
    upstream: str | None = None
    # How often its recipients were asked for before it was made due the last time; nothing while it waits.
    due_since: dict = field(default_factory=dict)

    @property
    def is_redirected(self):
        return self.test == "redirect"


class Model:
    """The queue as it must be. Clients add to it while steps change it."""

    def __init__(self):
        self.lock = threading.RLock()
        self.record = Record()
        self.queue = {}
        self.totals = Counter()
        # Numbers of mail that was refused for good, and how much without a number: a report each.
        self.reported, self.unnumbered = set(), 0
        self.captured = set()
        self.default, self.disabled = "main", {"off"}
        # So many messages `bulk` may have taken by now in all.
        self.bulk_allowance = BULK_LIMIT
        self.faults = []

    def upstream(self, mail):
        """The upstream by which it goes."""
        domain = mail.sender.partition("@")[2].partition(".")[0]
        return mail.upstream or (domain if domain in ("bulk", "off") else self.default)

    def accept(self, mail, captured=False):
        """A client has read 250 for it."""
        with self.lock:
            copies = len(mail.waiting & {COPIES_TO})
            self.totals["accepted"] += len(mail.waiting) - copies
            self.totals["generated"] += copies
            if captured:
                self.totals["captured"] += len(mail.waiting)
                self.captured.add(mail.queue_id)
                return
            self.queue[mail.queue_id] = mail
            self.make_due([mail], fresh=True)

    def make_due(self, mails, fresh=False):
        """They go as soon as nothing is in their way; to be said before the relay is told."""
        with self.lock:
            for mail in mails:
                goes = not mail.held and self.upstream(mail) not in self.disabled | {"bulk"}
                asked = {address: 0 if fresh else self.record.asked[address] for address in mail.waiting}
                mail.due_since = asked if goes else {}

    def some(self, chance, count, fits):
        """As many messages that fit, by chance."""
        with self.lock:
            found = [mail for mail in self.queue.values() if fits(mail)]
        return chance.sample(found, min(count, len(found)))

    def kinds(self):
        """How many messages are held, behind a limit, behind a disabled upstream, or put off."""
        with self.lock:
            return Counter("held" if mail.held else {"bulk": "bulk", "off": "off"}.get(self.upstream(mail), "late") for mail in self.queue.values())

    def delete(self, mails):
        """A person has deleted them."""
        with self.lock:
            for mail in mails:
                self.totals["deleted"] += len(self.queue.pop(mail.queue_id).waiting)

    def bounce(self, mail):
        """It was refused for good for all of its recipients."""
        with self.lock:
            del self.queue[mail.queue_id]
            for address in list(mail.waiting):
                self._end(mail, address, "bounced")

    def follow(self):
        """Takes over what the upstreams have said; returns whether they have been asked for all that is due."""
        with self.lock, self.record.lock:
            for mail in list(self.queue.values()):
                self._follow(mail)
            bulk = sum(1 for upstreams in self.record.taken.values() if "bulk" in upstreams)
            waits_for_bulk = any(self.upstream(mail) == "bulk" and not mail.held for mail in self.queue.values())
            # One that was put off and then held goes nowhere until it is released.
            answered = all(mail.held or not mail.due_since for mail in self.queue.values())
            if bulk > self.bulk_allowance:
                self.faults.append(f"bulk has taken {bulk} messages, {self.bulk_allowance} were allowed")
            are_reported = self.record.reports.keys() >= self.reported and self.record.unnumbered == self.unnumbered
            return answered and (bulk == self.bulk_allowance or not waits_for_bulk) and are_reported

    def _follow(self, mail):
        if not mail.held:
            for address in list(mail.waiting):
                taken = self.record.taken.get((mail.queue_id, TEST_ADDRESS if mail.is_redirected else address))
                if taken:
                    self._end(mail, address, "sent")
                    if set(taken) != {self.upstream(mail)}:
                        self.faults.append(f"{mail} has gone by {taken}")
                elif address in self.record.refused:
                    self._end(mail, address, "bounced")
                elif self.record.asked[address] > mail.due_since.get(address, 1 << 30):
                    is_put_off = address.partition(".")[0].startswith(("late", "never"))
                    # One that is taken has its answer only after the content.
                    if is_put_off and self._is_put_off(address):
                        del mail.due_since[address]
        if not mail.waiting:
            del self.queue[mail.queue_id]

    def _is_put_off(self, address):
        kind = address.partition(".")[0]
        return kind == "never" or self.record.asked[address] <= int(kind[4:])

    def _end(self, mail, address, outcome):
        mail.waiting.discard(address)
        mail.due_since.pop(address, None)
        self.totals[outcome] += 1
        if outcome == "bounced" and mail.number is None:
            self.unnumbered += 1
        elif outcome == "bounced":
            self.reported.add(mail.number)

    def expected_totals(self):
        """`totals` of `mailsluice status`, with all reports sent."""
        with self.lock:
            reports = len(self.reported) + self.unnumbered
            totals = {name: self.totals[name] for name in ("accepted", "generated", *ENDS)}
            totals["generated"] += reports
            totals["sent"] += reports
            totals["queued"] = sum(len(mail.waiting) for mail in self.queue.values())
            return totals

    def state(self, mail):
        """Its state, when all that is due has gone."""
        if mail.held:
            return "held"
        return "deferred" if any(self.attempts(address) for address in mail.waiting) else "ready"

    def attempts(self, address):
        """How often the upstreams were asked for a recipient; one who gets copies of many mails waits only where nothing was tried."""
        return 0 if address == COPIES_TO else self.record.asked[address]

    def waits_for(self, mail):
        """Why it is still there."""
        upstream = self.upstream(mail)
        if mail.held:
            return "release"
        if upstream in self.disabled:
            return "disabled"
        return "limit" if upstream == "bulk" else "retry"

    def expected_queue(self):
        """`queue` of `mailsluice status`."""
        with self.lock:
            states = Counter(self.state(mail) for mail in self.queue.values())
            return {state: states[state] for state in ("ready", "deferred", "held", "sending")}

    def expected_list(self):
        """`queue list`, by queue id, as far as it does not depend on the time."""
        with self.lock:
            return {
                mail.queue_id: {
                    "state": self.state(mail), "from": mail.sender, "upstream": self.upstream(mail), "waiting_for": self.waits_for(mail),
                    "test_mode": mail.test, "waiting": {address: self.attempts(address) for address in mail.waiting},
                }
                for mail in self.queue.values()
            }
