"""A person at work: every command on a running relay whose queue is long, while clients go on.

    python3 tests/outside/operate.py --minutes 60

The queue is filled with 10,000 messages that stay: held by a rule, behind a limit, put off, behind a disabled upstream. Then each step
(operate_steps_*.py) is done at least once by each way that it has, as a command and as a request to the control interface, in an
order that the seed decides, and on and on until the time is over. Meanwhile clients hand mail in, of which an upstream takes most,
refuses some and puts some off; it keeps a record.

After each step the clients wait, and when all has gone that nothing keeps:
- accepted + generated = sent + bounced + expired + dropped + captured + deleted + queued, of `status`; it is asked for all the
  time in between, too;
- each of these is what the model says, whose `sent` and `bounced` are the upstream's record; nothing was taken twice;
- `status` counts the queue by state as the model does, and `queue list` has all of its messages, each with its state, upstream,
  recipients, their attempts, and what it waits for (in the short form after every fifth step).
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import operate_steps_looks
import operate_steps_queue
import operate_steps_records
import operate_steps_switches
from network import free_port
from operate_desk import TOKEN, Desk, SumWatch
from operate_model import BULK_LIMIT, COPIES_TO, TEST_ADDRESS, Model
from operate_party import NoNames, Party
from operate_registry import STEPS, commands, routes, without_step
from operate_traffic import Intake, Traffic
from relay import Relay
from soak_books import NEVER

# They register themselves.
STEP_MODULES = (operate_steps_looks, operate_steps_queue, operate_steps_records, operate_steps_switches)
QUEUED = 10_000
# In the short form the whole list is compared after so many steps.
SAMPLE = 5
CONFIG = f"""
[console]
address = "127.0.0.1:{{console}}"
[[api_token]]
name = "scraper"
hash = "sha256:{{digest}}"
role = "viewer"
[dns]
servers = ["{{names}}"]
[session]
max_recipients = 1000
[queue]
retry_min = "12h"
retry_max = "12h"
warn_after = "never"
[history]
content = "1d"
[alert]
command = ["/bin/cat"]
[test_mode]
address = "{TEST_ADDRESS}"
[[rule]]
name = "held"
when = {{{{ header = "X-Hold", equals = "yes" }}}}
hold = true
[[rule]]
name = "copied"
when = {{{{ header = "X-Copy", equals = "yes" }}}}
add_bcc = ["{COPIES_TO}"]
"""
UPSTREAM = """
[[upstream]]
name = "{name}"
host = "127.0.0.1"
port = {port}
security = "none"
{more}
"""
MORE = {
    "main": "default = true", "spare": 'filter = ["spare.example"]', "off": 'enabled = false\nfilter = ["off.example"]',
    "bulk": f'filter = ["bulk.example"]\n[upstream.limits]\nper_day = {{ messages = {BULK_LIMIT} }}',
}


class Operation:
    """A relay with all that it needs, in this folder."""

    def __init__(self, folder, seed, say):
        self.say, self.chance, self.model = say, random.Random(seed), Model()
        self.parties = [Party(name, self.model.record).start() for name in MORE]
        self.names = NoNames().start()
        console = free_port()
        config = CONFIG.format(console=console, names=self.names.address, digest=hashlib.sha256(TOKEN.encode()).hexdigest())
        config += "".join(UPSTREAM.format(name=party.name, port=party.port, more=MORE[party.name]) for party in self.parties)
        self.relay = Relay(folder, config).start(60)
        self.intake = Intake(self.relay.port, self.model)
        self.desk = Desk(self.relay, console, self.model, self.intake, self.chance)
        self.traffic = Traffic(self.intake, seed)
        self.done = Counter()

    def run(self, minutes, queued, thorough):
        """All of it; returns the faults found, and the figures."""
        started = time.monotonic()
        self.intake.fill(queued, self.chance)
        self.say(f"{queued} messages are queued after {time.monotonic() - started:.0f} s")
        known = commands() | routes(self.relay)
        faults = [f"there is no step for {missing}" for missing in without_step(known)]
        turns = [(step, way) for step in STEPS for way in step.ways(known)]
        with SumWatch(self.relay) as watch:
            self.traffic.start()
            try:
                while not faults:
                    faults += self._round(turns, queued, thorough)
                    if time.monotonic() > started + 60 * minutes:
                        break
            finally:
                self.traffic.stop()
        faults += [*watch.wrong[:3], *self.traffic.failed]
        if not faults:
            faults += self.desk.compare(thorough=True)
            assert self.relay.terminate(60) == 0, self.relay.log_tail()
        faults += [event for event in self._log() if event["event"] in NEVER][:5]
        figures = (
            f"{sum(self.done.values())} steps of {len(self.done)} kinds in {time.monotonic() - started:.0f} s, {watch.answers} sums; "
            f"{self.traffic.tried} messages of clients, {self.intake.count} in all; {self.model.expected_totals()}"
        )
        return faults, figures

    def _round(self, turns, queued, thorough):
        """Each step once by each way, in an order by chance; returns the faults of the first that has some."""
        for count, (step, way) in enumerate(self.chance.sample(turns, len(turns))):
            started = time.monotonic()
            self.intake.fill(queued, self.chance)
            filled = time.monotonic()
            step.run(self.desk, way)
            ran = time.monotonic()
            with self.desk.alone():
                faults = self.desk.compare(thorough or count % SAMPLE == 0)
            self.done[step.run.__name__, way] += 1
            self.say(
                f"{step.name(way)} ({step.run.__name__}): {ran - filled:.1f} s, filled in {filled - started:.1f} s, "
                f"compared in {time.monotonic() - ran:.1f} s; {self.traffic.tried} messages of clients"
            )
            if faults:
                return [f"after {step.name(way)} ({step.run.__name__}): {fault}" for fault in faults]
        return []

    def _log(self):
        with self.relay.log_file.open() as lines:
            return [event for event in map(json.loads, lines)]

    def close(self):
        self.traffic.ending.set()
        self.relay.close()
        for server in (self.names, *self.parties):
            server.stop()


def operate(folder, minutes, queued, seed, thorough=True, say=print):
    """Runs it so long below that folder. Returns the faults found and the figures."""
    say(f"seed {seed}")
    operation = Operation(folder, seed, say)
    try:
        return operation.run(minutes, queued, thorough)
    finally:
        operation.close()


def main():
    options = argparse.ArgumentParser(prog="benches/operate/run", description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--queued", type=int, default=QUEUED)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep", action="store_true", help="keeps the folder with the log")
    chosen = options.parse_args()
    # Whoever ends it gets the clean-up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="mailsluice-operate-"))
    faults, figures = operate(folder, chosen.minutes, chosen.queued, chosen.seed, say=lambda text: print(text, flush=True))
    print(figures)
    for fault in faults:
        print(f"FAULT: {fault}")
    if faults or chosen.keep:
        print(f"the log: {folder}/log")
    else:
        subprocess.run(["rm", "-rf", folder], check=False, timeout=60)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
