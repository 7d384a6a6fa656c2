"""Every command on a running relay with a long queue, for a short time (operate.py). An hour by hand: benches/operate/run."""

import os
from collections import Counter

import pytest

import operate
import operate_registry
from operate_desk import differs
from operate_model import COPIES_TO, TEST_ADDRESS, Mail, Model

# By hand it is 10,000 (benches/operate/run): filling takes most of the time.
QUEUED = 3_000
SEED = int(os.environ.get("OPERATE_SEED", "20261127"))


@pytest.mark.timeout(900)
def test_every_command_on_a_long_queue_is_as_the_model_says(tmp_path):
    faults, figures = operate.operate(tmp_path, 0, QUEUED, SEED, thorough=False)
    print(figures)
    assert not faults, (faults, figures)


def test_a_command_without_a_step_is_seen():
    assert operate_registry.without_step({"queue list", "queue sell", "run", "GET /status", "PUT /moon"}) == ["PUT /moon", "queue sell"]


def test_a_step_without_a_command_is_seen():
    step = operate_registry.Step("queue sell", "POST /sell", None)
    with pytest.raises(AssertionError, match="no such command"):
        step.ways({"queue list", "POST /sell"})
    assert step.ways({"queue sell", "POST /sell"}) == ["cli", "api"]
    by_request = operate_registry.Step(None, "POST /sell", None)
    assert by_request.ways({"POST /sell"}) == ["api"]


def test_a_wrong_sum_is_seen():
    totals = Counter(accepted=3, generated=1, sent=2, bounced=1, queued=1)
    assert not differs(totals) and differs(totals + Counter(sent=1))


def model_with(*mails, disabled=()):
    model = Model()
    model.disabled |= set(disabled)
    for mail in mails:
        model.accept(mail)
    return model


def take(model, queue_id, address, upstream="main"):
    model.record.answer(address)
    content = f"Received: from a\r\n\tby relay.test with ESMTP id {queue_id};\r\nX-Number: 1\r\n\r\ntext\r\n.\r\n"
    model.record.take(upstream, content.encode(), [address])


def mail(address="good.1@d.example", **more):
    return Mail("Q1", "1", "flow0@firm.example", {address}, **more)


def test_the_model_follows_the_record():
    model = model_with(mail())
    assert not model.follow() and model.expected_queue()["ready"] == 1
    take(model, "Q1", "good.1@d.example")
    assert model.follow() and not model.queue and model.expected_totals()["sent"] == 1
    take(model, "Q1", "good.1@d.example")
    assert model.record.twice()


def test_the_model_expects_a_report():
    model = model_with(mail("bad.1@d.example"))
    model.record.answer("bad.1@d.example")
    assert not model.follow() and model.expected_totals() | {"sent": 1, "generated": 1, "bounced": 1} == model.expected_totals()
    model.record.take("main", b"From: <>\r\n\r\nreturned:\r\nX-Number: 1\r\n\r\n", ["flow0@firm.example"])
    assert model.follow()


def test_the_model_waits_for_each_attempt_that_is_due():
    model = model_with(mail("late1.1@d.example"))
    model.record.answer("late1.1@d.example")
    assert model.follow() and model.expected_queue()["deferred"] == 1
    model.make_due(list(model.queue.values()))
    assert not model.follow()
    take(model, "Q1", "late1.1@d.example")
    assert model.follow() and not model.queue


@pytest.mark.parametrize(
    ("kept", "disabled", "word"), [({"held": True}, (), "release"), ({"upstream": "spare"}, ("spare",), "disabled"), ({"upstream": "bulk"}, (), "limit")]
)
def test_the_model_knows_what_stays(kept, disabled, word):
    model = model_with(mail(**kept), disabled=disabled)
    model.bulk_allowance = 0
    assert model.follow() and [one["waiting_for"] for one in model.expected_list().values()] == [word]


def test_the_model_sees_a_wrong_way_and_too_much():
    model = model_with(mail(), disabled=())
    take(model, "Q1", "good.1@d.example", "spare")
    model.follow()
    assert "has gone by" in model.faults[0]
    model.bulk_allowance = 0
    take(model, "Q2", "good.2@d.example", "bulk")
    model.follow()
    assert "0 were allowed" in model.faults[-1]


def test_a_redirected_mail_has_one_copy():
    model = model_with(mail(test="redirect"))
    take(model, "Q1", TEST_ADDRESS)
    assert model.follow() and model.expected_totals()["sent"] == 1


def test_a_copy_is_generated():
    model = model_with(Mail("Q1", "1", "flow0@firm.example", {"good.1@d.example", COPIES_TO}))
    totals = model.expected_totals()
    assert (totals["accepted"], totals["generated"], totals["queued"]) == (1, 1, 2)
