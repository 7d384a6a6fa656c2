"""Backups of a relay under load, what becomes of them elsewhere, and a store of which octets were overwritten."""

import random
import shutil
import sqlite3
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from crash import CONFIG, Load
from network import wait_until
from relay import ROOT, Relay
from sink import Sink

ENDS = ("sent", "bounced", "expired", "dropped", "captured", "deleted", "queued")
PAGE = 4096


def totals(relay):
    """The totals, whose sum must be right."""
    found = relay.command("status")["totals"]
    assert found["accepted"] + found["generated"] == sum(found[end] for end in ENDS), found
    return found


@pytest.fixture
def sink():
    party = Sink(delay=0.002, keep=False).start()
    yield party
    party.stop()


def restored(folder, tar, config):
    """A relay elsewhere, with what the tar has."""
    relay = Relay(folder, config)
    relay.data.mkdir(mode=0o700)
    with tarfile.open(tar) as archive:
        names = archive.getnames()
        archive.extractall(relay.data, filter="data")
    assert names[:2] == ["queue.db", "content"] and len(names) == len(set(names)), names[:5]
    assert not {"lock", "control.sock"} & set(names)
    return relay


def test_a_backup_under_load_sends_nothing_until_it_is_released(tmp_path, sink):
    config = CONFIG.format(port=sink.port, connections=5)
    relay = Relay(tmp_path / "first", config).start()
    load = Load(relay.port, clients=8, seed=20261126).start()
    tars = []
    try:
        for number in range(5):
            time.sleep(0.3)
            tars.append(tmp_path / f"{number}.tar")
            told = relay.command("backup", str(tars[-1]))
            assert tars[-1].stat().st_mode & 0o777 == 0o600 and told["octets"] > 0
        load.stop()
        relay.wait_empty(120)
        assert totals(relay)["sent"] == len(sink.numbers), "no backup has disturbed the mail"
        assert relay.terminate() == 0
    finally:
        load.ending.set()
        relay.close()
    assert not (relay.data / "backup-links").exists()

    with_mail = 0
    for number, tar in enumerate(tars):
        before = dict(sink.numbers)
        other = restored(tmp_path / f"other-{number}", tar, config)
        assert other.command("store", "check", check=False).returncode == 0, "all that it refers to is in it"
        other.start()
        try:
            found, status = totals(other), other.command("status")
            assert status["queue"]["held"] == sum(status["queue"].values())
            assert found["queued"] == status["queue"]["held"], "one recipient each"
            (event,) = other.events("restored")
            assert (event["messages"], event["lost"]) == (status["queue"]["held"], 0)
            other.command("send", "--to", "new@elsewhere.example", "--from", "office@firm.example")
            assert dict(sink.numbers) == before, "nothing of it was sent"
            if found["queued"]:
                with_mail += 1
                other.command("queue", "release", "--all", "--to", "recipients", "--yes", check=False)
                other.wait_empty(120)
                again = sum(sink.numbers.values()) - sum(before.values())
                assert again == found["queued"], "all that was held goes once a person has released it"
            assert totals(other)["sent"] == found["accepted"] + 1
            assert other.terminate() == 0
        finally:
            other.close()
    assert with_mail, "in no instant was anything in the queue"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_can_be_read_goes_on_after_octets_were_overwritten(tmp_path, sink, seed):
    off = CONFIG.format(port=sink.port, connections=5).replace('security = "none"', 'security = "none"\nenabled = false')
    relay = Relay(tmp_path / "relay", off).start()
    load = Load(relay.port, clients=8, seed=seed).start()
    while len(load.acknowledged) < 400:
        time.sleep(0.05)
    load.stop()
    accepted = totals(relay)["accepted"]
    assert relay.terminate() == 0
    assert relay.command("store", "check", check=False).returncode == 0
    database = relay.data / "queue.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    chance, size = random.Random(seed), database.stat().st_size
    with database.open("r+b") as file:
        for _ in range(3):
            # Not in the first pages, which say what the tables are.
            file.seek(chance.randrange(40 * PAGE, size - PAGE))
            file.write(chance.randbytes(chance.choice([100, 3000])))
    shutil.copy(database, tmp_path / "damaged.db")
    found = relay.command("store", "check", check=False)
    assert found.returncode == 1 and found.stdout, found
    told = relay.command("store", "salvage")
    assert (Path(told["aside"]) / "queue.db").read_bytes() == (tmp_path / "damaged.db").read_bytes(), "nothing is deleted"
    relay.write(CONFIG.format(port=sink.port, connections=5))
    relay.start()
    try:
        saved = totals(relay)
        assert saved["queued"] + saved["deleted"] == accepted and saved["deleted"] == told["lost_recipients"], (saved, told)
        assert saved["queued"] > accepted * 0.7, "most of it can be read"
        assert relay.command("status")["queue"]["held"] == saved["queued"]
        assert not sink.numbers, "nothing goes by itself"
        relay.command("queue", "release", "--all", "--to", "recipients", "--yes", check=False)
        # What was damaged within a content is found when it is read, and held.
        waits = lambda: {state: count for state, count in relay.command("status")["queue"].items() if state != "held"}
        wait_until(lambda: not any(waits().values()), 120, lambda: f"nothing but held mail: {relay.queue()} {relay.log_tail()}")
        held = relay.queue()
        assert all("damaged" in message["to"][0]["reply"] for message in held), held
        assert len(sink.numbers) + len(held) == saved["queued"]
        assert all(times == 1 for times in sink.numbers.values())
        assert set(sink.numbers) <= load.acknowledged
        totals(relay)
        assert relay.terminate() == 0
    finally:
        relay.close()


def test_the_unit_is_closed_as_far_as_a_relay_can_be():
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: run ./test.sh"
    unit = ROOT / "packaging" / "systemd" / "mailsluice.service"
    done = subprocess.run(
        [program, "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    known = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    # The program is not installed here; nothing else may be wrong.
    wrong = [line for line in known.stderr.splitlines() if "is not executable" not in line]
    assert not [line for line in wrong if "mailsluice" in line], wrong
