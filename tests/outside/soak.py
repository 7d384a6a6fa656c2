"""Everything at once, for as long as one likes; then the books are balanced.

    python3 tests/outside/soak.py --minutes 120

Several clients submit numbered messages of many sizes. Meanwhile the upstream refuses, loses answers, is slow, breaks off, is
closed (faulty_upstream.py); the disk of the queue is full, the clock steps, the relay is reloaded, restarted and killed, and a
person deletes mail. In the last quarter it is neither killed nor restarted, so that what it does not give back is seen.

Then all faults end, and with an empty queue:
- accepted + generated = sent + bounced + expired + dropped + captured + deleted + queued, of `mailsluice status`;
- what a client was told to be taken has reached the upstream, was bounced, or deleted by the person;
- what has reached the upstream twice is in the log as a possible duplicate, once for each time;
- descriptors and memory are where they were before the load.
"""

import argparse
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from clients import Clients
from faulty_upstream import FaultyUpstream
from messages import compose
from network import close_quietly, wait_until
from processes import descriptors, memory
from relay import Relay, target_folder
from soak_books import Books

CLIENTS = 6
# So much that what waits at most (max_messages, 80 KB each) has room, and what fills the disk is something else.
DISK = 384 << 20
RECOVERY = 60
# What may be kept: connections of readers and a few idle ones; in MiB, what stays after messages of 5 MB: it levels
# off at 57. That the allocator keeps it is likely, and not proven.
DESCRIPTORS_KEPT, MEMORY_KEPT = 24, 96
CONFIG = """
[queue]
retry_min = "1s"
retry_max = "4s"
min_free_disk = "32MiB"
max_messages = 2000
[session]
max_message_size = "16MiB"
[[upstream]]
name = "{name}"
default = true
host = "127.0.0.1"
port = {port}
security = "none"
[upstream.limits]
connections = {connections}
{more}
"""


