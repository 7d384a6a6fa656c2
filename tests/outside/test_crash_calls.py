"""Killed or failed at a call that changes the disk: nothing acknowledged is lost, nothing comes twice unsaid.

A sample of the calls, drawn by CRASH_SEED; every one with CRASH_ALL=1.
"""

import os
import random
from types import SimpleNamespace

import pytest

from crash_calls import FAULTS, count, flows, run_all
from crash_flows import Verdict, judge_letter, judge_totals, letter
from crash_upstream import Taken

SEED = int(os.environ.get("CRASH_SEED", "20261126"))
ALL = os.environ.get("CRASH_ALL") == "1"
# Calls of each flow for each fault.
SAMPLE = 3
FLOWS = ["deliver", "bounce", "defer", "limits", "direct", "reload", "start", "tokens", "copies"]


@pytest.fixture(scope="module")
def crash(disk_layer, tmp_path_factory):
    """The layer, and the flows by their names."""
    return SimpleNamespace(layer=disk_layer, flows={flow.name: flow for flow in flows(tmp_path_factory.mktemp("crash"))})


def test_each_flow_is_tested(crash):
    assert sorted(crash.flows) == sorted(FLOWS)


@pytest.mark.timeout(7200 if ALL else 300)
@pytest.mark.parametrize("name", FLOWS)
def test_whatever_call_it_is(name, crash, tmp_path):
    flow, chance = crash.flows[name], random.Random(f"{SEED} {name}")
    calls = count(flow, tmp_path / "count", crash.layer)
    numbers = lambda: range(1, calls + 1) if ALL else chance.sample(range(1, calls + 1), SAMPLE)
    wanted = [(flow, fault, call) for fault in FAULTS for call in numbers()]
    results = run_all(wanted, tmp_path, crash.layer)
    found = [str(result) for result in results if result.faults]
    assert not found, f"{len(found)} of {len(results)}: " + "\n".join(found[:20])
    # Tasks and threads take turns as they like: a run may have fewer calls than the one that was counted.
    struck = sum(result.struck is not None for result in results)
    assert struck > len(results) * 0.7, f"{struck} of {len(results)} calls were reached: that tests little"


SENT = letter("n1", ["good", "bad"], 100)
ID, REPORT = "01AAAAAAAAAAAAAA", "01BBBBBBBBBBBBBB"
RECEIVED = b"Received: from x\r\n\tby relay.test with ESMTP id " + ID.encode() + b"\r\n"


def came(at, content=None, queue_id=ID):
    return Taken("n1", queue_id, SENT.recipients[:1], content or RECEIVED + SENT.content, False, at, 0)


def reported(at, queue_id=REPORT):
    return Taken("n1", queue_id, ["office@firm.example"], b"", True, at, 0)


@pytest.mark.parametrize(
    ("taken", "told", "fault"),
    [
        ([came(1), reported(2)], {}, None),
        ([reported(2)], {}, "is lost"),
        ([came(1)], {}, "nobody has a report"),
        ([came(1), came(3), reported(2)], {}, "arrived 2 times"),
        ([came(1), came(3), reported(2)], {ID: [2]}, None),
        ([came(1), came(3), reported(2)], {ID: [4]}, "arrived 2 times"),
        ([came(1), came(3), came(4), reported(2)], {ID: [2]}, "arrived 3 times"),
        ([came(1), reported(2), reported(3)], {}, "arrived 2 times"),
        ([came(1), reported(2), reported(3)], {REPORT: [2.5]}, None),
        ([came(1), reported(2), reported(3, "01CCCCCCCCCCCCCC")], {}, "arrived 2 times"),
        ([came(1), reported(2), reported(3, "01CCCCCCCCCCCCCC")], {ID: [2.5]}, None),
        ([came(1, RECEIVED + SENT.content[:-20]), reported(2)], {}, "the content was changed"),
        ([came(1, queue_id="01DDDDDDDDDDDDDD"), reported(2)], {}, "one message has one queue id"),
    ],
)
def test_the_judge_sees_it(taken, told, fault):
    verdict = Verdict()
    sent = letter("n1", ["good", "bad"], 100)
    sent.code, sent.queue_id = 250, ID
    assert judge_letter(sent, taken, told, verdict)
    assert bool(verdict.faults) == (fault is not None) and (fault is None or fault in verdict.faults[0]), verdict.faults


def test_the_judge_adds_up():
    names = ("accepted", "generated", "sent", "bounced", "expired", "dropped", "captured", "deleted", "queued")
    right = dict(zip(names, [2, 1, 2, 1, 0, 0, 0, 0, 0]))
    for wrong in [{}, {"sent": 1}, {"accepted": 1, "bounced": 0}, {"sent": 1, "deleted": 1}]:
        verdict = Verdict()
        judge_totals(right | wrong, [SENT], [came(1), reported(2)], verdict)
        assert bool(verdict.faults) == bool(wrong), (wrong, verdict.faults)
