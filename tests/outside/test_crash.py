"""kill -9 under load: nothing acknowledged is lost. The whole: `python3 tests/outside/crash.py --rounds 200`."""

import os
from collections import Counter
from types import SimpleNamespace

import pytest

import crash

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "15"))


@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_nothing_acknowledged_is_lost(tmp_path):
    load, sink = crash.rounds(tmp_path, ROUNDS, seed=int(os.environ.get("CRASH_SEED", "20261122")), say=print)
    faults, figures = crash.verdict(load, sink, ROUNDS)
    print(figures)
    assert not faults, (faults, figures)


def test_the_verdict_sees_loss_and_duplicates():
    load = SimpleNamespace(acknowledged={"1", "2", "3"}, tried=3)
    lost = SimpleNamespace(numbers=Counter({"1": 1, "2": 1}))
    doubled = SimpleNamespace(numbers=Counter({"1": 10, "2": 1, "3": 1}))
    fine = SimpleNamespace(numbers=Counter({"1": 2, "2": 1, "3": 1}))
    assert "lost" in crash.verdict(load, lost, 1)[0][0]
    assert "duplicates" in crash.verdict(load, doubled, 1)[0][0]
    assert not crash.verdict(load, fine, 1)[0]
