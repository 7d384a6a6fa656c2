"""The power is lost at some call of a flow: the next start finds what the disk had, and no more (disk.py).

    python3 tests/outside/power_loss.py --flow defer --losses 200

One run of a flow is written down; the losses are played back from that. Replies that were said before the loss count, and what
the upstream had taken by then.
"""

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import crash_flows
from crash_calls import AT_ONCE, FAULTS, act, begin, each_apart, flows, restart, told
from crash_flows import World
from disk import LOGGED, SAID, SYNC, WAYS, after_power_loss, build_layer, write_folder

QUEUED = re.compile(rb"^250 2\.0\.0 queued as (\S+)", re.MULTILINE)


@dataclass
class Loss:
    """Where it is lost, what is left, and the faults that it has shown."""

    flow: str
    record: int
    way: str
    seed: int
    faults: list

    def __str__(self):
        return f"{self.flow} at record {self.record}, {self.way} of seed {self.seed}: {'; '.join(self.faults) or 'well'}"


class Recording:
    """A run of a flow: all that its disk has been through, with the replies in between."""

    def __init__(self, flow, folder, layer, fault=None, call=0):
        """With a fault, that comes at that call, and the run goes on until mail is taken again."""
        self.flow, self.layer = flow, layer
        self.before = Path(folder) / "before"
        world = World(folder, flow, layer)
        try:
            flow.prepare(world)
            self.older = list(world.letters)
            if world.relay.data.exists():
                shutil.copytree(world.relay.data, self.before)
            self.log = world.relay.log_file.read_bytes() if world.relay.log_file.exists() else b""
            # `begin` has nothing to prepare any more.
            begin(world, prepare=False)
            self.first = world.disk.recorded
            if fault is not None:
                how, error, times = FAULTS[fault]
                world.disk.arm(how, call, error, times)
            act(world)
            world.disk.disarm()
            self.struck = world.disk.struck
            if fault is not None and world.is_alive():
                crash_flows.wait_recovered(world)
                world.calm()
            world.relay.kill()
            world.disk.assert_sees_all()
            self.records = world.disk.journal()
            self.letters, self.taken, self.late = world.letters, world.upstream.taken, world.upstream.late
            self.history = world.upstream.history
        finally:
            world.close()
        self.said = {}
        for place, record in enumerate(self.records):
            found = QUEUED.search(record.data) if record.operation == SAID else None
            if found:
                self.said[found.group(1).decode()] = place
        for sent in self.letters:
            if sent.is_acknowledged and sent.queue_id not in self.said:
                # Said before, or an upstream's reply that was passed on.
                assert sent in self.older or sent.queue_id.startswith("direct-"), f"the layer has not seen the reply to {sent.number}"
                self.said[sent.queue_id] = sent.recorded

    def lose(self, folder, record, way, seed, forgets_syncs=False):
        """Loses the power behind so many records, and looks whether all is as it must be."""
        world = World(folder, self.flow, self.layer)
        faults = []
        try:
            left = after_power_loss(self.before if self.before.exists() else None, self.records[:record], way, seed, forgets_syncs)
            write_folder(world.relay.data, left)
            world.letters = [self._by_then(sent, record) for sent in self.letters]
            world.upstream.taken = [each for each in self.taken if each.recorded <= record]
            world.upstream.late = set(self.late)
            world.upstream.history = [each for each in self.history if each[0] <= record]
            logged = [each.data for each in self.records[:record] if each.operation == LOGGED]
            world.relay.log_file.write_bytes(self.log + b"".join(logged))
            restart(world)
            faults += crash_flows.conclude(world)
        except Exception as error:  # whatever it is, the others go on
            faults.append(told(error))
        finally:
            world.close()
        return Loss(self.flow.name, record, way, seed, faults)

    def _by_then(self, sent, record):
        """The message as its client knew it at the loss."""
        if not sent.is_acknowledged or self.said[sent.queue_id] < record:
            return sent
        return replace(sent, code=None, queue_id=None)

    def syncs(self):
        """Which calls were syncs: the numbers by which a fault strikes them."""
        calls = [record for record in self.records[self.first :] if record.operation not in (SAID, LOGGED)]
        return [number for number, record in enumerate(calls, 1) if record.operation == SYNC]

    def draw(self, count, chance):
        """Where, what is left, with which seed."""
        return [(chance.randint(self.first + 1, len(self.records)), chance.choice(WAYS), chance.randrange(1 << 32)) for _ in range(count)]

    def every(self):
        """Behind each record: nothing, all, and three times what chance has it."""
        places = range(self.first + 1, len(self.records) + 1)
        return [(place, way, place * 10 + turn) for place in places for turn, way in enumerate(["nothing", "all", "first", "any", "any"])]


def lose_all(wanted, folder, at_once=AT_ONCE, say=lambda loss: None, **more):
    """Plays (recording, record, way, seed) back, each in a folder of its own, which stays where something was found."""
    return each_apart(wanted, folder, at_once, lambda own, recording, *lost: recording.lose(own, *lost, **more), say)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flow", action="append")
    options.add_argument("--losses", type=int, help="for each flow, drawn by --seed; else at every record")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--forgets-syncs", action="store_true", help="with a disk that lies")
    options.add_argument("--at-once", type=int, default=AT_ONCE)
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mailsluice-power-"))
    layer, chance, wanted = build_layer(folder), random.Random(chosen.seed), []
    for flow in flows(folder):
        if chosen.flow and flow.name not in chosen.flow:
            continue
        recording = Recording(flow, folder / f"record-{flow.name}", layer)
        losses = recording.every() if chosen.losses is None else recording.draw(chosen.losses, chance)
        print(f"{flow.name}: {len(recording.records)} records, {len(losses)} losses", flush=True)
        wanted += [(recording, *loss) for loss in losses]
    begun = time.monotonic()
    losses = lose_all(
        wanted, folder, chosen.at_once, lambda loss: loss.faults and print(f"FAULT {loss}", flush=True),
        forgets_syncs=chosen.forgets_syncs,
    )
    found = [loss for loss in losses if loss.faults]
    print(f"{len(losses)} losses, {len(found)} with faults, {time.monotonic() - begun:.0f} s; in {folder}")
    if not found:
        shutil.rmtree(folder)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