class SoakClients(Clients):
    """They submit for as long as they are let, whatever the relay answers."""

    def __init__(self, port, seed):
        super().__init__(port, CLIENTS, seed, 90)
        self.acknowledged = {}
        self.answers = Counter()

    def _submit(self, client, chance):
        connection, count = None, 0
        while not self.ending.wait(chance.uniform(0, 0.15)):
            count += 1
            try:
                if connection is None:
                    connection = smtplib.SMTP("127.0.0.1", self.port, timeout=60)
                    connection.ehlo("client.test")
                self._hand_in(connection, f"{client}-{count}", chance)
            except smtplib.SMTPResponseException as refused:
                self._note(refused.smtp_code)
                connection = close_quietly(connection)
            except (OSError, smtplib.SMTPException):
                self._note("broken off")
                connection = close_quietly(connection)
            if chance.random() < 0.1:
                connection = close_quietly(connection)
        close_quietly(connection)

    def _note(self, answer):
        with self.lock:
            self.answers[answer] += 1

    def _hand_in(self, connection, number, chance):
        # Some are stored in the database, some in files of their own (over 64 KiB they stream).
        size = chance.choices([200, 2_000, 10_000, 60_000, 100_000, 1_000_000, 5_000_000], [8, 8, 8, 3, 3, 1, 0.2])[0]
        content = compose((b"x" * 70 + b"\r\n") * (size // 72 + 1), number=number)
        recipients = [f"r{number}-{n}@d{chance.randrange(20)}.example" for n in range(chance.choice([1, 1, 1, 2, 5]))]
        with self.lock:
            self.tried += 1
        for code, reply in (connection.mail("office@firm.example"), *map(connection.rcpt, recipients)):
            if code != 250:
                raise smtplib.SMTPResponseException(code, reply)
        code, reply = connection.data(content)
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        with self.lock:
            self.answers[250] += 1
            for recipient in recipients:
                self.acknowledged[recipient] = reply.decode().split()[-1]


class Clock:
    """The relay's wall clock, by libfaketime where it was unpacked. Nothing else sees it."""

    LIBRARY = "outside-libfaketime/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

    def __init__(self, folder):
        library = target_folder() / self.LIBRARY
        self.file = folder / "clock"
        self.can_step = library.is_file()
        self.environment = {}
        if self.can_step:
            self.set(0)
            # Only the time of day is another: what counts seconds goes on.
            self.environment = {
                "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1", "NO_FAKE_STAT": "1",
            }

    def set(self, hours):
        self.file.write_text(f"{hours:+d}h\n")


@contextmanager
def small_disk(folder):
    """A file system of its own for the queue, where root may mount one. Gives whether it is there."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "soak", folder]
    mounted = os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=False, timeout=20)


class Soak:
    """The relay, its clients, its upstream, and what happens to them."""

    def __init__(self, folder, seed, disk, say):
        self.chance = random.Random(seed)
        self.say, self.disk = say, disk
        self.upstream = FaultyUpstream(seed).start()
        self.clock = Clock(folder)
        self.relay = Relay(folder / "relay", self.config())
        self.relay.environment = self.clock.environment
        self.clients = SoakClients(self.relay.port, seed)
        self.books = Books(self.relay)
        self.happened = Counter()

    def config(self, calm=False):
        chance = self.chance
        more = f"per_minute = {{ messages = {chance.randint(5_000, 50_000)} }}\n" if chance.random() < 0.3 else ""
        name = chance.choice(["sink", "renamed"])
        connections = chance.randint(1, 8)
        return CONFIG.format(port=self.upstream.port, name="sink" if calm else name, connections=8 if calm else connections, more="" if calm else more)

    def run(self, minutes):
        """All of it; returns the faults found and the figures."""
        end = time.monotonic() + 60 * minutes
        calm_from = end - 15 * minutes
        self.relay.start(60)
        time.sleep(2)
        # What the first messages make it open once is no leak.
        before = descriptors(self.relay.pid()), memory(self.relay.pid())
        self.clients.start()
        told = 0.0
        while time.monotonic() < end:
            self.upstream.weather = self.chance.choice([0, 0.5, 1, 1, 3])
            self._happen(ends=time.monotonic() < calm_from)
            time.sleep(self.chance.uniform(0.2, min(10, minutes)))
            if time.monotonic() > told + 30:
                told = time.monotonic()
                self.say(
                    f"{len(self.clients.acknowledged)} acknowledged, {len(self.upstream.taken)} at the upstream, {self.relay.queued()} queued, "
                    f"{descriptors(self.relay.pid())} descriptors, {memory(self.relay.pid()):.1f} MiB, {dict(self.happened)}"
                )
        self.clients.stop()
        self._calm_down()
        after = self._idle(before)
        totals = self.relay.command("status")
        assert self.relay.terminate(60) == 0, self.relay.log_tail()
        self.books.read()
        return self._verdict(before, after, totals)

    def _happen(self, ends):
        """One thing, by chance; `ends` is whether the relay's process may end."""
        quiet = {"reload": self._reload, "upstream down": self._upstream_down, "delete": self._delete, "look": self._look}
        if self.disk:
            quiet["disk full"] = self._disk_full
        if self.clock.can_step:
            quiet["clock steps"] = self._clock_steps
        loud = {"killed": self._kill, "restarted": self._restart, "killed twice": self._kill_twice}
        name = self.chance.choice([*quiet, *loud, *loud] if ends else [*quiet])
        self.happened[name] += 1
        (quiet | loud)[name]()

    def _reload(self):
        self.relay.write(self.config())
        self.relay.command("reload")

    def _upstream_down(self):
        self.upstream.close()
        time.sleep(self.chance.uniform(0.1, 2))
        self.upstream.open()

    def _delete(self):
        """A person deletes what waits, a few at most; one that has gone meanwhile is none of his."""
        waiting = self.relay.command("queue", "list", "--state", "deferred", "--limit", "3", check=False)
        for queue_id in re.findall(r'"queue_id": ?"(\w+)"', waiting.stdout):
            self.relay.command("queue", "delete", queue_id, check=False)

    def _look(self):
        self.relay.command("status")
        self.relay.command("queue", "list")

    def _disk_full(self):
        filler = self.relay.data / "filler"
        file = os.open(filler, os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(file, b"x" * 65536)
        except OSError:
            pass
        finally:
            os.close(file)
        time.sleep(self.chance.uniform(0.5, 3))
        filler.unlink()
        # As long as the store does not believe its disk, it answers nobody.
        wait_until(lambda: self.relay.command("status", check=False).returncode == 0, RECOVERY, self.relay.log_tail)

    def _clock_steps(self):
        self.clock.set(self.chance.choice([-30, -2, 0, 1, 30]))

    def _kill(self):
        self.relay.kill()
        self.books.ended()
        self.relay.start(60)
        # What it found at the start is in the log by now.
        self.books.wait_started()

    def _kill_twice(self):
        """The second time while it puts in order what the first has left."""
        self.relay.kill()
        self.books.ended()
        self.relay.launch()
        time.sleep(self.chance.uniform(0.01, 0.3))
        assert self.relay.process.poll() is None, self.relay.errors() + self.relay.log_tail()
        self._kill()

    def _restart(self):
        assert self.relay.terminate(60) == 0, self.relay.log_tail()
        self.books.ended()
        self.relay.start(60)
        self.books.wait_started()

    def _calm_down(self):
        """No faults any more: all that is left goes, also what waits for a person or for long."""
        self.upstream.weather = 0
        if self.clock.can_step:
            self.clock.set(0)
        self.relay.write(self.config(calm=True))
        self.relay.command("reload")
        deadline = time.monotonic() + 120 + self.relay.queued() / 20
        while self.relay.queued():
            assert time.monotonic() < deadline, f"the queue does not become empty: {self.relay.command('status')} {self.relay.queue()[:3]}"
            self.relay.command("queue", "release", "--all", "--to", "recipients", "--yes", check=False)
            self.relay.command("queue", "retry", "--all", check=False)
            time.sleep(1)

    def _idle(self, before):
        """Descriptors and memory once they are down, or after half a minute."""
        now = lambda: (descriptors(self.relay.pid()), memory(self.relay.pid()))
        down = lambda after: after[0] <= before[0] + DESCRIPTORS_KEPT and after[1] <= before[1] + MEMORY_KEPT
        deadline = time.monotonic() + 30
        while not down(now()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return now()

    def _verdict(self, before, after, status):
        faults = self.books.faults(self.clients, self.upstream, status)
        if after[0] > before[0] + DESCRIPTORS_KEPT:
            faults.append(f"{after[0]} descriptors are open at idle, {before[0]} before the load")
        if after[1] > before[1] + MEMORY_KEPT:
            faults.append(f"{after[1]:.1f} MiB at idle, {before[1]:.1f} before the load")
        if len(self.clients.acknowledged) < 100:
            faults.append(f"only {len(self.clients.acknowledged)} recipients were acknowledged: that tests nothing")
        figures = (
            f"{dict(self.happened)}; {self.clients.tried} messages tried, answers {dict(self.clients.answers)}; "
            f"{self.books.figures(self.clients, self.upstream)}; descriptors {before[0]} → {after[0]}, "
            f"memory {before[1]:.1f} → {after[1]:.1f} MiB; totals {status['totals']}"
        )
        return faults, figures

    def close(self):
        self.clients.ending.set()
        self.relay.close()
        self.upstream.stop()


def soak(folder, minutes, seed, say=print):
    """Runs it so long below that folder. Returns the faults found and the figures."""
    with small_disk(folder / "relay" / "data") as disk:
        running = Soak(folder, seed, disk, say)
        say(f"seed {seed}; {'a small disk' if disk else 'no disk that can be full'}; "
            f"{'a clock that steps' if running.clock.can_step else 'no clock that can step'}")
        try:
            return running.run(minutes)
        finally:
            running.close()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=2)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep", action="store_true", help="keeps the folder with the log")
    chosen = options.parse_args()
    # Whoever ends it gets the clean-up as well: the relay, and the small disk.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="mailsluice-soak-"))
    faults, figures = soak(folder, chosen.minutes, chosen.seed, lambda text: print(text, flush=True))
    print(figures)
    for fault in faults:
        print(f"FAULT: {fault}")
    if faults or chosen.keep:
        print(f"the log: {folder}/relay/log*")
    else:
        subprocess.run(["rm", "-rf", folder], check=False, timeout=60)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
