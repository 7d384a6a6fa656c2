"""Loopback helpers: free ports, and waiting with a limit."""

import fcntl
import socket
import tempfile
import time
from http.server import BaseHTTPRequestHandler


def free_port():
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What this process holds of the ports below, until it ends.
HELD = []


def own_ports():
    """A thousand ports that no connection gets for its own end, and no other process of the tests for as long as this one lives."""
    for first in range(12_000, 32_000, 1_000):
        try:
            lock = open(f"{tempfile.gettempdir()}/mailsluice-test-ports-{first}", "a")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        HELD.append(lock)
        return range(first, first + 1_000)
    raise AssertionError("twenty processes hold all ports: end some")


def wait_until(condition, seconds, what):
    """Calls `condition` until it gives something true, and returns that; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def port_answers(port):
    """Whether something on 127.0.0.1:port takes a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def close_quietly(connection):
    """Closes a client's connection, if there is one, whatever has become of it. Returns what is left: None."""
    if connection is not None:
        try:
            connection.close()
        except OSError:
            pass


class JsonHandler(BaseHTTPRequestHandler):
    """Answers in JSON, and logs nothing."""

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
