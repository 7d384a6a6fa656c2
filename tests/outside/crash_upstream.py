"""The upstream of the crash tests: it does what the recipient's address says, and remembers what it has taken, and when."""

import asyncio
import re
import time
from dataclasses import dataclass

from sink import Sink

NUMBER = re.compile(rb"^X-Number: (\S+)\r?$", re.MULTILINE)
QUEUE_ID = re.compile(rb"\tby relay\.test with \S+ id ([0-9A-Z]+)")
REPORT_ID = re.compile(rb"^Message-ID: <([0-9A-Z]+)@", re.MULTILINE)
REPORT = re.compile(rb"^Content-Type: multipart/report", re.MULTILINE | re.IGNORECASE)


@dataclass
class Taken:
    """A message that the upstream has answered with 250."""

    number: str
    queue_id: str
    recipients: list
    content: bytes
    is_report: bool
    at: float
    # How much the relay's disk had been through by then.
    recorded: int


class CrashUpstream(Sink):
    """`good`: taken. `bad`: refused for good at RCPT. `late`: refused for now, once. `broken`: refused for good at the dot.

    The local part of an address says which, with a number behind a dot.
    """

    def __init__(self, port, delay=0.003):
        super().__init__(delay=delay)
        self.port = port
        self.taken = []
        self.late = set()
        self.recorded = lambda: 0
        # What else it remembers of its dealings with the relay: (recorded, …).
        self.history = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        kind = address.split(".", 1)[0]
        if kind == "bad":
            return "550 5.7.1 not wanted here"
        if kind == "late" and address not in self.late:
            self.late.add(address)
            return "451 4.3.2 try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        recorded, content = self.recorded(), envelope.original_content
        if any(address.startswith("broken.") for address in envelope.rcpt_tos):
            return "554 5.6.0 not such a content"
        is_report = REPORT.search(content) is not None
        number, queue_id = NUMBER.search(content), (REPORT_ID if is_report else QUEUE_ID).search(content)
        text = lambda found: found.group(1).decode() if found else ""
        self.taken.append(
            Taken(text(number), text(queue_id), list(envelope.rcpt_tos), content, is_report, time.time(), recorded)
        )
        # From here on it may come twice.
        await asyncio.sleep(self.delay)
        return "250 2.0.0 taken"
