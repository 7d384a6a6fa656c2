"""Tokens are forced to expire over a hundred times, while the token server fails and the relay is killed: no sign-in is lost.

The server issues a new refresh token each time. *Lenient*: the old one goes on working, as Microsoft has it. *Strict*: whoever
shows an old one loses all.
"""

import json
import smtplib
from collections import Counter

import pytest

from authorization_server import PERSON
from messages import compose
from network import wait_until
from sign_in import NAME, connect, sign_in, upstream

QUEUE = '[queue]\nretry_min = "1s"\nretry_max = "2s"\n'
NO_JSON = {"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>Please try again later</html>"}
NO_TOKEN = {"status": 200, "body": json.dumps({"token_type": "Bearer", "expires_in": 3600})}
BUSY = {"status": 503, "headers": {"content-type": "text/html", "retry-after": "1"}, "body": "busy"}

# What the token server does, and when the relay is killed; thirteen rounds, eight times.
ROUNDS = [
    ("well", {}, None),
    ("late", {"seconds": 60}, "issued"),
    ("well", {}, "logged in"),
    ("slow", {"seconds": 0.3}, None),
    ("down", {}, "failed"),
    ("well", {}, "accepted"),
    ("answer", NO_JSON, "failed"),
    ("well", {}, "delivered"),
    ("answer", NO_TOKEN, "failed"),
    ("cut", {}, "failed"),
    ("well", {}, "refused"),
    ("answer", BUSY, "failed"),
    ("well", {}, None),
]
# And those from which the relay recovers by itself, after a pause.
RECOVERIES = [("down", {}), ("answer", NO_JSON), ("answer", BUSY)]


class Story:
    """A relay with a sign-in at an Exchange, and all the mail that it was given."""

    def __init__(self, relay, exchange, server):
        self.relay, self.exchange, self.server = relay, exchange, server
        self.sent = 0
        self.expirations = 0
        # Tokens that are good no longer, and how many logins there had been by then.
        self.revoked = {}

    def send(self):
        self.sent += 1
        content = compose(b"text\r\n", number=self.sent).replace(b"<fixed@", b"<%d@" % self.sent)
        with smtplib.SMTP("127.0.0.1", self.relay.port, timeout=30) as client:
            client.sendmail("office@firm.example", ["customer@elsewhere.example"], content)

    def arrived(self):
        """How often each number has arrived."""
        numbers = [line for mail in self.exchange.mail() for line in mail["content"].split("\r\n") if line.startswith("X-Number: ")]
        return Counter(int(line.split()[1]) for line in numbers)

    def wait_arrival(self, seconds=30):
        wait_until(lambda: self.arrived()[self.sent], seconds, lambda: f"number {self.sent}: {self.relay.log_tail()}")

    def expire(self):
        """No token that was issued so far is good any longer, and a login is needed."""
        wait_until(self._has_token, 20, lambda: f"a token: {self.relay.log_tail()}")
        issued = {exchange["answer"]["access_token"] for exchange in self.server.exchanges()
                  if "access_token" in (exchange["answer"] or {})}
        logins = len(self.exchange.logins())
        self.exchange.revoke(*(issued - self.revoked.keys()))
        self.revoked |= {token: logins for token in issued - self.revoked.keys()}
        self.expirations += 1

    def _has_token(self):
        [sign_in] = json.loads(self.relay.api("sign-ins"))
        return any(token["expires_at"] for token in sign_in["tokens"])

    def expire_and_send(self, conduct, more, kill_when=None):
        """One round; the token server is well again behind it."""
        self.expire()
        before = {
            "failed": len(self.relay.events("token_failed")), "issued": self.issued(), "refused": len(self.exchange.logins()),
            "logged in": len(self.exchange.logins(accepted=True)),
        }
        self.server.behave(conduct, **more)
        self.send()
        if kill_when is not None:
            reached = {
                "accepted": lambda: True,
                "failed": lambda: len(self.relay.events("token_failed")) > before["failed"],
                "issued": lambda: self.issued() > before["issued"],
                "refused": lambda: len(self.exchange.logins()) > before["refused"],
                "logged in": lambda: len(self.exchange.logins(accepted=True)) > before["logged in"],
                "delivered": lambda: self.arrived()[self.sent],
            }[kill_when]
            wait_until(reached, 20, lambda: f"{conduct}, {kill_when}: {self.relay.log_tail()}")
            self.relay.kill()
            self.server.behave("well")
            self.relay.start()
        elif conduct in ("down", "answer"):
            wait_until(lambda: len(self.relay.events("token_failed")) > before["failed"], 20, self.relay.log_tail)
            self.server.behave("well")
        self.wait_arrival()
        self.server.behave("well")

    def issued(self):
        """How often the server has renewed a token."""
        return sum("access_token" in (exchange["answer"] or {}) for exchange in self.server.exchanges("refresh_token"))

    def assert_all_arrived(self):
        """Each message once, or as often as the log says that it may have."""
        self.relay.wait_empty()
        arrived = self.arrived()
        assert sorted(arrived) == list(range(1, self.sent + 1))
        numbers = {event["queue_id"]: int(event["message_id"].strip("<").split("@")[0]) for event in self.relay.events("accepted")}
        told = Counter(
            numbers[event["queue_id"]] for event in self.relay.events()
            if "possible duplicate" in json.dumps(event) and event.get("queue_id") in numbers
        )
        untold = {number: times for number, times in arrived.items() if times - 1 > told[number]}
        assert not untold, f"arrived more than once, and nobody said so: {untold}"
        assert not self.relay.events("bounced") and not self.relay.events("expired")

    def assert_no_stale_token_twice(self):
        logins = self.exchange.logins()
        again = {token[-8:]: times for token, since in self.revoked.items()
                 if (times := sum(login["token"] == token for login in logins[since:])) > 1}
        assert not again, f"refused tokens that were shown again: {again}"


