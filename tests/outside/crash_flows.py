"""What the relay is doing when its disk fails, it is killed, or the power is lost; and what must be true of it afterwards.

All of it is seen from outside: what clients have read, what the upstream has taken, what the log and `status` say.
"""

import itertools
import json
import random
import re
import shutil
import smtplib
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from crash_upstream import CrashUpstream
from disk import Disk
from messages import assert_same, compose
from network import own_ports, wait_until
from relay import Relay

SENDER = "office@firm.example"
SMALL, LARGE = 2_000, 150_000  # the large one streams
QUEUED = re.compile(rb"queued as (\S+)")
QUEUE = '[queue]\nretry_min = "1s"\nretry_max = "2s"\n'


# Each for one world: many run at a time, in several processes.
PORTS = itertools.cycle(own_ports())


def own_port():
    while True:
        port = next(PORTS)
        with socket.socket() as probe:
            # It does not listen: a process that is being started would keep the port for a moment longer.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@dataclass
class Letter:
    """A message that a client has submitted, and what it read: the last reply's code, and the queue id with a 250."""

    number: str
    recipients: list
    content: bytes
    code: int = None
    queue_id: str = None
    # How much the relay's disk had been through when the client had read that.
    recorded: int = 0

    @property
    def is_acknowledged(self):
        return self.queue_id is not None


