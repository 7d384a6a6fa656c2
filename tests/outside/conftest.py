"""What the tests share: servers of other families, and relays that are stopped when the test ends."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from authorization_server import AuthorizationServer
from disk import build_layer
from dns_party import NameServer
from dovecot import Dovecot
from microsoft import Exchange
from postfix import Postfix, make_certificates
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
def disk_layer(tmp_path_factory):
    """What goes between a program and its disk, compiled."""
    return build_layer(tmp_path_factory.mktemp("layer"))


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


@pytest.fixture(scope="session")
def parties_folder():
    """A folder where the servers' processes can walk, whoever they run as."""
    with tempfile.TemporaryDirectory(prefix="mailsluice-parties-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server_tls(parties_folder):
    """A folder with an authority and a certificate for localhost."""
    folder = parties_folder / "tls"
    folder.mkdir()
    make_certificates(folder)
    return folder


@contextmanager
def running(server):
    """Starts it, and ends it also when the start fails."""
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def authorization_server_process(parties_folder):
    with running(AuthorizationServer(parties_folder)) as server:
        yield server


@pytest.fixture
def authorization_server(authorization_server_process):
    """The OAuth server as it is after its start."""
    authorization_server_process.reset()
    return authorization_server_process


@pytest.fixture(scope="session")
def dovecot_process(parties_folder, server_tls, authorization_server_process):
    with running(Dovecot(parties_folder / "dovecot", server_tls, authorization_server_process)) as server:
        yield server


@pytest.fixture
def dovecot(dovecot_process):
    """The private Dovecot, with nothing taken yet."""
    dovecot_process.clear()
    return dovecot_process


@pytest.fixture(scope="session")
def name_server_process(parties_folder):
    with running(NameServer(parties_folder / "nsd")) as server:
        yield server


@pytest.fixture
def name_server(name_server_process):
    """The private name server, with nothing published."""
    return name_server_process.publish({})


@pytest.fixture(scope="session")
def exchange_process(parties_folder, server_tls, authorization_server_process):
    with running(Exchange(parties_folder, server_tls, authorization_server_process.token_key)) as server:
        yield server


@pytest.fixture
def exchange(exchange_process):
    """What answers as Exchange Online does, with nothing seen yet."""
    exchange_process.clear()
    return exchange_process


def upstream_to(port, more=""):
    """The configuration of one upstream in clear text on loopback."""
    return f'[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n{more}\n'
