"""SIGHUP and `mailsluice reload`: another configuration without a restart; a bad one changes nothing. And held mail."""

import signal
import smtplib
import socket

import pytest
import reloads
from conftest import upstream_to
from messages import SAMPLES
from network import free_port, port_answers

CAPTURE = '[[upstream]]\nname = "local"\nkind = "capture"\n'


def send(relay, to="customer@elsewhere.example"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.sendmail("office@firm.example", [to], SAMPLES["plain"])


def test_sighup_puts_another_upstream_in_force(start_relay, sink):
    relay = start_relay(CAPTURE)
    send(relay)
    relay.wait_event("captured")
    relay.write(upstream_to(sink.port))
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_event("config_reloaded")
    send(relay)
    relay.wait_event("sent")
    assert relay.process.poll() is None


def test_a_bad_file_is_reported_and_the_old_one_stays(start_relay):
    relay = start_relay(CAPTURE)
    relay.write('[[upstream]]\nname = "x"\nkind = "smoke signals"\nhots = "y"\n')
    done = relay.command("reload", check=False)
    assert done.returncode == 2 and "hots" in done.stderr, done
    relay.process.send_signal(signal.SIGHUP)
    faults = relay.wait_event("config_not_reloaded", count=2)
    assert any("hots" in fault["reason"] for fault in faults), faults
    send(relay)
    relay.wait_event("captured")


def test_reload_lists_what_has_changed_and_status_shows_it(start_relay):
    relay = start_relay(CAPTURE)
    other = free_port()
    relay.write(f'[[listener]]\naddress = "127.0.0.1:{other}"\n{CAPTURE}[queue]\nmax_messages = 7\n')
    assert listeners(relay) == [relay.port], "the file is not what is in force"
    assert relay.command("reload")["changed"] == [f"listener 127.0.0.1:{other}: new", "queue.max_messages"]
    assert sorted(listeners(relay)) == sorted([relay.port, other])
    assert port_answers(other)
    relay.write(CAPTURE)
    assert f"listener 127.0.0.1:{other}: gone" in relay.command("reload")["changed"]
    assert listeners(relay) == [relay.port] and not port_answers(other)
    assert relay.command("reload")["changed"] == []


def listeners(relay):
    return [int(listener["address"].rsplit(":", 1)[1]) for listener in relay.command("status")["listeners"]]


def test_a_listener_that_cannot_be_had_changes_nothing(start_relay):
    relay = start_relay(CAPTURE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay.write(f'[[listener]]\naddress = "127.0.0.1:{port}"\n[queue]\nmax_messages = 1\n{CAPTURE}')
        done = relay.command("reload", check=False)
    assert done.returncode == 2 and f"cannot listen at 127.0.0.1:{port}" in done.stderr, done
    assert listeners(relay) == [relay.port]
    for _ in range(3):
        send(relay)
    relay.wait_event("captured", count=3)


def test_ceilings_and_the_level_of_the_log_hold_at_once(start_relay):
    relay = start_relay('[[upstream]]\nname = "local"\nkind = "capture"\nenabled = false\n[queue]\nmax_messages = 1\n')
    send(relay)
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(relay)
    assert refused.value.smtp_code == 452
    assert not relay.events("session_start")
    relay.level = "debug"
    relay.write('[[upstream]]\nname = "local"\nkind = "capture"\nenabled = false\n[queue]\nmax_messages = 2\n')
    relay.command("reload")
    send(relay)
    relay.wait_event("session_start")
    assert relay.queued() == 2


def test_a_watched_file_is_read_when_a_link_leads_to_another(start_relay):
    """As Kubernetes exchanges a mounted file: a link to a folder is replaced, the file's own path stays."""
    relay = start_relay(CAPTURE, top="watch = true")
    file = relay.file
    for number, name in enumerate(["one", "two"], 1):
        (relay.folder / name).mkdir()
        relay.file = relay.folder / name / file.name
        relay.write(f"{CAPTURE}[queue]\nmax_messages = {number}\n", top="watch = true")
    (relay.folder / "..data").symlink_to("one")
    (relay.folder / "new").symlink_to(f"..data/{file.name}")
    (relay.folder / "new").rename(file)
    relay.wait_event("config_reloaded", changed="queue.max_messages")
    (relay.folder / "..new").symlink_to("two")
    (relay.folder / "..new").rename(relay.folder / "..data")
    relay.wait_event("config_reloaded", count=2, changed="queue.max_messages")
    assert not relay.events("config_not_reloaded")


def test_a_watched_secret_is_read_when_it_changes(start_relay, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("first\n")
    secret.chmod(0o600)
    login = f'allow_plaintext_auth = true\nuser = "anna"\npassword = {{ file = "{secret}" }}'
    relay = start_relay(upstream_to(9, login), top="watch = true")
    secret.write_text("another, and longer\n")
    reloaded = relay.wait_event("config_reloaded")[0]
    assert "upstream sink" in reloaded["changed"], reloaded


def test_held_mail_goes_where_a_person_says(start_relay, sink):
    relay = start_relay(upstream_to(sink.port))
    relay.command("test-mode", "on", "--action", "hold", "--address", "test@firm.example")
    for name in ("one", "two"):
        send(relay, f"{name}@elsewhere.example")
    first, second = (message["queue_id"] for message in relay.queue())
    relay.command("test-mode", "off")
    assert relay.command("queue", "retry", first, check=False).returncode == 1
    relay.command("queue", "release", first, "--to", "test")
    relay.command("queue", "release", second, "--to", "recipients")
    relay.wait_empty()
    sent = relay.wait_event("sent", count=2)
    assert {event["to"] for event in sent} == {"test@firm.example", "two@elsewhere.example"}, sent


def test_reloads_under_load_lose_nothing(tmp_path):
    load, sink, totals = reloads.rounds(tmp_path, 15, seed=20261125)
    faults, figures = reloads.verdict(load, sink, totals)
    print(figures)
    assert not faults, (faults, figures)
    assert len(load.acknowledged) > 15, figures
