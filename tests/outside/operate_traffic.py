"""What comes into an operated relay: a stock of mail that stays, and clients that go on."""

import random
import threading
from contextlib import contextmanager

from clients import Clients
from messages import compose
from operate_model import COPIES_TO, Mail
from submitter import Ended, Submitter

FILLERS, CLIENTS, PATIENCE = 10, 3, 60
# The part of the stock that each of these is: held by a rule, behind a limit, put off, behind a disabled upstream.
STOCK = {"held": 50, "bulk": 37, "late": 10, "off": 3}
SENDERS = 20


class Gate:
    """Lets submissions through, many at a time, or one who wants to be alone."""

    def __init__(self):
        self.changed = threading.Condition()
        self.inside, self.shut = 0, False

    @contextmanager
    def submitting(self):
        with self.changed:
            self.changed.wait_for(lambda: not self.shut)
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self):
        with self.changed:
            self.shut = True
            assert self.changed.wait_for(lambda: not self.inside, PATIENCE), "a submission hangs"
        try:
            yield
        finally:
            with self.changed:
                self.shut = False
                self.changed.notify_all()


class Intake:
    """Hands mail in, and has the model know it. `test` is the action of test mode that is in force, or nothing."""

    def __init__(self, port, model):
        self.port, self.model, self.gate = port, model, Gate()
        self.lock, self.count = threading.Lock(), 0
        self.test = None

    def number(self):
        """One that no other mail has."""
        with self.lock:
            self.count += 1
            return self.count

    def hand_in(self, submitter, sender, kinds, hold=False, copy=False):
        """A message with a recipient of each kind (operate_party.py). Returns it as the model has it."""
        number = self.number()
        recipients = [f"{kind}.{number}-{place}@d{number % 50}.example" for place, kind in enumerate(kinds)]
        marks = (b"X-Hold: yes\r\n" if hold else b"") + (b"X-Copy: yes\r\n" if copy else b"")
        content = compose(b"The text.\r\n", marks, number, sender.encode(), b"Mail %d" % number)
        with self.gate.submitting():
            test = self.test
            queue_id = submitter.submit(sender, recipients, content)
            waiting = {*recipients, *([COPIES_TO] if copy else [])}
            mail = Mail(queue_id, str(number), sender, waiting, hold or test == "hold", test)
            self.model.accept(mail, captured=test == "capture" and not hold)
        return mail

    def stock(self, submitter, kind, chance):
        """One message that stays."""
        domain = kind if kind in ("bulk", "off") else "firm"
        sender = f"{kind}{chance.randrange(SENDERS)}@{domain}.example"
        kinds = {"late": [chance.choice(["late1", "late1", "late2", "never"])], "bulk": ["good"]}.get(kind, ["good"] * chance.choice([1, 1, 1, 3]))
        self.hand_in(submitter, sender, kinds, hold=kind == "held")

    def fill(self, wanted, chance):
        """Hands stock in until as many messages are in the queue, each kind with its part."""
        there = self.model.kinds()
        missing = [kind for kind, part in STOCK.items() for _ in range(wanted * part // 100 - there[kind])]
        chance.shuffle(missing)
        failed = []

        def submit(kinds, chance):
            try:
                submitter = Submitter(self.port, PATIENCE)
                for kind in kinds:
                    self.stock(submitter, kind, chance)
                submitter.close()
            except (OSError, Ended) as fault:
                failed.append(fault)

        parts = [part for part in (missing[first::FILLERS] for first in range(FILLERS)) if part]
        threads = [threading.Thread(target=submit, args=(part, random.Random(chance.random()))) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed


class Traffic(Clients):
    """Clients that go on: most of their mail is taken at once, some refused, some put off, some copied by a rule."""

    def __init__(self, intake, seed):
        super().__init__(intake.port, CLIENTS, seed, PATIENCE)
        self.intake, self.failed = intake, []

    def _submit(self, client, chance):
        try:
            submitter = Submitter(self.port, PATIENCE)
            while not self.ending.wait(chance.uniform(0, 0.2)):
                kind = chance.choices(["good", "bad", "late1"], [8, 1, 1])[0]
                self.intake.hand_in(submitter, f"flow{client}@firm.example", [kind], copy=kind == "good" and chance.random() < 0.1)
                with self.lock:
                    self.tried += 1
            submitter.close()
        except (OSError, Ended) as fault:
            self.failed.append(fault)
