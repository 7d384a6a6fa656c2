"""The books of a soak: what the relay's log says, against what the clients were told and the upstream has taken."""

import json
import time
from collections import Counter, defaultdict

from network import wait_until

# The log's lines of the last moments may be lost with a process that is killed.
UNWRITTEN = 2.0
GONE = {"bounced", "expired", "dropped", "deleted"}
# These are faults of the relay, whatever the upstream and the disk do.
NEVER = {"panic", "fault", "damaged", "log_lost"}


class Books:
    """Reads the log on and on, and forgets the lines of ended processes that were read."""

    def __init__(self, relay):
        self.relay = relay
        self.read_to = 0
        self.started = 0
        self.ends = []
        self.doubts = defaultdict(list)
        self.gone = defaultdict(set)
        self.sent = Counter()
        self.never = []

    def ended(self):
        """The process has ended: what it wrote is complete."""
        self.ends.append(time.time())
        self.read()
        self.relay.log_file.write_bytes(b"")
        self.read_to = 0

    def wait_started(self):
        """Waits until the process that runs now has said that it started, and with it what it found."""
        count = self.started
        wait_until(lambda: self.read() or self.started > count, 30, self.relay.log_tail)

    def read(self):
        with self.relay.log_file.open("rb") as log:
            log.seek(self.read_to)
            lines = log.read()
        complete = lines[: lines.rfind(b"\n") + 1]
        self.read_to += len(complete)
        for line in complete.splitlines():
            self._note(json.loads(line))

    def _note(self, line):
        event, queue_id = line["event"], line.get("queue_id", "")
        if event == "started":
            self.started += 1
        elif event in NEVER:
            self.never.append(line)
        elif event == "sent":
            self.sent[queue_id, line["to"]] += 1
        elif event in GONE:
            self.gone[queue_id].update(line["to"].split(",") if "to" in line else ["*"])
        if "possible duplicate" in line.get("reason", "") or "possible duplicate" in line.get("reply", ""):
            self.doubts[queue_id].append(line.get("to", "*"))

    def _is_gone(self, queue_id, recipient):
        gone = self.gone.get(queue_id, ())
        return "*" in gone or recipient in gone

    def lost(self, clients, upstream):
        """Recipients that a client was told to be taken, of which nothing is known."""
        return [
            (recipient, queue_id) for recipient, queue_id in clients.acknowledged.items()
            if recipient not in upstream.taken and not self._is_gone(queue_id, recipient)
            # The line was lost with its process, the report was not.
            and recipient[1:].rpartition("-")[0] not in upstream.reported
        ]

    def unexplained(self, upstream):
        """What the upstream has taken more often than the log has it."""
        found = []
        for recipient, taken in upstream.taken.items():
            by_id = Counter(one.queue_id for one in taken)
            for queue_id, times in by_id.items():
                doubts = [to for to in self.doubts.get(queue_id, ()) if to in ("*", recipient)]
                unwritten = [one for one in taken if one.queue_id == queue_id and not one.told and self._before_an_end(one.at)]
                if times - 1 > len(doubts) + len(unwritten):
                    found.append((recipient, queue_id, times, len(doubts)))
        return found

    def _before_an_end(self, moment):
        return any(0 <= end - moment <= UNWRITTEN for end in self.ends)

    def not_sent(self, upstream):
        """What the log says to be sent, and the upstream has not taken."""
        arrived = {(one.queue_id, recipient) for recipient, taken in upstream.taken.items() for one in taken}
        return [sent for sent in self.sent if sent[1] in upstream.taken and sent not in arrived] + [
            sent for sent in self.sent if sent[1] not in upstream.taken and sent[1] != "office@firm.example"
        ]

    def faults(self, clients, upstream, status):
        """What does not balance, in words."""
        totals, queued = status["totals"], sum(status["queue"].values())
        came = totals["accepted"] + totals["generated"]
        went = sum(totals[name] for name in ("sent", "bounced", "expired", "dropped", "captured", "deleted")) + queued
        checks = [
            ("acknowledged and lost", self.lost(clients, upstream)),
            ("taken twice, and not in the log as a possible duplicate", self.unexplained(upstream)),
            ("in the log as sent, and not at the upstream", self.not_sent(upstream)),
            ("in the log, and never to be there", self.never),
        ]
        faults = [f"{len(found)} {what}: {found[:5]}" for what, found in checks if found]
        if came != went:
            faults.append(f"{came} have come and {went} have gone or wait: {totals}, {queued} queued")
        return faults

    def figures(self, clients, upstream):
        """How much there was of everything."""
        twice = sum(len(taken) - 1 for taken in upstream.taken.values() if len(taken) > 1)
        return (
            f"{len(clients.acknowledged)} recipients acknowledged, {len(upstream.taken)} at the upstream, {twice} of them again, "
            f"{sum(map(len, self.doubts.values()))} possible duplicates in the log, {len(upstream.reported)} reports, {len(self.ends)} ends"
        )
