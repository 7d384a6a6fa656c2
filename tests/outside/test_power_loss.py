"""The power is lost: what was synced is there, what was not may be there or not, and all that was acknowledged was synced.

A sample of the places, drawn by CRASH_SEED; every one with CRASH_ALL=1.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from crash_calls import flows
from disk import CREATE, FAILED_SYNC, FOLDER, MKDIR, RENAME, SYNC, TRUNCATE, UNLINK, WAYS, WRITE, DiskState, Record
from power_loss import Recording, lose_all
from test_crash_calls import ALL, FLOWS, SEED

# Losses of each flow.
SAMPLE = 20


@pytest.fixture(scope="module")
def crash(disk_layer, tmp_path_factory):
    """The flows by their names, and what was recorded of each: `recording(name)`."""
    folder = tmp_path_factory.mktemp("power")
    found, recordings = {flow.name: flow for flow in flows(folder)}, {}

    def recording(name):
        if name not in recordings:
            recordings[name] = Recording(found[name], folder / name, disk_layer)
        return recordings[name]

    return SimpleNamespace(layer=disk_layer, flows=found, recording=recording)


@pytest.mark.timeout(7200 if ALL else 300)
@pytest.mark.parametrize("name", ["deliver", "bounce"])
def test_what_was_acknowledged_after_a_sync_that_failed_is_there(name, crash, tmp_path):
    """The system has dropped what it could not write, and calls the next sync a success: nothing may rely on that."""
    recording, chance = crash.recording(name), random.Random(f"{SEED} {name} syncs")
    syncs = recording.syncs()
    with ThreadPoolExecutor(8) as pool:
        record = lambda call: Recording(crash.flows[name], tmp_path / f"sync{call}", crash.layer, "EIO", call)
        failed = list(pool.map(record, syncs if ALL else chance.sample(syncs, 4)))
    assert any(each.struck is not None for each in failed)
    places = [(each, *place) for each in failed for place in each.draw(60 if ALL else 8, chance)]
    losses = lose_all(places, tmp_path)
    found = [str(loss) for loss in losses if loss.faults]
    assert not found, f"{len(found)} of {len(losses)}: " + "\n".join(found[:20])


@pytest.mark.timeout(7200 if ALL else 300)
@pytest.mark.parametrize("name", FLOWS)
def test_what_was_acknowledged_is_there(name, crash, tmp_path):
    recording = crash.recording(name)
    places = recording.every() if ALL else recording.draw(SAMPLE, random.Random(f"{SEED} {name}"))
    losses = lose_all([(recording, *place) for place in places], tmp_path)
    found = [str(loss) for loss in losses if loss.faults]
    assert not found, f"{len(found)} of {len(losses)}: " + "\n".join(found[:20])


def test_a_disk_that_lies_is_found_out(crash, tmp_path):
    """The same with a disk that does nothing when it is to sync: what was acknowledged is lost, and that is seen."""
    recording = crash.recording("deliver")
    end = len(recording.records)
    losses = lose_all([(recording, end, "nothing", seed) for seed in range(2)], tmp_path, forgets_syncs=True)
    assert all(loss.faults for loss in losses), [str(loss) for loss in losses]
    honest = lose_all([(recording, end, "nothing", 0)], tmp_path)
    assert not honest[0].faults, honest[0]


def left(*records, way="nothing", seed=1):
    made = [Record(operation, path, second, offset, data) for operation, path, second, offset, data in map(filled, records)]
    return DiskState().play(made).left(way, random.Random(seed))


def filled(record):
    """(operation, path[, offset, data]), or with another path behind the first."""
    operation, path, *more = record
    second = more.pop(0) if operation == RENAME else ""
    return operation, path, second, *(more or [0]), *([b""] if len(more) < 2 else [])


FILE = [(CREATE, "a"), (WRITE, "a", 0, b"old"), (SYNC, "a"), (SYNC, "")]
NEW = [*FILE, (WRITE, "a", 0, b"NEW"), (WRITE, "a", 3, b"er")]


@pytest.mark.parametrize(
    ("records", "nothing", "everything"),
    [
        (FILE, {"a": b"old"}, {"a": b"old"}),
        (NEW, {"a": b"old"}, {"a": b"NEWer"}),
        ([*NEW, (SYNC, "a")], {"a": b"NEWer"}, {"a": b"NEWer"}),
        # A name is synced with its folder, and not with its file.
        (FILE[:3], {}, {"a": b"old"}),
        # A file whose name alone was synced is empty.
        ([FILE[0], FILE[1], FILE[3]], {"a": b""}, {"a": b"old"}),
        ([*FILE, (RENAME, "a", "b")], {"a": b"old"}, {"b": b"old"}),
        ([*FILE, (RENAME, "a", "b"), (SYNC, "")], {"b": b"old"}, {"b": b"old"}),
        ([*FILE, (UNLINK, "a")], {"a": b"old"}, {}),
        ([*FILE, (UNLINK, "a"), (SYNC, "")], {}, {}),
        ([*FILE, (TRUNCATE, "a", 1, b"")], {"a": b"old"}, {"a": b"o"}),
        # What a sync has failed to write is gone, though the next one succeeds.
        ([*NEW, (FAILED_SYNC, "a"), (SYNC, "a")], {"a": b"old"}, {"a": b"old"}),
        ([(MKDIR, "d"), (CREATE, "d/a"), (SYNC, "d")], {}, {"d": FOLDER, "d/a": b""}),
        ([(MKDIR, "d"), (SYNC, ""), (CREATE, "d/a"), (SYNC, "d")], {"d": FOLDER, "d/a": b""}, {"d": FOLDER, "d/a": b""}),
        ([(MKDIR, "d"), *FILE, (RENAME, "a", "d/a"), (SYNC, "d")], {"d": FOLDER, "d/a": b"old"}, {"d": FOLDER, "d/a": b"old"}),
    ],
)
def test_what_a_disk_keeps(records, nothing, everything):
    assert left(*records, way="nothing") == nothing
    assert left(*records, way="all") == everything


def test_what_was_not_synced_comes_in_every_order():
    """Sectors of two writes that were never synced: each is old or new, whatever the others are."""
    written = [*FILE[:1], (WRITE, "a", 0, bytes(1024)), (SYNC, "a"), (SYNC, ""), (WRITE, "a", 0, b"\1" * 1024)]
    found = {left(*written, way="any", seed=seed)["a"][::512] for seed in range(64)}
    assert found == {bytes([a, b]) for a in (0, 1) for b in (0, 1)}
    assert all(left(*written, (SYNC, "a"), way=way, seed=7)["a"] == b"\1" * 1024 for way in WAYS)
