"""Everything at once for a short time (soak.py). Hours by hand: benches/soak/run --minutes 120."""

import os
from collections import Counter
from types import SimpleNamespace

import pytest

import soak
from faulty_upstream import Taken
from soak_books import Books

MINUTES = float(os.environ.get("SOAK_MINUTES", "1.2"))
STATUS = {"totals": {"accepted": 3, "generated": 1, "sent": 2, "bounced": 1, "expired": 0, "dropped": 0, "captured": 0, "deleted": 0}, "queue": {"ready": 1}}


@pytest.mark.timeout(240 + 90 * MINUTES)
def test_the_books_balance_after_everything_at_once(tmp_path):
    faults, figures = soak.soak(tmp_path, MINUTES, seed=int(os.environ.get("SOAK_SEED", "20261126")))
    print(figures)
    assert not faults, (faults, figures)


def taken(queue_id, told=True, at=1_000.0):
    return Taken(queue_id, at, told)


def books(*lines, ends=()):
    found = Books(relay=None)
    found.ends = list(ends)
    for line in lines:
        line = {"queue_id": "q1", "to": "r1-0@a.example", **line}
        found._note({key: value for key, value in line.items() if value is not None})
    return found


TWICE = [taken("q1"), taken("q1")]
LOST = [taken("q1", told=False), taken("q1")]
DOUBT = {"event": "deferred", "reply": "broken off (possible duplicate)"}


@pytest.mark.parametrize(
    ("name", "lines", "ends", "arrived", "wrong"),
    [
        ("all is well", [{"event": "sent"}], [], [taken("q1")], None),
        ("lost", [], [], [], "acknowledged and lost"),
        ("bounced", [{"event": "bounced"}], [], [], None),
        ("another is bounced", [{"event": "bounced", "to": "r1-1@a.example"}], [], [], "acknowledged and lost"),
        ("deleted", [{"event": "deleted", "to": None}], [], [], None),
        ("twice", [], [], TWICE, "taken twice"),
        ("twice, told", [DOUBT], [], TWICE, None),
        ("three times, told once", [DOUBT], [], [*TWICE, taken("q1")], "taken twice"),
        ("twice, told of another", [{**DOUBT, "to": "r1-1@a.example"}], [], TWICE, "taken twice"),
        ("twice, told at the start", [{"event": "recovered", "reason": "its last attempt was cut off, or about to begin: possible duplicate", "to": None}], [], TWICE, None),
        ("the answer was lost, and the line with the process", [], [1_001.0], LOST, None),
        ("the answer was lost long before the end", [], [1_009.0], LOST, "taken twice"),
        ("twice as two messages", [], [], [taken("q1"), taken("q2")], None),
        ("sent and never there", [{"event": "sent", "to": "r9-0@a.example"}], [], [taken("q1")], "in the log as sent"),
        ("a panic", [{"event": "panic"}], [], [taken("q1")], "never to be there"),
    ],
)
def test_the_books_see_what_is_wrong(name, lines, ends, arrived, wrong):
    clients = SimpleNamespace(acknowledged={"r1-0@a.example": "q1"})
    upstream = SimpleNamespace(taken={"r1-0@a.example": arrived} if arrived else {}, reported=set())
    faults = books(*lines, ends=ends).faults(clients, upstream, STATUS)
    assert (wrong in faults[0] if wrong else not faults), (name, faults)


def test_the_books_see_a_wrong_sum():
    status = {"totals": {**STATUS["totals"], "sent": 3}, "queue": STATUS["queue"]}
    nobody = SimpleNamespace(acknowledged={}), SimpleNamespace(taken={}, reported=set())
    assert "have come" in books().faults(*nobody, status)[0]
    assert Counter(books().faults(*nobody, STATUS)) == Counter()
