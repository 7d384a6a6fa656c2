"""Reloads under load: valid and broken files in turn, by SIGHUP and `mailsluice reload` in turn, while clients keep their sessions.

    python3 tests/outside/reload_rounds.py --rounds 1000

A valid file changes listeners, certificate, users, rules, limits, accounts, time-outs, console and tokens; a broken one would, too.
After each the answer, the log, the listeners, the certificate, the console and its tokens are as the file in force says. At the end each
acknowledged message has arrived exactly once, with a header that a rule of a file has written which was in force; no session was
broken off but those whose listener or user was taken away, and these between two messages; the sum is right, and descriptors are back.
"""

import json
import random
import re
import signal
import socket
import ssl
import time
from collections import Counter
from http.client import HTTPConnection

from by_hand import by_hand
from faulty_upstream import NUMBER, FaultyUpstream
from network import wait_until
from operate_desk import differs
from processes import opened
from relay import Relay
from reload_clients import ReloadClients, Turns
from reload_files import DOORS, Place, Settings, all_broken, another, expected_changes
from soak_books import NEVER
from submitter import Submitter

PATIENCE = 60
FIRST = Settings(doors=DOORS, guest="before")
VERSION = re.compile(rb"^X-Version: (\S+)\r$", re.MULTILINE)


class VersionedUpstream(FaultyUpstream):
    """It also keeps which version of the configuration has ruled a mail, and how long its body is."""

    def __init__(self):
        super().__init__()
        self.arrived = []

    def _take(self, content, recipients, told):
        super()._take(content, recipients, told)
        head, _, body = content.partition(b"\r\n\r\n")
        if NUMBER.search(head):
            with self.lock:
                versions, octets = VERSION.findall(head + b"\r\n"), len(body.removesuffix(b".\r\n"))
                self.arrived += [(recipient, versions, octets) for recipient in recipients]


class LogTail:
    """The log's events, each read once."""

    def __init__(self, relay):
        self.relay, self.read_to, self.counts, self.last, self.never = relay, 0, Counter(), {}, []

    def read(self):
        with self.relay.log_file.open("rb") as log:
            log.seek(self.read_to)
            lines = log.read()
        complete = lines[: lines.rfind(b"\n") + 1]
        self.read_to += len(complete)
        for event in map(json.loads, complete.splitlines()):
            self.counts[event["event"]] += 1
            self.last[event["event"]] = event
            if event["event"] in NEVER or "possible duplicate" in json.dumps(event):
                self.never.append(event)

    def wait_more(self, name, before):
        """Waits until there are more of that name, and returns the last one."""
        wait_until(lambda: self.read() or self.counts[name] > before, PATIENCE, lambda: f"{name}: {self.relay.log_tail()}")
        return self.last[name]


