"""The upstreams of an operated relay: what they answer stands in the recipient's address, and they keep one record together."""

import asyncio
import re
import socketserver
import threading
from collections import Counter, defaultdict

from faulty_upstream import NUMBER, FaultyUpstream

QUEUE_ID = re.compile(rb"^\s+by \S+ with \S+ id (\w+)", re.MULTILINE)
# `late2.17@…` is put off twice and then taken, `never.…` is put off for ever, `bad.…` is refused; all else is taken, `slow.…` when
# the record says so.
SLOWEST = 60
PUT_OFF, REFUSED, TAKEN = "452 4.2.2 mailbox full", "550 5.2.1 disabled", "250 2.1.5 go on"


class Record:
    """What the relay has asked the upstreams, and what they have taken."""

    def __init__(self):
        self.lock = threading.Lock()
        # How often they were asked for each address, and which they have refused for good.
        self.asked, self.refused = Counter(), set()
        # By queue id and recipient: the upstreams that have taken it, once for each time.
        self.taken = defaultdict(list)
        # Reports by the number of the mail that they are about; test mail of the relay has none.
        self.reports, self.unnumbered = Counter(), 0
        # What is slow is answered while this is set.
        self.goes_on = threading.Event()

    def answer(self, address):
        """What is said to a recipient."""
        kind = address.partition(".")[0]
        with self.lock:
            self.asked[address] += 1
            if kind == "bad":
                self.refused.add(address)
                return REFUSED
            late = re.fullmatch(r"late(\d)", kind)
            is_late = kind == "never" or (late and self.asked[address] <= int(late.group(1)))
            return PUT_OFF if is_late else TAKEN

    def take(self, upstream, content, recipients):
        """A content that was taken."""
        head, _, body = content.partition(b"\r\n\r\n")
        queue_id = QUEUE_ID.search(head)
        with self.lock:
            if queue_id is None:
                # The relay's own: a report. What it is about stands in the returned header.
                numbers = [number.decode() for number in NUMBER.findall(body)]
                self.reports.update(numbers)
                self.unnumbered += not numbers
                return
            for recipient in recipients:
                self.taken[queue_id.group(1).decode(), recipient].append(upstream)

    def twice(self):
        """What was taken more than once, reports included."""
        with self.lock:
            mail = [(key, times) for key, times in self.taken.items() if len(times) > 1]
            return mail + [(number, times) for number, times in self.reports.items() if times > 1]


class Party(FaultyUpstream):
    """An upstream of this name: it has no faults, and writes into the record."""

    def __init__(self, name, record):
        super().__init__()
        self.name, self.record = name, record

    def _answer(self, _fault, address):
        return self.record.answer(address)

    def _take(self, content, recipients, _told):
        self.record.take(self.name, content, recipients)

    async def _content(self, reader, writer, fault, recipients):
        if any(address.startswith("slow.") for address in recipients):
            await writer.drain()
            assert await asyncio.to_thread(self.record.goes_on.wait, SLOWEST), "nobody has let what is slow go on"
        return await super()._content(reader, writer, fault, recipients)


class NoNames(socketserver.ThreadingUDPServer):
    """A name server that refuses to answer (RFC 1035 4.1.1): who asks knows at once that nothing is to be known."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            question, connection = self.request
            # A response with RCODE 5; the question goes back, of further sections there is none.
            connection.sendto(question[:2] + b"\x81\x85" + question[4:6] + bytes(6) + question_of(question), self.client_address)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Answer)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


def question_of(message):
    """The first question of a DNS message: labels up to the empty one, type and class."""
    end = 12
    while message[end]:
        end += 1 + message[end]
    return message[12 : end + 5]
