"""An upstream of another family: aiosmtpd, which records what arrives and can be told to refuse or to be slow."""

import asyncio
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass

from aiosmtpd.controller import Controller

from network import free_port

NUMBER = re.compile(rb"^X-Number: (\S+)", re.MULTILINE)


@dataclass
class Arrival:
    """One message as the upstream got it. `content` has CRLF line ends, dot-unstuffed."""

    sender: str
    recipients: list
    content: bytes
    options: list
    at: float
    hello: str = ""


class Sink:
    """Listens on a free loopback port. `answer`, when set, is called with each envelope and may give another reply."""

    def __init__(self, delay=0.0, keep=True, smtputf8=True):
        self.port = free_port()
        self.delay = delay
        self.keep = keep
        self.smtputf8 = smtputf8
        self.answer = None
        self.arrivals = []
        self.numbers = Counter()
        self.lock = threading.Lock()
        self.controller = None

    def start(self):
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, data_size_limit=64 << 20, enable_SMTPUTF8=self.smtputf8, ready_timeout=20
        )
        self.controller.start()
        return self

    def stop(self):
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    async def handle_DATA(self, server, session, envelope):
        if self.delay:
            await asyncio.sleep(self.delay)
        reply = self.answer(envelope) if self.answer else None
        if reply is None or reply.startswith("2"):
            content = envelope.original_content
            with self.lock:
                number = NUMBER.search(content[:8192])
                if number:
                    self.numbers[number.group(1).decode()] += 1
                if self.keep:
                    arrival = Arrival(envelope.mail_from, list(envelope.rcpt_tos), content, list(envelope.mail_options), time.time(), session.host_name)
                    self.arrivals.append(arrival)
        return reply or "250 2.0.0 taken"
