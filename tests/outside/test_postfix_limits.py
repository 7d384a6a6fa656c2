"""A real Postfix that limits its clients: connections at a time, messages in a while, messages a session."""

import collections
import re
import smtplib
import socketserver
import tempfile
import threading
import time
from pathlib import Path

import pytest

from messages import compose
from postfix import MAIN, Postfix
from test_postfix_upstream import CUSTOMER, SENDER, six_lines

# Who sends from the own machine is exempt otherwise.
LIMITED = MAIN + "smtpd_client_event_limit_exceptions =\n"


class Policy:
    """A policy service for Postfix (SMTPD_POLICY_README), which answers MAIL as `decide(attributes)` says."""

    def __init__(self, decide):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                attributes = {}
                for line in self.rfile:
                    name, _, value = line.decode().rstrip("\n").partition("=")
                    if name:
                        attributes[name] = value
                        continue
                    self.wfile.write(f"action={decide(attributes)}\n\n".encode())
                    attributes = {}

        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        self.main = (
            f"smtpd_delay_reject = no\nsmtpd_sender_restrictions = check_policy_service inet:127.0.0.1:{port}\n"
        )

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def start_postfix():
    """Starts Postfixes with limits: `start_postfix(more lines of main.cf, decide)`."""
    with tempfile.TemporaryDirectory(prefix="mailsluice-postfix-", dir="/tmp") as folder:
        started, policies = [], []

        def start(more, decide=None):
            server = Postfix(Path(folder) / f"instance{len(started)}")
            if decide:
                policies.append(Policy(decide))
                more += policies[-1].main
            server.main = LIMITED + more
            server.start()
            started.append(server)
            return server

        yield start
        for server in started:
            server.stop()
        for policy in policies:
            policy.stop()


def send_many(relay, count):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        for number in range(count):
            client.sendmail(SENDER, [CUSTOMER], compose(b"text\r\n", number=number))


def assert_all_arrived_once(relay, postfix, count):
    relay.wait_empty(seconds=10)
    numbers = [int(re.search(rb"^X-Number: (\d+)", content, re.MULTILINE)[1]) for content in postfix.wait_for(count)]
    assert sorted(numbers) == list(range(count))
    assert not relay.events("bounced") and not relay.events("expired")


def wait_sent(relay, count, seconds):
    """The seconds until everything has gone."""
    start = time.monotonic()
    relay.wait_event("sent", count, seconds)
    return time.monotonic() - start


@pytest.mark.timeout(180)
def test_fewer_connections_are_learned_from_those_that_are_refused(start_postfix, start_relay, tmp_path):
    def decide(_):
        # Slow enough that every connection that may be is wanted.
        time.sleep(0.2)
        return "DUNNO"

    postfix = start_postfix("smtpd_client_connection_count_limit = 2\n", decide)
    relay = start_relay(six_lines(postfix, tmp_path) + "[upstream.limits]\nconnections = 10\n")
    send_many(relay, 100)
    wait_sent(relay, 100, 120)
    assert_all_arrived_once(relay, postfix, 100)
    refused = re.findall("Connection concurrency limit exceeded", postfix.log())
    slowed = relay.events("slowed")
    assert 1 <= len(refused) <= 15, (len(refused), slowed)
    assert slowed and slowed[-1]["pace"] in ("1 connections", "2 connections"), slowed


@pytest.mark.timeout(400)
def test_the_pace_is_learned_from_messages_that_are_refused(start_postfix, start_relay, tmp_path):
    postfix = start_postfix("smtpd_client_message_rate_limit = 20\nanvil_rate_time_unit = 20s\n")
    relay = start_relay(six_lines(postfix, tmp_path) + "[upstream.limits]\nconnections = 3\n")
    send_many(relay, 60)
    wait_sent(relay, 60, 360)
    assert_all_arrived_once(relay, postfix, 60)
    refused = re.findall("Message delivery request rate limit exceeded", postfix.log())
    slowed = relay.events("slowed")
    assert 1 <= len(refused) <= 15, (len(refused), slowed)
    assert slowed and "messages a minute" in slowed[0]["pace"], slowed


@pytest.mark.timeout(180)
def test_messages_a_session_are_learned_without_a_pause(start_postfix, start_relay, tmp_path):
    most, taken = 10, collections.Counter()

    def decide(attributes):
        session = attributes["client_port"]
        taken[session] += 1
        return "DUNNO" if taken[session] <= most else "452 4.5.3 Too many messages in this session"

    postfix = start_postfix("", decide)
    relay = start_relay(six_lines(postfix, tmp_path) + "[upstream.limits]\nconnections = 3\n")
    send_many(relay, 120)
    seconds = wait_sent(relay, 120, 60)
    assert_all_arrived_once(relay, postfix, 120)
    slowed = relay.events("slowed")
    assert f"{most} messages a connection" in [event["pace"] for event in slowed], slowed
    assert len(re.findall("452 4.5.3", postfix.log())) <= 6, slowed
    assert seconds < 30 and not relay.events("deferred"), seconds
