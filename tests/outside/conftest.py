"""What the tests share: a sink, a private Postfix, and relays that are stopped when the test ends."""

import tempfile
from pathlib import Path

import pytest

from postfix import Postfix
from relay import Relay
from sink import Sink


@pytest.fixture
def sink():
    upstream = Sink().start()
    yield upstream
    upstream.stop()


@pytest.fixture
def start_relay(tmp_path):
    """Starts relays: `start_relay(config)`; each has a folder of its own unless one is given."""
    relays = []

    def start(config, folder=None, **options):
        relay = Relay(folder or tmp_path / f"relay{len(relays)}", config, **options)
        relays.append(relay)
        return relay.start()

    yield start
    for relay in relays:
        relay.close()


@pytest.fixture
def relay_to_sink(start_relay, sink):
    """A relay with the sink as its only upstream."""
    return start_relay(upstream_to(sink.port))


@pytest.fixture(scope="session")
def postfix_server():
    with tempfile.TemporaryDirectory(prefix="mailsluice-postfix-", dir="/tmp") as folder:
        server = Postfix(Path(folder) / "instance")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postfix(postfix_server):
    """The private Postfix with an empty mailbox."""
    postfix_server.clear()
    return postfix_server


def upstream_to(port, more=""):
    """The configuration of one upstream in clear text on loopback."""
    return f'[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n{more}\n'
