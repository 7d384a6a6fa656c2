"""A disk that fails: strace makes syncs and writes fail, or kills the relay at a sync. No 250 may be lost.

strace is attached to the running relay (a disk that breaks and is mended again) or runs it from the start.
"""

import os
import signal
import smtplib
import subprocess
import time

import pytest

from conftest import upstream_to
from crash import Load
from messages import compose
from network import wait_until
from relay import Relay

QUICK_RETRY = '[queue]\nretry_min = "1s"\nretry_max = "2s"\n'
SYNCS = "fsync,fdatasync"


class Fault:
    """While it is in force, the named calls of the relay fail as `how` says (strace's inject expression)."""

    def __init__(self, relay, calls, how, path=None):
        """With a path, of those calls only the ones at that file."""
        only = ["-P", str(path)] if path else []
        inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
        self.words = ["strace", "-f", "-p", str(relay.pid()), *only, *inject]
        self.file = relay.folder / "strace"
        self.process = None

    def __enter__(self):
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(lambda: "attached" in self.said(), 10, lambda: f"strace to attach: {self.said()}")
        time.sleep(0.2)  # the other threads are attached one after the other
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def said(self):
        return self.file.read_text(errors="replace")

    def injected(self):
        return self.said().count("(INJECTED)")


def try_to_send(relay, number, size=2_000):
    """The reply's code."""
    content = compose((b"x" * 70 + b"\r\n") * (size // 72 + 1), number=number)
    try:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            client.sendmail("office@firm.example", [f"r{number}@elsewhere.example"], content)
    except smtplib.SMTPRecipientsRefused as refused:
        return next(iter(refused.recipients.values()))[0]
    except smtplib.SMTPSenderRefused as refused:
        return refused.smtp_code
    except smtplib.SMTPDataError as refused:
        return refused.smtp_code
    except smtplib.SMTPConnectError as refused:
        return refused.smtp_code
    return 250


def all_arrived(acknowledged, sink):
    lost = set(acknowledged) - sink.numbers.keys()
    assert not lost, f"acknowledged and lost: {sorted(lost)[:10]}"


@pytest.mark.parametrize(("calls", "error"), [(SYNCS, "EIO"), ("pwrite64", "ENOSPC")])
@pytest.mark.parametrize("size", [2_000, 200_000])
def test_a_broken_disk_means_451_and_it_recovers(calls, error, size, start_relay, sink):
    relay = start_relay(QUICK_RETRY + upstream_to(sink.port))
    assert try_to_send(relay, "before", size) == 250
    relay.wait_empty()
    with Fault(relay, calls, f"error={error}") as fault:
        codes = [try_to_send(relay, f"during{n}", size) for n in range(5)]
        assert all(code in (451, 452) for code in codes), f"{codes}\n{relay.log_tail()}"
        assert fault.injected() > 0, "no call failed: that tests nothing"
    assert any(event["level"].lower() == "error" for event in relay.events()), relay.log_tail()
    wait_until(lambda: try_to_send(relay, "after", size) == 250, 60, lambda: f"the store to recover: {relay.log_tail()}")
    acknowledged = ["before", "after"]
    for number in range(10):
        assert try_to_send(relay, f"later{number}", size) == 250
        acknowledged.append(f"later{number}")
    relay.kill()
    relay.start()
    relay.wait_empty()
    all_arrived(acknowledged, sink)
    assert not any(number.startswith("during") for number in sink.numbers), "a refused message was sent all the same"


def test_now_and_then_a_sync_fails_under_load(start_relay, sink):
    sink.keep = False
    relay = start_relay(QUICK_RETRY + upstream_to(sink.port))
    load = Load(relay.port, clients=4, pause=0.01).start()
    try:
        with Fault(relay, SYNCS, "error=EIO:when=10+40") as fault:
            time.sleep(10)
        injected = fault.injected()
    finally:
        load.stop()
    assert injected > 0 and len(load.acknowledged) > 20
    relay.kill()
    relay.start()
    relay.wait_empty(120)
    all_arrived(load.acknowledged, sink)


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 40, 100, 400])
def test_killed_at_a_sync(nth, tmp_path, sink):
    """From the start on, the first time that a thread comes to its nth sync the relay dies there."""
    sink.keep = False
    wrapper = ["strace", "-f", "-o", os.devnull, "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:signal=KILL:when={nth}"]
    relay = Relay(tmp_path / "relay", QUICK_RETRY + upstream_to(sink.port), wrapper)
    load = Load(relay.port, clients=4, seed=nth).start()
    try:
        relay.launch()
        status = relay.process.wait(60)
        assert status in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{status}: {relay.errors()}{relay.log_tail()}"
    finally:
        load.stop()
        relay.close()
    relay.wrapper = []
    try:
        relay.start()
        relay.wait_empty()
        all_arrived(load.acknowledged, sink)
        assert try_to_send(relay, "afterwards") == 250
    finally:
        relay.close()


