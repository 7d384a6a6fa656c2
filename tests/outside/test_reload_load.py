"""Reloads under load, valid and broken files in turn (reload_rounds.py). More by hand: reload_rounds.py --rounds 1000."""

import os
import random
from collections import Counter
from types import SimpleNamespace

import pytest

import reload_rounds
from network import free_port
from relay import Relay
from reload_clients import ROLES
from reload_files import DOORS, Place, Settings, all_broken, another, expected_changes

# By hand a hundred and more (reload_rounds.py --rounds).
ROUNDS = 50
SEED = int(os.environ.get("RELOAD_SEED", "20261127"))


@pytest.mark.timeout(600)
def test_reloads_break_nothing_off(tmp_path):
    faults, figures, clients = reload_rounds.rounds(tmp_path, ROUNDS, SEED)
    print(figures)
    assert not faults, (faults, figures)
    assert all(clients.taken[role] for role in ROLES) and sum(clients.midst.values()) > ROUNDS, figures
    assert all(clients.sent_away[role] for role in (*DOORS, "guest")), figures


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, free_port(), free_port())


@pytest.fixture
def unstarted(tmp_path, place):
    relay = Relay(tmp_path, "")
    relay.file.write_text(place.text(Settings()))
    return relay


def test_what_is_valid_is_valid(place, unstarted):
    chance = random.Random(SEED)
    for version in range(20):
        unstarted.file.write_text(place.text(another(chance, str(version))))
        assert unstarted.command("check")["ok"] is True


def test_what_is_broken_is_broken_for_its_own_reason(place, unstarted):
    # The store's folder and a taken address are the running relay's affair alone.
    for broken in all_broken(place, 1):
        if broken.name not in ("another data folder", "address taken"):
            broken.write(place, unstarted.file, another(random.Random(SEED), "1"))
            done = unstarted.command("check", check=False)
            assert done.returncode == 2 and broken.words in done.stdout + done.stderr, (broken.name, done)


def test_what_a_reload_must_tell(place):
    old = Settings(doors=("left", "right"), guest="before")
    new = Settings(version="1", doors=("right",), console=None, accounts=1)
    left = f"listener 127.0.0.1:{place.ports['left']}: gone"
    assert expected_changes(old, new, place) == {left, "rule version: changed", "console.address", "user guest: gone", "upstream sink: changed"}


ALL_WELL = [("r1@a.example", [b"3"], 72)]


@pytest.mark.parametrize(
    ("name", "arrived", "totals", "wrong"),
    [
        ("all is well", ALL_WELL, {}, None),
        ("lost", [], {"sent": 0, "accepted": 0}, "lost"),
        ("twice", ALL_WELL * 2, {}, "arrived twice"),
        ("unknown", [*ALL_WELL, ("r2@a.example", [b"3"], 72)], {"sent": 2, "accepted": 2}, "without a 250"),
        ("by a file that was not in force yet", [("r1@a.example", [b"5"], 72)], {}, "was ruled by"),
        ("by a file that was not in force any more", [("r1@a.example", [b"1"], 72)], {}, "was ruled by"),
        ("by a broken file", [("r1@a.example", [b"broken"], 72)], {}, "was ruled by"),
        ("by two", [("r1@a.example", [b"2", b"3"], 72)], {}, "was ruled by"),
        ("cut", [("r1@a.example", [b"3"], 71)], {}, "a body of 71 octets"),
        ("waits", ALL_WELL, {"queued": 1}, "the totals"),
    ],
)
def test_the_verdict_sees_what_is_wrong(name, arrived, totals, wrong):
    rounds = SimpleNamespace(
        clients=SimpleNamespace(acknowledged={"r1@a.example": (2, 4, 72)}, broken=[]), upstream=SimpleNamespace(arrived=arrived),
        faults=[], log=SimpleNamespace(never=[]), warm=0,
    )
    rounds._ruled_wrongly = lambda: reload_rounds.Rounds._ruled_wrongly(rounds)
    faults = reload_rounds.Rounds.verdict(rounds, Counter(sent=1, accepted=1) | Counter(totals) if wrong != "lost" else Counter())
    assert (any(wrong in fault for fault in faults) if wrong else not faults), (name, faults)
