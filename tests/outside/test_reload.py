"""SIGHUP and `mailsluice reload`: another configuration without a restart; a bad one changes nothing. And held mail."""

import signal
import smtplib

import reloads
from conftest import upstream_to
from messages import SAMPLES

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


def test_reload_by_command_says_what_needs_a_restart(start_relay):
    relay = start_relay(CAPTURE)
    relay.write(CAPTURE + "[session]\nmax_connections = 7\nmax_connections_per_client = 7\n")
    assert "max_connections" in str(relay.command("reload")["after_restart"])


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
