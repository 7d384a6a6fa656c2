"""A store that an older binary wrote (store_5): what is in it, and what a relay shows of it.

`python3 tests/outside/old_store.py` writes down in expected.json what the binary at hand shows: for the binary of the commit
that made the store, and for no other.
"""

import json
import lzma
import sqlite3
import tarfile
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from relay import Relay

FOLDER = Path(__file__).parent / "store_5"
EXPECTED = FOLDER / "expected.json"
# Where the store's time line stands: a start on another machine resumes there, whatever the wall clock shows.
NOW = 4_102_444_800_000
WINDOWS = ["minute", "hour", "day", "week"]
# How long each is, and how wide one of the slots in which it is counted; in milliseconds.
LENGTH = [60_000, 3_600_000, 86_400_000, 604_800_000]
WIDTH = [length // 600 for length in LENGTH]
RECIPIENT = ["waiting", "sent", "bounced", "expired", "dropped", "captured"]
TEST_MODE = {None: None, 0: "redirect", 1: "hold", 2: "capture"}
TABLES = ["message", "recipient", "content", "lease", "permit", "usage", "blacklist", "hard_bounce", "total", "standing"]

CONFIG = """
[blacklist]
auto_add_after = 3

[[upstream]]
name = "office"
filter = ["firm.example"]
host = "127.0.0.1"
port = {port}
security = "none"
user = "alpha@firm.example"
password = {{ file = "secret" }}
[upstream.limits]
per_hour = {{ messages = 500, recipients = 2000 }}
per_day = {{ recipients = 10000 }}
[[upstream.account]]
user = "beta@firm.example"
password = {{ file = "secret" }}
[[upstream.account]]
user = "bound@firm.example"
password = {{ file = "secret" }}
sender_bound = true
[upstream.account.limits]
per_week = {{ messages = 400 }}
[upstream.shared_limits]
per_week = {{ messages = 20000 }}

[[upstream]]
name = "second"
filter = ["second.example"]
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
connections = 1
per_minute = {{ messages = 100000 }}
per_hour = {{ messages = 100000 }}
per_day = {{ messages = 100000 }}
per_week = {{ messages = 100000 }}

[[upstream]]
name = "bulk"
filter = ["bulk.example"]
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
per_minute = {{ messages = 100000 }}
per_hour = {{ messages = 100000 }}
per_day = {{ messages = 100000 }}
per_week = {{ messages = {bulk} }}

[[upstream]]
name = "broken"
filter = ["broken.example"]
host = "127.0.0.1"
port = {port}
security = "none"
user = "login"
password = {{ file = "secret" }}
[upstream.limits]
per_day = {{ messages = 100 }}

[[upstream]]
name = "resting"
filter = ["resting.example"]
host = "127.0.0.1"
port = {port}
security = "none"

[[upstream]]
name = "through"
filter = ["through.example"]
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
per_minute = {{ messages = 100 }}
per_week = {{ messages = 60, recipients = 300 }}
"""


@dataclass
class Message:
    """One message of the store: the columns of its row, the rows of its recipients."""

    row: dict
    recipients: list
    content: bytes

    @property
    def id(self):
        return self.row["queue_id"]

    @property
    def lane(self):
        return self.row["route"]

    @property
    def state(self):
        """Its state once it is in no attempt."""
        return "held" if self.row["state"] == 2 else "deferred" if self.row["attempts"] else "ready"

    @property
    def test_mode(self):
        return TEST_MODE[self.row["test_action"]]

    @property
    def number(self):
        return self.content.split(b"X-Number: ", 1)[1].split(b"\r\n", 1)[0].decode()

    def waiting(self):
        return [recipient["address"] for recipient in self.recipients if recipient["state"] == 0]

    def shown(self):
        """What a list shows of it, save for what depends on the present."""
        return {
            "queue_id": self.id,
            "state": self.state,
            "from": self.row["reverse_path"],
            "to": [
                {
                    "address": recipient["address"], "state": RECIPIENT[recipient["state"]],
                    "attempts": recipient["attempts"], "reply": recipient["reply"] or None,
                }
                for recipient in self.recipients
            ],
            "size": self.row["size"],
            "user": self.row["user"],
            "client": self.row["client"],
            "upstream": self.lane.split("/")[0],
            "accepted_at": rfc3339(self.row["accepted_wall"]),
            "test_mode": self.test_mode,
        }


class OldStore:
    """The tables of schema version 5, read from a copy of its own."""

    def __init__(self):
        with tempfile.TemporaryDirectory(prefix="mailsluice-old-store-") as folder:
            data = Path(folder) / "data"
            unpack(data)
            with closing(sqlite3.connect(data / "queue.db")) as db:
                db.row_factory = sqlite3.Row
                self.version = db.execute("PRAGMA user_version").fetchone()[0]
                self.tables = {name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in TABLES}
            files = [path for path in (data / "content").iterdir() if path.is_file()]
            claimed = {row["queue_id"] for row in self.tables["message"] if row["in_file"]}
            self.orphans = {path.name: path.stat().st_size for path in files if path.name not in claimed}
            contents = {row["message"]: row["data"] for row in self.tables["content"]}
            recipients = {}
            for row in sorted(self.tables["recipient"], key=lambda row: row["place"]):
                recipients.setdefault(row["message"], []).append(row)
            self.messages = {}
            for row in self.tables["message"]:
                content = (data / "content" / row["queue_id"]).read_bytes() if row["in_file"] else contents[row["id"]]
                self.messages[row["queue_id"]] = Message(row, recipients[row["id"]], content)

    def find(self, lane, **wanted):
        """The messages of a lane; `state="ready"` or `test_mode=None` of those."""
        return [
            message for message in self.messages.values()
            if message.lane == lane and all(getattr(message, name) == value for name, value in wanted.items())
        ]

    def under_way(self):
        """Messages that were in an attempt."""
        return {message.id for message in self.messages.values() if message.row["state"] == 1}

    def used(self, upstream, account, window):
        """Messages that count in a window: those that were counted, and each permit that was under way."""
        # Slots that have left the window may still stand in the table.
        first = (NOW - LENGTH[window]) // WIDTH[window]
        mine = {
            name: [row for row in self.tables[name] if (row["upstream"], row["account"]) == (upstream, account)]
            for name in ("usage", "lease", "permit")
        }
        counted = [row["messages"] for row in mine["usage"] if row["window"] == window and row["slot"] >= first]
        return sum(counted) + sum(row["recipients"] > 0 for row in mine["lease"]) + len(mine["permit"])


def unpack(folder):
    """The store as kill -9 left it."""
    folder.mkdir(parents=True)
    with lzma.open(FOLDER / "store.tar.xz") as packed, tarfile.open(fileobj=packed) as tar:
        for member in tar:
            path = folder / member.name
            if member.isdir():
                path.mkdir()
            else:
                path.write_bytes(tar.extractfile(member).read())
                path.chmod(0o600)


def relay_folder(folder):
    """A relay's folder with the store in it, and the file for the passwords that the configuration names."""
    unpack(folder / "data")
    secret = folder / "secret"
    secret.write_text("not a secret\n")
    secret.chmod(0o600)
    return folder


def config(store, port):
    """A configuration by which nothing goes at once: by what the store remembers, each upstream is off or has to wait.

    What `bulk` has used of its week, with the permits that were under way, is all that it may use.
    """
    return CONFIG.format(port=port, bulk=store.used("bulk", "", WINDOWS.index("week")))


def rfc3339(wall):
    return datetime.fromtimestamp(wall // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{wall % 1000:03}Z"


def seconds_from_now(text):
    """How far ahead a time is that the relay has just shown."""
    return None if text is None else round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - time.time())


def observe(relay, sample):
    """All that a relay shows of the store; times that lie ahead as seconds from now. Limits first: a minute is short."""
    limits = [distance(line, "next_free") for line in relay.command("limits", "show")]
    status = relay.command("status")
    return {
        "limits": limits,
        "queue": status["queue"],
        "totals": status["totals"],
        "test_mode": relay.command("test-mode", "status"),
        "blacklist": [distance(line, "expires_at") for line in relay.command("blacklist", "list")],
        "upstreams": [upstream(shown) for shown in relay.command("upstream", "list")],
        "sample": {queue_id: message(relay.command("queue", "show", queue_id)) for queue_id in sample},
    }


def distance(shown, name):
    return {**shown, name: seconds_from_now(shown[name])}


def upstream(shown):
    """An upstream and its accounts, without port and connections."""
    chosen = lambda entry, *names: distance({name: entry[name] for name in names}, "until")
    accounts = [
        chosen(account, "account", "sender_bound", "state", "reason", "until", "pace") for account in shown["accounts"]
    ]
    return {**chosen(shown, "name", "default", "state", "reason", "until", "host", "fallback"), "accounts": accounts}


def message(shown):
    """A message without the estimate of when it will go, which is no memory."""
    return distance({name: value for name, value in shown.items() if name != "eta"}, "next_attempt")


def sample(store):
    """Fifty messages: some of each lane, state and test mode."""
    groups = {}
    for message in sorted(store.messages.values(), key=lambda message: message.id):
        groups.setdefault((message.lane, message.state, message.test_mode), []).append(message.id)
    # The first of each group, then the middle of each, and so on.
    rounds = (group[len(group) * step // 8] for step in range(8) for group in groups.values())
    return sorted(list(dict.fromkeys(rounds))[:50])


def main():
    store = OldStore()
    with tempfile.TemporaryDirectory(prefix="mailsluice-old-store-") as folder:
        relay = Relay(relay_folder(Path(folder) / "relay"), config(store, 9))
        try:
            relay.start()
            EXPECTED.write_text(json.dumps(observe(relay, sample(store)), indent=1, ensure_ascii=False) + "\n")
        finally:
            relay.close()


if __name__ == "__main__":
    main()