def letter(number, kinds, size):
    """To one recipient of each kind; its content is drawn from its number."""
    lines = random.Random(number).randbytes(size // 2).hex()
    body = "\r\n".join(lines[at : at + 70] for at in range(0, len(lines), 70)).encode() + b"\r\n"
    content = compose(body, number=number).replace(b"<fixed@", b"<" + number.encode() + b"@")
    return Letter(number, [f"{kind}.{number}.{place}@elsewhere.example" for place, kind in enumerate(kinds)], content)


class World:
    """A relay on a disk that is watched, its clients and its upstream."""

    def __init__(self, folder, flow, layer):
        self.folder, self.flow = Path(folder), flow
        self.upstream = flow.upstream().start()
        self.relay = Relay(self.folder / "relay", "")
        self.relay.port = own_port()
        self.relay.write(flow.config(self.upstream))
        self.disk = Disk(layer, self.folder / "disk", self.relay.data)
        self.relay.environment = self.disk.environment
        self.upstream.recorded = lambda: self.disk.recorded
        self.letters = []
        # Where the log of the present process begins.
        self.log_start = 0

    def close(self):
        self.relay.close()
        self.upstream.stop()

    def launch(self):
        self.log_start = self.relay.log_file.stat().st_size if self.relay.log_file.exists() else 0
        self.relay.launch()

    def is_alive(self):
        return self.relay.process.poll() is None

    def has_started(self):
        """Whether the present process has come to take mail."""
        return any(event["event"] == "started" for event in self.events(self.log_start))

    def wait_up(self, seconds=30):
        """Until it takes mail; or has ended. (Its port answers before it does.)"""
        wait_until(lambda: not self.is_alive() or self.has_started(), seconds, self.relay.log_tail)
        return self.is_alive()

    def send(self, *kinds, size=SMALL):
        """Submits a message; the relay may refuse it, or die meanwhile."""
        sent = letter(f"n{len(self.letters)}", kinds or ["good"], size)
        self.letters.append(sent)
        try:
            with smtplib.SMTP("127.0.0.1", self.relay.port, timeout=30) as client:
                client.ehlo("client.test")
                for step in [lambda: client.mail(SENDER), *(lambda to=to: client.rcpt(to) for to in sent.recipients)]:
                    sent.code = step()[0]
                    if sent.code != 250:
                        return sent
                sent.code, text = client.data(sent.content)
                if sent.code == 250:
                    # In direct mode it is the upstream's reply.
                    found = QUEUED.search(text)
                    sent.queue_id = found.group(1).decode() if found else f"direct-{sent.number}"
                    sent.recorded = self.disk.recorded
        except smtplib.SMTPDataError as refused:
            sent.code = refused.smtp_code
        except (OSError, smtplib.SMTPException):
            sent.code = None
        return sent

    def calm(self, seconds=20):
        """Until nothing is under way any more, the relay has died, or time is up: then it waits for something."""
        end = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < end and not self.is_empty():
            time.sleep(0.02)

    def is_empty(self):
        queue = self.queue()
        return queue is not None and not sum(queue.values())

    def status(self):
        """None while it does not answer, or has no store to ask."""
        return self.asked("status", lambda answer: "queue" in answer)

    def asked(self, path, is_answer):
        """What the control interface answers, if that is an answer."""
        try:
            answer = json.loads(self.relay.api(path))
        except (OSError, ValueError):
            return None
        return answer if is_answer(answer) else None

    def queue(self):
        status = self.status()
        return status and status["queue"]

    def log_tail(self):
        """The last lines, but for refusals."""
        lines = [line for line in self.relay.log_tail().split("\n") if '"rejected"' not in line]
        return " ".join(lines)[-1000:]

    def events(self, start=0):
        """The log's lines from there on; a line that a kill has cut off is none."""
        if not self.relay.log_file.exists():
            return []
        found = []
        for line in self.relay.log_file.read_bytes()[start:].split(b"\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def reload(world):
    """Puts the file in force; a store that has failed says no until it is well again."""
    done = lambda: world.relay.command("reload", check=False).returncode == 0
    wait_until(done, 60, lambda: f"a reload: {world.log_tail()}")


class Flow:
    """One thing that the relay does."""

    # Whether the start is part of it.
    from_start = False
    limits = ""

    @property
    def name(self):
        return type(self).__name__.lower()

    def upstream(self):
        return CrashUpstream(own_port())

    def config(self, upstream):
        return f'{QUEUE}[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {upstream.port}\nsecurity = "none"\n{self.limits}'

    def prepare(self, world):
        """Before the relay is started."""

    def act(self, world):
        """While the disk is watched."""
        raise NotImplementedError

    def conclude(self, world):
        """Afterwards, with a relay that is well; returns faults that are this flow's own."""
        return []

    def finish(self, world):
        """When the queue is empty; returns faults that are this flow's own."""
        return []

    def judge(self, world, totals):
        """When all is over; returns faults."""
        return judge(world, totals)


class Deliver(Flow):
    """Accepted and sent: contents small and large, one by one and two at a time."""

    def act(self, world):
        world.send(size=SMALL)
        world.send(size=LARGE)
        world.calm()
        world.send("good", "good", size=SMALL)
        world.calm()


class Bounce(Flow):
    """Refused at RCPT or at the dot: the sender has a report."""

    def act(self, world):
        world.send("bad", size=SMALL)
        world.send("good", "bad", size=SMALL)
        world.send("broken", size=LARGE)
        world.calm()


class Defer(Flow):
    """Refused for now, and sent later."""

    def act(self, world):
        world.send("late", size=SMALL)
        world.send("good", "late", size=LARGE)
        world.calm()


class Limits(Flow):
    """More is queued than may go within the hour."""

    most = 3
    limits = f"[upstream.limits]\nper_hour = {{ messages = {most} }}\n"

    def act(self, world):
        for size in [SMALL, LARGE, SMALL, SMALL, SMALL]:
            world.send(size=size)
        wait_until(lambda: not world.is_alive() or self._stands(world), 20, world.log_tail)

    def conclude(self, world):
        wait_until(lambda: self._stands(world), 60, lambda: f"a limit that is reached: {world.queue()} {world.log_tail()}")
        went = len(world.upstream.taken)
        world.relay.write(Flow.config(Defer(), world.upstream))
        reload(world)
        return [f"{went} messages went, and {self.most} may"] if went > self.most else []

    def _stands(self, world):
        """Whether nothing moves any more: the queue is empty, or waits for the limit."""
        queue = world.queue()
        if queue is None or queue["sending"]:
            return False
        waiting = world.asked("queue?limit=100", lambda answer: isinstance(answer, list))
        return waiting is not None and all(entry["waiting_for"] == "limit" for entry in waiting)


class Direct(Limits):
    """The same while clients wait: what is taken is taken by the upstream, and nothing is in the queue."""

    def config(self, upstream):
        return super().config(upstream).replace("[queue]\n", '[queue]\nmode = "direct"\n')

    def judge(self, world, totals):
        verdict = Verdict()
        judge_log(world, verdict)
        verdict.fault(balance(totals) == 0, f"the sum is wrong: {totals}")
        for sent in world.letters:
            copies = [each for each in world.upstream.taken if each.number == sent.number]
            verdict.fault(copies or not sent.is_acknowledged, f"{sent.number} ({sent.code}) is lost")
            verdict.fault(len(copies) <= 1, f"{sent.number} arrived {len(copies)} times, and its client sent it once")
            judge_contents(sent, copies, verdict)
        return verdict.faults


class Reload(Flow):
    """Mail waits for an upstream that is replaced by another; a limit with a window of its own comes and goes."""

    def config(self, upstream):
        return f'{QUEUE}[[upstream]]\nname = "old"\nhost = "127.0.0.1"\nport = {upstream.port}\nsecurity = "none"\nenabled = false\n'

    def replaced(self, world):
        return Flow.config(self, world.upstream) + '[upstream.limits]\nper_hour = { messages = 1000 }\n'

    def act(self, world):
        world.send(size=SMALL)
        world.send(size=LARGE)
        world.send("good", "bad", size=SMALL)
        world.relay.write(self.replaced(world))
        if world.is_alive():
            world.relay.command("reload", check=False)
        world.calm()

    def conclude(self, world):
        world.relay.write(self.replaced(world))
        reload(world)
        return []


class Start(Flow):
    """A start that finds what a kill has left: messages that the upstream has taken, and others that wait."""

    from_start = True
    limits = "[upstream.limits]\nconnections = 2\n"

    def __init__(self, folder):
        """Makes what the kill leaves."""
        self.left = World(folder, self, None)
        world = self.left
        try:
            world.relay.environment = {}
            world.upstream.delay = 60
            world.launch()
            world.wait_up()
            world.send(size=SMALL)
            world.send(size=LARGE)
            wait_until(lambda: len(world.upstream.taken) == 2, 30, world.relay.log_tail)
            for kinds, size in [(["good", "bad"], SMALL), (["late"], LARGE), (["good"], SMALL)]:
                world.send(*kinds, size=size)
            world.relay.kill()
        finally:
            world.close()
        (world.relay.data / "control.sock").unlink(missing_ok=True)
        assert all(sent.is_acknowledged for sent in world.letters), world.letters

    def prepare(self, world):
        shutil.copytree(self.left.relay.data, world.relay.data)
        world.letters = list(self.left.letters)
        world.upstream.taken = list(self.left.upstream.taken)
        world.relay.log_file.write_bytes(self.left.relay.log_file.read_bytes())

    def act(self, world):
        world.calm()


@dataclass
class Verdict:
    """The faults that were found."""

    faults: list = field(default_factory=list)

    def fault(self, condition, text):
        if not condition:
            self.faults.append(text)


def judge(world, totals):
    """What must be true once all is over; the faults."""
    verdict = Verdict()
    told = judge_log(world, verdict)
    present = []
    for sent in world.letters:
        if judge_letter(sent, world.upstream.taken, told, verdict):
            present.append(sent)
    judge_totals(totals, present, world.upstream.taken, verdict)
    return verdict.faults


def judge_log(world, verdict):
    """Returns when it was said of which message that it may come twice: {queue id: [time]}."""
    told = {}
    for event in world.events():
        if "possible duplicate" in json.dumps(event) and "queue_id" in event:
            told.setdefault(event["queue_id"], []).append(datetime.fromisoformat(event["time"]).timestamp())
        verdict.fault(event["event"] not in ("panic", "fault", "damaged", "held"), f"the log has {event}")
    verdict.fault("panicked" not in world.relay.errors(), f"it panicked: {world.relay.errors()[-2000:]}")
    return told


def judge_letter(sent, taken, told, verdict):
    """Returns whether it was in the queue."""
    copies = [each for each in taken if each.number == sent.number and not each.is_report]
    reports = [each for each in taken if each.is_report and each.number == sent.number]
    is_there = sent.is_acknowledged or bool(copies) or bool(reports)
    ids = {each.queue_id for each in copies} | ({sent.queue_id} if sent.queue_id else set())
    verdict.fault(len(ids) <= 1, f"{sent.number} came from {ids}: one message has one queue id")
    lines = [line for queue_id in ids for line in told.get(queue_id, [])]
    for recipient in sent.recipients:
        kind = recipient.split(".", 1)[0]
        at = sorted(each.at for each in copies if recipient in each.recipients)
        if is_there and kind in ("good", "late"):
            verdict.fault(at, f"{sent.number} ({sent.code}) is lost for {recipient}")
        may_be_twice(f"{sent.number} to {recipient}", at, lines, verdict)
    if is_there and any(recipient.startswith(("bad.", "broken.")) for recipient in sent.recipients):
        verdict.fault(reports, f"{sent.number} ({sent.code}) was refused, and nobody has a report")
    # A second attempt is refused again, and reported again, where the first one's end is not known.
    first = {}
    for report in sorted(reports, key=lambda report: report.at):
        first.setdefault(report.queue_id, report.at)
    may_be_twice(f"the report of {sent.number}", sorted(first.values()), lines, verdict)
    for queue_id in first:
        at = sorted(report.at for report in reports if report.queue_id == queue_id)
        may_be_twice(f"the report {queue_id} of {sent.number}", at, told.get(queue_id, []), verdict)
    judge_contents(sent, copies, verdict)
    return is_there


def judge_contents(sent, copies, verdict):
    for copy in copies:
        try:
            assert_same(sent.content, copy.content)
        except AssertionError as error:
            verdict.fault(False, f"{sent.number}: {str(error)[:500]}")


def may_be_twice(what, at, lines, verdict):
    """Each arrival after the first needs a line of its own in the log, from before."""
    for times, arrival in enumerate(at):
        said = sum(line <= arrival + 0.002 for line in lines)
        verdict.fault(said >= times, f"{what} arrived {len(at)} times, and the log had said it {said} times by the {times + 1}. one")


def balance(totals):
    """What came in and has not gone out: nothing may disappear."""
    gone = ("sent", "bounced", "expired", "dropped", "captured", "deleted", "queued")
    return totals["accepted"] + totals["generated"] - sum(totals[name] for name in gone)


def judge_totals(totals, present, taken, verdict):
    verdict.fault(balance(totals) == 0, f"the sum is wrong: {totals}")
    recipients = sum(len(sent.recipients) for sent in present)
    verdict.fault(totals["accepted"] == recipients, f"accepted is {totals['accepted']}, and {recipients} recipients were there: {totals}")
    pairs = Counter((each.queue_id, recipient) for each in taken for recipient in each.recipients)
    verdict.fault(totals["sent"] == len(pairs), f"sent is {totals['sent']}, and {len(pairs)} were taken: {totals}")


def judge_history(world, totals):
    """What ended is in the history as often as it was counted: no crash comes between the two."""
    ends = Counter(entry["state"] for entry in world.relay.command("history", "--limit", "1000000"))
    counted = {name: totals[name] for name in ("sent", "bounced", "expired", "dropped", "captured", "deleted")}
    wrong = any(ends[name] != count for name, count in counted.items())
    return [f"the history has {dict(ends)}, and {counted} were counted"] if wrong else []


def wait_recovered(world):
    """Until a message is taken."""
    wait_until(lambda: world.send().is_acknowledged, 60, lambda: f"mail to be taken again: {world.log_tail()}")


def conclude(world):
    """Lets a relay that is well come to its end; returns the faults."""
    faults = world.flow.conclude(world)
    wait_recovered(world)
    wait_until(world.is_empty, 60, lambda: f"an empty queue: {world.queue()} {world.log_tail()}")
    faults += world.flow.finish(world)
    totals = world.status()["totals"]
    faults += judge_history(world, totals)
    status = world.relay.terminate()
    if status != 0:
        faults.append(f"it ended with {status}: {world.relay.errors()[-1000:]}")
    return faults + world.flow.judge(world, totals)
