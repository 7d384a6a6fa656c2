"""Clients of a relay that is reloaded again and again: they keep their sessions, and say what a reload has broken."""

import ssl
import threading
from collections import Counter

from clients import Clients
from messages import compose
from reload_files import DOORS, GUEST, USER
from submitter import Ended, Submitter

PATIENCE = 60
# What each client does: a kept session; one that is in the midst of a content, or of an envelope, at a reload; TLS with a login; a
# login that is taken away; listeners that come and go.
ROLES = ("kept", "kept", "in content", "in envelope", "user", "user", "guest", *DOORS)


class Turns:
    """How far the reloads have come. What was taken away is counted before the relay is told."""

    def __init__(self):
        self.changed = threading.Condition()
        self.done = 0
        # The version in force, and the last one that was asked for.
        self.in_force = self.asked = 0
        self.taken_away = Counter()
        # What is in force, and what may be.
        self.settings = self.coming = None

    def announce(self, settings, taken_away):
        """A valid file will be read."""
        with self.changed:
            self.asked, self.coming = max(self.asked, int(settings.version)), settings
            self.taken_away.update(taken_away)

    def over(self, settings):
        """A reload has ended, and these are in force."""
        with self.changed:
            self.done += 1
            self.settings, self.coming, self.in_force = settings, settings, int(settings.version)
            self.changed.notify_all()

    def wait_next(self, ending):
        """Until a reload has ended that is not over yet, or no more will come."""
        with self.changed:
            after = self.done
            self.changed.wait_for(lambda: self.done > after or ending.is_set(), PATIENCE)


class ReloadClients(Clients):
    """`acknowledged` has for each recipient the versions that may have been in force; `broken` what must not have happened."""

    def __init__(self, place, turns, seed):
        super().__init__(None, len(ROLES), seed, 2 * PATIENCE)
        self.place, self.turns = place, turns
        self.acknowledged, self.broken = {}, []
        # Messages by role, those in whose midst a reload has ended, and sessions that ended since theirs was taken away.
        self.taken, self.midst, self.sent_away = Counter(), Counter(), Counter()

    def _submit(self, client, chance):
        role = ROLES[client]
        numbers = iter(range(1 << 30))
        try:
            while not self.ending.is_set():
                # Whatever is taken away from here on explains an end.
                before = self.turns.taken_away[role]
                if self._may_come(role):
                    self._session(role, before, client, numbers, chance)
                else:
                    self.turns.wait_next(self.ending)
        except Ended as ended:
            self.broken.append(f"{role}: {ended}")
        except (OSError, AssertionError) as fault:
            self.broken.append(f"{role}: {fault!r}")

    def _may_come(self, role):
        now, soon = self.turns.settings, self.turns.coming
        if role == "guest":
            return now.guest is not None and now.guest == soon.guest
        return role not in DOORS or role in now.doors and role in soon.doors

    def _session(self, role, before, client, numbers, chance):
        """One session, as long as it lasts: until the end, or until what it needs was taken away."""
        is_told = lambda ended: ended.reply.startswith("421") and ended.stage != "content"
        is_barred = lambda ended: ended.reply.startswith("535") or ended.stage == "greeting"
        try:
            submitter = self._open(role)
        except (Ended, OSError) as ended:
            if self.turns.taken_away[role] == before or isinstance(ended, Ended) and not (is_told(ended) or is_barred(ended)):
                raise
            return
        try:
            while not self.ending.is_set():
                self._message(submitter, role, f"{client}-{next(numbers)}", chance)
                self.ending.wait(chance.uniform(0, 0.02))
            submitter.close()
        except Ended as ended:
            if self.turns.taken_away[role] == before or not is_told(ended):
                raise
            with self.lock:
                self.sent_away[role] += 1
            submitter.drop()

    def _open(self, role):
        if role in DOORS:
            return Submitter(self.place.ports[role], PATIENCE)
        if role not in ("user", "guest"):
            return Submitter(self.place.ports["plain"], PATIENCE)
        submitter = Submitter(self.place.ports["tls"], PATIENCE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        submitter.start_tls(context)
        submitter.login(*((USER, "stays") if role == "user" else (GUEST, self.turns.settings.guest)))
        return submitter

    def _message(self, submitter, role, number, chance):
        # The larger ones stream.
        size = chance.choice([200, 2_000, 20_000, 90_000])
        body = (b"x" * 70 + b"\r\n") * (size // 72 + 1)
        content = compose(body, number=number)
        recipient = f"r{number}@d{chance.randrange(20)}.example"
        low, reload = self.turns.in_force, self.turns.done
        with self.lock:
            self.tried += 1
        if role == "in envelope":
            self._in_envelope(submitter, recipient)
        else:
            submitter.begin("office@firm.example", [recipient])
        if role in ("in content", "user", "guest") and chance.random() < 0.5:
            submitter.send(content[: len(content) // 2])
            self.turns.wait_next(self.ending)
            submitter.send(content[len(content) // 2 :])
        else:
            submitter.send(content)
        submitter.finish()
        with self.lock:
            self.acknowledged[recipient] = (low, self.turns.asked, len(body))
            self.taken[role] += 1
            self.midst[role] += self.turns.done > reload

    def _in_envelope(self, submitter, recipient):
        for command in ("MAIL FROM:<office@firm.example>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = submitter.ask(command)[0]
            if reply[:3] not in ("250", "354"):
                raise Ended(command.split()[0], reply)
            if command.startswith("RCPT"):
                self.turns.wait_next(self.ending)