@pytest.fixture
def story(start_relay, exchange, authorization_server):
    """Somebody has signed in, and the first message has arrived."""
    login = f'oauth = "{NAME}"'
    # One connection: those that log in at the same moment would each show a token before anybody knows that it is stale.
    limits = "[upstream.limits]\nconnections = 1\n"
    relay = start_relay(QUEUE + upstream("microsoft365", exchange, PERSON, login, limits=limits) + sign_in(authorization_server))
    connect(relay, authorization_server)
    story = Story(relay, exchange, authorization_server)
    story.send()
    story.wait_arrival()
    return story


@pytest.mark.timeout(300)
def test_no_sign_in_is_lost(story):
    for conduct, more, kill_when in ROUNDS * 8:
        story.expire_and_send(conduct, more, kill_when)
    for conduct, more in RECOVERIES:
        story.expire_and_send(conduct, more)
    assert story.expirations > 100 and story.issued() > 100
    story.assert_all_arrived()
    story.assert_no_stale_token_twice()
    assert len(story.relay.events("signed_in")) == 1
    assert not [event for event in story.relay.events("token_failed") if event["level"] == "ERROR"]
    assert not story.relay.events("upstream_disabled")


def test_a_token_is_renewed_before_it_expires(story):
    """Tokens of a few seconds, for mail again and again: whoever sends never waits for one, and none is refused."""
    story.server.set(life=4)
    story.relay.terminate()
    story.relay.start()
    story.exchange.clear()
    story.sent = 0
    issued = story.issued()
    while story.issued() < issued + 3:
        story.send()
        story.wait_arrival()
        story.exchange.ask("/", {"cut": True})
        assert story.sent < 2000
    assert all(login["accepted"] for login in story.exchange.logins())
    story.assert_all_arrived()


def test_strict_rotation_and_a_kill_before_the_commit(story):
    """The refresh token that the store knows is spent, the new one was never read: a person is needed, and is told so."""
    story.server.set(strict=True, life=3600)
    # Nowhere else does a kill do harm: neither when nothing was issued nor once the new token is in use.
    for conduct, more, kill_when in [("down", {}, "failed"), ("well", {}, "logged in"), ("answer", BUSY, "failed"), ("well", {}, "delivered")]:
        story.expire_and_send(conduct, more, kill_when)
    story.assert_all_arrived()

    story.expire()
    issued = story.issued()
    story.server.behave("late", seconds=60)
    story.send()
    wait_until(lambda: story.issued() > issued, 20, story.relay.log_tail)
    story.relay.kill()
    story.server.behave("well")
    story.relay.start()
    failed = wait_until(
        lambda: [event for event in story.relay.events("token_failed") if event["level"] == "ERROR"], 20, story.relay.log_tail
    )
    assert f"mailsluice connect {NAME}" in failed[-1]["action"], failed
    wait_until(lambda: [m["waiting_for"] for m in story.relay.queue()] == ["sign_in"], 20, lambda: str(story.relay.queue()))
    shown = story.relay.command("status", "--check", check=False)
    assert shown.returncode == 1 and f"mailsluice connect {NAME}" in shown.stdout, shown.stdout
    # Somebody signs in again, and nothing was lost.
    connect(story.relay, story.server)
    story.wait_arrival()
    story.assert_all_arrived()
    story.assert_no_stale_token_twice()
