"""The control interface at the console's address: its own description holds (Schemathesis), with a token and without."""

import hashlib
import json
import os
import smtplib
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from messages import SAMPLES
from network import free_port

CAPTURE = '[[upstream]]\nname = "local"\nkind = "capture"\n'
TOKENS = {"admin": "an-admins-token", "viewer": "a-viewers-token", None: None}
HOOKS = Path(__file__).with_name("api_hooks.py")
METHODS = "unsupported_method,allow_header_conformance"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    f"response_schema_conformance,negative_data_rejection,{METHODS}"
)


def token(role, text):
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'[[api_token]]\nname = "{role}"\nhash = "sha256:{digest}"\nrole = "{role}"\n'


class Console:
    """A relay with the interface at an address of its own."""

    def __init__(self, start_relay, more=CAPTURE):
        self.port = free_port()
        self.relay = start_relay(self.config(TOKENS, more))

    def config(self, tokens, more=CAPTURE):
        all_tokens = "".join(token(role, text) for role, text in tokens.items() if role)
        return f'[console]\naddress = "127.0.0.1:{self.port}"\n{all_tokens}{more}'

    def ask(self, method, path, text=None):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {text}"} if text else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


# What goes on for as long as somebody reads it, and has tests of its own.
ENDLESS = ("/events", "/trace")


@pytest.mark.parametrize("role", TOKENS)
def test_the_description_holds(role, start_relay, tmp_path):
    console = Console(start_relay)
    document = tmp_path / "openapi.json"
    description = json.loads(console.relay.api("openapi.json"))
    if role is None:
        # Else it would try tokens of its own, each of which waits for its refusal longer than the one before.
        del description["components"]["securitySchemes"]
        for operations in description["paths"].values():
            for operation in operations.values():
                operation.pop("security", None)
    document.write_text(json.dumps(description))
    words = [
        sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", f"http://127.0.0.1:{console.port}",
        "--exclude-path-regex", f"({'|'.join(ENDLESS)})$", "--max-examples", "10",
        # What a viewer may not do was refused before its parameters were looked at.
        "--phases", "fuzzing" if role == "viewer" else "coverage,fuzzing",
        "--seed", "15", "--generation-database", "none", "--request-timeout", "30", "--warnings", "off", "--no-color",
        "--continue-on-failure", "--checks", CHECKS if role else CHECKS.replace(METHODS, "refused"),
    ]
    if role:
        words += ["--header", f"Authorization: Bearer {TOKENS[role]}"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONPATH": str(HOOKS.parent)}
    if role is None:
        environment["API_REFUSES"] = "1"
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = sum(len(operations) for path, operations in description["paths"].items() if not path.endswith(ENDLESS))
    assert tested > 30 and f"Tested: {tested}\n" in done.stdout, done.stdout
    assert console.relay.process.poll() is None
    assert not console.relay.events("panic"), console.relay.log_tail()


def test_the_log_is_read_along(start_relay):
    console = Console(start_relay)
    with socket.create_connection(("127.0.0.1", console.port), timeout=20) as reader:
        head = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['viewer']}\r\n\r\n"
        reader.sendall(head.encode())
        lines = reader.makefile("rb")
        while lines.readline() != b"\r\n":
            pass
        with smtplib.SMTP("127.0.0.1", console.relay.port, timeout=20) as client:
            client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])
        wanted = iter(["accepted", "captured"])
        name = next(wanted)
        for line in lines:
            if line == f"event: {name}\n".encode():
                data = json.loads(lines.readline().removeprefix(b"data: "))
                assert data["event"] == name and "office@firm.example" in data["from"], data
                name = next(wanted, None)
                if name is None:
                    break
    assert name is None


def test_a_reload_changes_who_comes_in(start_relay):
    console = Console(start_relay)
    assert console.ask("GET", "/api/v1/limits", TOKENS["viewer"])[0] == 200
    console.relay.write(console.config({"viewer": "another-token"}))
    changed = console.relay.command("reload")["changed"]
    assert changed == ["api_token viewer: changed", "api_token admin: gone"]
    assert console.ask("GET", "/api/v1/limits", "another-token")[0] == 200
    for gone in (TOKENS["viewer"], TOKENS["admin"]):
        status, body = console.ask("GET", "/api/v1/limits", gone)
        assert status == 401 and json.loads(body)["type"] == "urn:mailsluice:problem:no-token"
    assert len(console.relay.events("token_refused")) == 2
    before, console.port = console.port, free_port()
    console.relay.write(console.config({"viewer": "another-token"}))
    assert console.relay.command("reload")["changed"] == ["console.address"]
    assert console.ask("GET", "/readyz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", before), timeout=20)


def test_an_address_that_is_taken(start_relay):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay = start_relay(CAPTURE)
        relay.write(f'[console]\naddress = "127.0.0.1:{port}"\n{CAPTURE}')
        done = relay.command("reload", check=False)
        assert done.returncode == 2 and f"cannot listen at 127.0.0.1:{port} for the console" in done.stderr, done
        assert relay.command("status")["listeners"], "the old configuration is in force"
