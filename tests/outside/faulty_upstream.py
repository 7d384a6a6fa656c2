"""An upstream with all the faults that there are: it refuses, answers late or never, breaks off, is closed. And it counts.

What it has taken is known by recipient and by queue id (of the relay's own Received field), also where the relay was not told.
"""

import asyncio
import random
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from network import free_port

NUMBER = re.compile(rb"^X-Number: (\S+)\r$", re.MULTILINE)
QUEUE_ID = re.compile(rb"\bwith E?SMTP\w* id (\w+)")
# Faults of a transaction, each with its part of all transactions in bad weather.
FAULTS = {
    "defer recipient": 0.03, "refuse recipient": 0.02, "defer content": 0.03, "refuse content": 0.02,
    "lose the answer": 0.02, "break off": 0.02, "be slow": 0.03,
}


@dataclass
class Taken:
    """One message that the upstream has taken for one recipient. `told` is whether its 250 was sent."""

    queue_id: str
    at: float
    told: bool


class FaultyUpstream:
    """Listens on a free loopback port. `weather` is 0 for no faults, 1 for the usual ones; `open` says whether it listens."""

    def __init__(self, seed=1):
        self.port = free_port()
        self.weather = 0.0
        self.chance = random.Random(seed)
        self.taken = defaultdict(list)
        self.reported = set()
        self.lock = threading.Lock()
        self.loop = asyncio.new_event_loop()
        self.server = None
        self.thread = threading.Thread(target=self._run)

    def start(self):
        self.thread.start()
        self.open()
        return self

    def stop(self):
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    def open(self):
        """Listens again."""
        self._call(self._open())

    def close(self):
        """Listens no more: connections are refused, and those that there are end."""
        self._call(self._close())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def _open(self):
        self.writers = set()
        self.server = await asyncio.start_server(self._session, "127.0.0.1", self.port, limit=1 << 24)

    async def _close(self):
        if self.server is None:
            return
        self.server.close()
        self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    async def _session(self, reader, writer):
        self.writers.add(writer)
        try:
            await asyncio.wait_for(self._dialogue(reader, writer), 3600)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    def _fault(self):
        """The fault of the transaction that begins, if any."""
        roll = self.chance.random()
        for fault, part in FAULTS.items():
            roll -= part * self.weather
            if roll < 0:
                return fault
        return None

    async def _dialogue(self, reader, writer):
        if self.weather and self.chance.random() < 0.02 * self.weather:
            return  # closed without a word
        say(writer, "220 upstream.test ESMTP")
        fault, recipients = None, []
        while True:
            line = await reader.readuntil(b"\r\n")
            verb = line[:4].upper()
            if verb == b"EHLO":
                say(writer, "250-upstream.test\r\n250-AUTH PLAIN\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 67108864")
            elif verb == b"AUTH":
                say(writer, "235 2.7.0 welcome")
            elif verb == b"MAIL":
                fault, recipients = self._fault(), []
                say(writer, "250 2.1.0 go on")
            elif verb == b"RCPT":
                address = re.search(rb"<(.*?)>", line).group(1).decode()
                reply = self._answer(fault, address)
                if reply.startswith("2"):
                    recipients.append(address)
                say(writer, reply)
            elif verb == b"DATA" and recipients:
                say(writer, "354 go on")
                if not await self._content(reader, writer, fault, recipients):
                    return
                recipients = []
            elif verb == b"QUIT":
                say(writer, "221 2.0.0 bye")
                return
            else:
                say(writer, "503 5.5.1 not now" if verb == b"DATA" else "250 2.0.0 go on")
            await writer.drain()

    def _answer(self, fault, _address):
        """What it says to a recipient."""
        return {"defer recipient": "451 4.3.0 later", "refuse recipient": "550 5.2.1 disabled"}.get(fault, "250 2.1.5 go on")

    async def _content(self, reader, writer, fault, recipients):
        """Whether the session goes on."""
        await writer.drain()
        if fault == "break off":
            await reader.read(200)
            return False
        content = await reader.readuntil(b"\r\n.\r\n")
        if fault == "be slow":
            await asyncio.sleep(self.chance.uniform(0.2, 2.0))
        if fault == "defer content":
            say(writer, "451 4.3.2 later")
        elif fault == "refuse content":
            say(writer, "554 5.6.0 not this")
        else:
            told = fault != "lose the answer"
            self._take(content, recipients, told)
            if not told:
                return False
            say(writer, "250 2.0.0 taken")
        return True

    def _take(self, content, recipients, told):
        head, _, body = content.partition(b"\r\n\r\n")
        queue_id = QUEUE_ID.search(head)
        queue_id = queue_id.group(1).decode() if queue_id else ""
        with self.lock:
            if not NUMBER.search(head + b"\r\n"):
                # A report: what it is about stands in the returned header.
                self.reported.update(number.decode() for number in NUMBER.findall(body))
                return
            for recipient in recipients:
                self.taken[recipient].append(Taken(queue_id, time.time(), told))


def say(writer, line):
    writer.write(line.encode() + b"\r\n")