def test_a_full_disk_is_told_before_the_content(start_relay, sink):
    relay = start_relay('[queue]\nmin_free_disk = "900000GiB"\n' + upstream_to(sink.port))
    assert try_to_send(relay, 1) == 452
    wait_until(lambda: any(event["level"].lower() == "error" for event in relay.events()), 10, relay.log_tail)


def test_a_full_queue_is_told(start_relay, sink):
    sink.answer = lambda envelope: "451 4.3.0 later"
    relay = start_relay("[queue]\nmax_messages = 3\n" + upstream_to(sink.port))
    codes = [try_to_send(relay, number) for number in range(5)]
    assert codes == [250, 250, 250, 452, 452]


def test_the_content_folder_does_not_keep_what_was_refused(start_relay, sink):
    """A session that dies in the middle of a large message leaves no file."""
    relay = start_relay(upstream_to(sink.port))
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=20)
    client.ehlo("client.test")
    client.mail("office@firm.example")
    client.rcpt("customer@elsewhere.example")
    client.docmd("DATA")
    client.send(compose(b"x" * 70 + b"\r\n") + (b"y" * 70 + b"\r\n") * 20_000)
    content = relay.data / "content"
    wait_until(lambda: content.exists() and any(content.iterdir()), 20, "the content to stream to a file")
    client.sock.close()
    client.close()
    wait_until(lambda: not any(p for p in content.rglob("*") if p.is_file()), 20, "the file to be removed")
    assert relay.queued() == 0


def test_each_folder_on_the_way_is_synced_before_the_first_250(tmp_path, sink):
    """strace -y names what is synced; what a power cut may take away has been, once the client reads 250."""
    record = tmp_path / "syncs"
    wrapper = ["strace", "-f", "-y", "-o", str(record), "-e", f"trace={SYNCS}"]
    folder = tmp_path / "new"
    relay = Relay(folder, QUICK_RETRY + '[test_mode]\nenabled = true\naction = "capture"\n' + upstream_to(sink.port), wrapper)
    relay.data = folder / "a" / "b" / "data"
    relay.file.write_text(relay.file.read_text().replace('data_dir = "data"', 'data_dir = "a/b/data"'))
    relay.start(60)
    try:
        synced = lambda path: f"<{path}>)" in record.read_text(errors="replace")
        assert try_to_send(relay, "first", 200_000) == 250
        for path in [folder, folder / "a", folder / "a" / "b", relay.data, relay.data / "content", relay.data / "lock"]:
            assert synced(path), f"{path} was not synced: {record.read_text()[-3000:]}"
        relay.wait_event("captured")
        for path in [relay.data, relay.data / "captured", relay.data / "captured" / "new"]:
            assert synced(path), f"{path} was not synced: {record.read_text()[-3000:]}"
    finally:
        relay.close()


@pytest.mark.parametrize("lost", ["missing", "empty"])
def test_a_queue_that_is_lost_is_refused_and_nothing_is_touched(lost, start_relay, sink):
    sink.answer = lambda envelope: "451 4.3.0 later"
    relay = start_relay(QUICK_RETRY + upstream_to(sink.port))
    assert try_to_send(relay, "kept", 200_000) == 250
    assert relay.terminate() == 0
    database = relay.data / "queue.db"
    queue = database.read_bytes()
    database.unlink()
    if lost == "empty":
        database.touch()
    contents = {path.name: path.read_bytes() for path in (relay.data / "content").iterdir()}
    relay.launch()
    assert relay.process.wait(30) != 0
    assert str(database) in relay.errors() and "nothing was touched" in relay.errors(), relay.errors()
    assert contents and {path.name: path.read_bytes() for path in (relay.data / "content").iterdir()} == contents
    sink.answer = None
    database.write_bytes(queue)
    relay.start()
    relay.wait_empty()
    all_arrived(["kept"], sink)


def test_a_log_that_cannot_be_moved_is_told_once_and_takes_mail_all_the_same(start_relay, sink):
    """queue.db can't be written, its log can: nothing is refused, and what was taken is moved when the disk is mended."""
    relay = start_relay(upstream_to(sink.port))
    relay.command("upstream", "disable", "sink")
    size, many = 60_000, 1_000  # more than the 12,000 pages from which on the log is moved; none of them a file
    acknowledged = []

    def fill(numbers):
        for number in numbers:
            assert try_to_send(relay, f"c{number}", size) == 250
            acknowledged.append(f"c{number}")

    with Fault(relay, "pwrite64", "error=EIO", path=relay.data / "queue.db") as fault:
        fill(range(many))
        relay.wait_event("checkpoint_failed")
        fill(range(many, many + 20))
        assert fault.injected()
    assert len(relay.events("checkpoint_failed")) == 1 and not relay.events("store_broken")
    more = iter(range(many + 20, many + 1000))

    def recovered():
        fill([next(more)])
        return relay.events("checkpoint_recovered")

    wait_until(recovered, 60, relay.log_tail)  # it is tried again after ten seconds, at a commit
    relay.command("upstream", "enable", "sink")
    relay.wait_empty()
    all_arrived(acknowledged, sink)