class Rounds:
    """A relay with clients, and what has been found of it."""

    def __init__(self, folder, seed, say):
        self.chance, self.say = random.Random(seed), say
        self.upstream = VersionedUpstream().start()
        self.taken_port = socket.create_server(("127.0.0.1", 0))
        self.relay = Relay(folder, "")
        self.place = Place(folder, self.relay.port, self.upstream.port)
        self.relay.file.write_text(self.place.text(FIRST))
        self.settings, self.turns = FIRST, Turns()
        self.turns.over(FIRST)
        self.clients = ReloadClients(self.place, self.turns, seed)
        self.log = LogTail(self.relay)
        self.broken = all_broken(self.place, self.taken_port.getsockname()[1])
        self.faults = []

    def run(self, count):
        """So many reloads under load; returns the faults and the figures."""
        self.relay.start(60)
        self._warm_up()
        before = self._opened()
        self.clients.start()
        try:
            for number in range(count):
                self._reload(number)
                if self.faults or self.clients.broken:
                    break
        finally:
            self.clients.stop()
        self._valid(FIRST, by_signal=False)
        self._check(FIRST)
        self.relay.wait_empty(PATIENCE)
        # Idle connections to the upstream are kept for a while.
        more, deadline = lambda: self._opened() - before, time.monotonic() + PATIENCE
        while more() and time.monotonic() < deadline:
            time.sleep(0.2)
        if more():
            self.faults.append(f"more is open than before the load: {more()}; before: {before}")
        totals = self.relay.command("status")["totals"]
        assert self.relay.terminate() == 0, self.relay.log_tail()
        self.log.read()
        return self.verdict(totals), self.figures(count, totals)

    def _opened(self):
        """What the relay has open, but for the store: that opens its readers, of which it has a few, when they are asked for."""
        return Counter({name: count for name, count in opened(self.relay.pid()).items() if "/queue.db" not in name})

    def _warm_up(self):
        """What the first of everything makes it open is no leak."""
        turns = Turns()
        turns.over(FIRST)
        clients = ReloadClients(self.place, turns, 0)
        clients.start()
        wait_until(lambda: sum(clients.taken.values()) > 50 or clients.broken, PATIENCE, "the first messages")
        clients.stop()
        self.relay.wait_empty(PATIENCE)
        with self.upstream.lock:
            self.upstream.arrived.clear()
        self.warm = len(clients.acknowledged)
        self.faults += clients.broken
        self._check(FIRST)

    def _reload(self, number):
        """Valid and broken in turn, each by both ways."""
        by_signal = number % 4 >= 2
        if number % 2 == 0:
            new = another(self.chance, str(number + 1))
            name = "valid"
            self._valid(new, by_signal)
        else:
            broken = self.broken[number // 2 % len(self.broken)]
            name = broken.name
            self._broken(broken, by_signal)
        self._check(self.settings)
        self.turns.over(self.settings)
        way = "SIGHUP" if by_signal else "reload"
        self.say(f"{number + 1}: {name} by {way}; {len(self.clients.acknowledged)} acknowledged, {len(self.upstream.arrived)} arrived")

    def _valid(self, new, by_signal):
        old = self.settings
        gone = Counter(set(old.doors) - set(new.doors)) + Counter({"guest": int(old.guest is not None and old.guest != new.guest)})
        self.turns.announce(new, gone)
        self.relay.file.write_text(self.place.text(new))
        self.log.read()
        before = self.log.counts["config_reloaded"]
        if by_signal:
            self.relay.process.send_signal(signal.SIGHUP)
        else:
            answered = set(self.relay.command("reload")["changed"])
        event = self.log.wait_more("config_reloaded", before)
        changed = set(event["changed"].split(",")) if by_signal else answered
        missing = {name for name in expected_changes(old, new, self.place) if name not in {word.strip() for word in changed}}
        if missing:
            self.faults.append(f"not among what has changed: {missing} ({changed})")
        self.settings = new

    def _broken(self, broken, by_signal):
        whole = self.relay.file.read_text()
        broken.write(self.place, self.relay.file, another(self.chance, "0"))
        self.log.read()
        before, reloaded = self.log.counts["config_not_reloaded"], self.log.counts["config_reloaded"]
        if by_signal:
            self.relay.process.send_signal(signal.SIGHUP)
        else:
            done = self.relay.command("--data-dir", str(self.relay.data), "reload", check=False)
            if done.returncode != 2 or broken.words not in done.stderr:
                self.faults.append(f"{broken.name}: exit status {done.returncode}, {done.stdout}{done.stderr}")
        event = self.log.wait_more("config_not_reloaded", before)
        if broken.words not in json.dumps(event):
            self.faults.append(f"{broken.name}: logged as {event}")
        if self.log.counts["config_reloaded"] != reloaded:
            self.faults.append(f"{broken.name}: something was put in force: {self.log.last['config_reloaded']}")
        self.relay.file.write_text(whole)

    def _check(self, settings):
        """What is in force, from outside."""
        status = json.loads(self.relay.api("status"))
        listening = sorted(int(one["address"].rsplit(":", 1)[1]) for one in status["listeners"])
        if listening != self.place.listening(settings):
            self.faults.append(f"listeners {listening}, not {self.place.listening(settings)}")
        if differs(status["totals"]):
            self.faults.append(f"the sum is wrong: {status['totals']}")
        if self._certificate() != self.place.certificate(settings):
            self.faults.append("another certificate is in force")
        port = self.place.console(settings)
        for console in self.place.consoles:
            answer = self._watch(console, settings.token)
            if answer != (200 if console == port else None):
                self.faults.append(f"the console at {console} answers {answer}, that of the configuration is {port}")

    def _certificate(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        submitter = Submitter(self.place.ports["tls"], PATIENCE)
        try:
            submitter.start_tls(context)
            return submitter.connection.getpeercert(binary_form=True)
        finally:
            submitter.drop()

    @staticmethod
    def _watch(port, token):
        """What the console says to a token; nothing where there is no console."""
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        except ConnectionRefusedError:
            return None
        finally:
            connection.close()

    def verdict(self, totals):
        """All faults that there are."""
        clients, upstream = self.clients, self.upstream
        faults = [*self.faults, *clients.broken]
        arrived = Counter(recipient for recipient, _, _ in upstream.arrived)
        lost = sorted(clients.acknowledged.keys() - arrived.keys())
        unknown = sorted(arrived.keys() - clients.acknowledged.keys())
        twice = [recipient for recipient, times in arrived.items() if times > 1]
        for what, found in [("lost", lost), ("arrived without a 250", unknown), ("arrived twice", twice), ("never to be in the log", self.log.never)]:
            if found:
                faults.append(f"{len(found)} {what}: {found[:5]}")
        faults += self._ruled_wrongly()[:5]
        wanted = len(arrived) + self.warm
        if not totals["sent"] == totals["accepted"] == wanted or totals["queued"] or totals["bounced"]:
            faults.append(f"the totals do not agree with {wanted} arrived: {totals}")
        return faults

    def _ruled_wrongly(self):
        """Mail with a header of a configuration that was not in force, or with a body that is not whole."""
        found = []
        for recipient, versions, octets in self.upstream.arrived:
            low, high, sent = self.clients.acknowledged.get(recipient, (0, 1 << 30, octets))
            if len(versions) != 1 or not versions[0].isdigit() or not low <= int(versions[0]) <= high:
                found.append(f"{recipient} was ruled by {versions}, in force were {low} to {high}")
            if octets != sent:
                found.append(f"{recipient} has a body of {octets} octets, not {sent}")
        return found

    def figures(self, count, totals):
        """How much there was of everything."""
        clients = self.clients
        return (
            f"{count} reloads, {len(clients.acknowledged)} acknowledged {dict(clients.taken)}, a reload in the midst of {dict(clients.midst)}, "
            f"sessions sent away {dict(clients.sent_away)}; {totals}"
        )

    def close(self):
        self.clients.ending.set()
        self.relay.close()
        self.upstream.stop()
        self.taken_port.close()


def rounds(folder, count, seed, say=lambda text: None):
    """Makes that many reloads below the folder. Returns the faults, the figures and the clients."""
    running = Rounds(folder, seed, say)
    try:
        return *running.run(count), running.clients
    finally:
        running.close()


def main():
    def run(folder, count, seed, say):
        faults, figures, _ = rounds(folder, count, seed, say=say)
        return faults, figures

    by_hand(__doc__, "reloads", 100, run)


if __name__ == "__main__":
    main()
