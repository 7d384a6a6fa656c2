"""One fault of the disk at one call of one flow, and what came of it.

    python3 tests/outside/crash_calls.py --flow bounce --fault EIO --call 17

runs that one again, and leaves the relay's folder with its log behind. Without `--call`: every call of the flow.
"""

import argparse
import errno
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import crash_flows
from crash_accounts import Copies, Tokens
from crash_flows import Bounce, Defer, Deliver, Direct, Limits, Reload, Start, World
from disk import CUT, FAIL, KILL, build_layer
from network import wait_until

# Name: (what happens at the call, the error, calls in succession).
FAULTS = {
    "KILL": (KILL, 0, 1),
    "CUT": (CUT, 0, 1),
    "EIO": (FAIL, errno.EIO, 1),
    "ENOSPC": (FAIL, errno.ENOSPC, 1),
    "FULL": (FAIL, errno.ENOSPC, 3),
}
# Runs at a time: most of the time they wait for timers and processes.
AT_ONCE = 8


@dataclass
class Strike:
    """A fault at a call: whether it was reached, at what, and the faults of ours that it has shown."""

    flow: str
    fault: str
    call: int
    struck: str
    faults: list

    def __str__(self):
        return f"{self.flow} {self.fault} {self.call} ({self.struck}): {'; '.join(self.faults) or 'well'}"


def flows(folder):
    """All that the relay does to its disk."""
    folder = Path(folder)
    alone = [Deliver(), Bounce(), Defer(), Limits(), Direct(), Reload()]
    return [*alone, Start(folder / "left"), Tokens(folder / "signed-in"), Copies(folder / "mailbox")]


def begin(world, prepare=True):
    if prepare:
        world.flow.prepare(world)
    if not world.flow.from_start:
        world.launch()
        assert world.wait_up(), world.relay.errors()


def act(world):
    """The flow itself, with a relay that may die in it."""
    if world.flow.from_start:
        world.launch()
        world.wait_up()
    world.flow.act(world)


def count(flow, folder, layer):
    """How many calls a flow makes when nothing fails."""
    world = World(folder, flow, layer)
    try:
        begin(world)
        before = world.disk.calls
        act(world)
        calls = world.disk.calls - before
        faults = crash_flows.conclude(world)
        world.disk.assert_sees_all()
        assert not faults, f"{flow.name} without a fault: {faults}"
        assert calls > 20, f"{flow.name} makes {calls} calls: that tests nothing"
        return calls
    finally:
        world.close()


def strike(flow, folder, layer, fault, call):
    """Runs the flow with that fault at that call, and looks whether all is as it must be."""
    how, error, times = FAULTS[fault]
    world = World(folder, flow, layer)
    faults = []
    try:
        begin(world)
        world.disk.arm(how, call, error, times)
        act(world)
        world.disk.disarm()
        if how == FAIL:
            faults += end_of_failure(world)
        elif world.disk.struck is not None:
            faults += end_of_kill(world)
        faults += crash_flows.conclude(world)
        world.disk.assert_sees_all()
    except Exception as error:  # whatever it is, the others go on
        faults.append(told(error))
    finally:
        world.close()
    return Strike(flow.name, fault, call, world.disk.struck, faults)


def told(error):
    """What went wrong in a run, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}: {error}"


def end_of_kill(world):
    """The next start, on a disk that is well."""
    wait_until(lambda: not world.is_alive(), 20, "the kill")
    assert world.relay.process.returncode == -signal.SIGKILL, world.relay.process.returncode
    return restart(world)


def end_of_failure(world):
    """A relay that had started goes on; one that could not start says why, and can be started again."""
    # 421: too late for any of it; 451 and 452: not now.
    faults = [f"{sent.number} read {sent.code}" for sent in world.letters if sent.code not in (250, 421, 451, 452, None)]
    if world.is_alive():
        return faults + [f"{sent.number} read nothing" for sent in world.letters if sent.code is None]
    if world.has_started():
        return [*faults, f"it ended with {world.relay.process.returncode}: {world.relay.errors()[-1000:]}"]
    if world.relay.process.returncode not in (1, 2) or not world.relay.errors().strip():
        faults.append(f"the start ended with {world.relay.process.returncode}: {world.relay.errors()[-1000:]}")
    return faults + restart(world)


def restart(world):
    world.relay.environment = {}
    world.launch()
    if world.wait_up():
        return []
    raise AssertionError(f"it does not start again: {world.relay.errors()[-2000:]}{world.log_tail()}")


def each_apart(wanted, folder, at_once, play, say):
    """Has `play(own, ...)` for each of what is wanted, in a folder of its own, which stays where something was found. Each begins with
    what has a flow, or is one."""
    def one(number, each):
        flow = getattr(each[0], "flow", each[0])
        own = Path(folder) / "-".join(map(str, (number, flow.name, *each[1:])))
        found = play(own, *each)
        if not found.faults:
            shutil.rmtree(own, ignore_errors=True)
        say(found)
        return found

    with ThreadPoolExecutor(at_once) as pool:
        begun = [pool.submit(one, number, each) for number, each in enumerate(wanted)]
        return [each.result() for each in begun]


def run_all(wanted, folder, layer, at_once=AT_ONCE, say=lambda result: None):
    """Runs (flow, fault, call) each in a folder of its own, which stays where something was found."""
    return each_apart(wanted, folder, at_once, lambda own, flow, *struck: strike(flow, own, layer, *struck), say)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flow", action="append")
    options.add_argument("--fault", action="append", choices=FAULTS)
    options.add_argument("--call", type=int)
    options.add_argument("--every", type=int, default=1, help="only one of so many calls, drawn by --seed")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--at-once", type=int, default=AT_ONCE)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mailsluice-calls-"))
    layer, chance, wanted = build_layer(folder), random.Random(chosen.seed), []
    for flow in flows(folder):
        if chosen.flow and flow.name not in chosen.flow:
            continue
        calls = count(flow, folder / f"count-{flow.name}", layer)
        print(f"{flow.name}: {calls} calls", flush=True)
        for fault in chosen.fault or FAULTS:
            numbers = [chosen.call] if chosen.call else range(1, calls + 1)
            wanted += [(flow, fault, call) for call in numbers if chance.randrange(chosen.every) == 0]
    begun = time.monotonic()
    results = run_all(wanted, folder, layer, chosen.at_once, lambda result: result.faults and print(f"FAULT {result}", flush=True))
    found = [result for result in results if result.faults]
    struck = sum(result.struck is not None for result in results)
    print(f"{len(results)} runs, {struck} struck, {len(found)} with faults, {time.monotonic() - begun:.0f} s; in {folder}")
    if not found and not chosen.call:
        shutil.rmtree(folder)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
