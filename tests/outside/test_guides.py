"""docs/office365.md and docs/google.md, done as they are written: their commands, from an empty folder to a delivered mail.

The commands are those of the blocks that begin with ```sh tested. Nothing of them is changed but for the port of the
listener. Between them the test does what the text says in words: it registers the application (here that is done already),
writes its id, signs in as a person. What leads to the provider is led to the servers of the test by lines in the file.
"""

import os
import re
import signal
import subprocess
import threading

import pytest

from authorization_server import PERSON, SECRET, Browser
from network import free_port, port_answers, wait_until
from relay import ROOT, binary, clean_environment

SCOPE = "openid offline_access SMTP.Send"


def commands(guide, way=""):
    """The guide's commands, in order: those of the usual way, or of another."""
    text = (ROOT / "docs" / guide).read_text()
    found = re.findall(rf"^```sh tested{way}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    blocks = [block.replace("\\\n ", "") for block in found]
    found = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert found, f"{guide} has no blocks to test"
    return found


class Follower:
    """Somebody who follows a guide in an empty folder, with `mailsluice` in the path."""

    def __init__(self, folder, exchange, server):
        self.folder, self.exchange, self.server = folder, exchange, server
        self.port = free_port()
        self.running = []
        self.outputs = {}
        (folder / "bin").mkdir()
        (folder / "bin" / "mailsluice").symlink_to(binary())
        self.home = folder / "relay"
        self.home.mkdir()
        self.file = self.home / "config" / "mailsluice.toml"

    def close(self):
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(20)

    def do(self, command):
        """One command of the guide, to its end; `run` goes on, `connect` meets a person."""
        if command == "mailsluice run":
            self.launch(command)
            wait_until(lambda: port_answers(self.port), 30, lambda: self.said(command))
        elif re.fullmatch(r"mailsluice connect \S+", command):
            self.sign_in(command)
        else:
            process = self.launch(command)
            assert process.wait(90) == 0, f"{command}: {self.said(command)}"
        if command.startswith("mailsluice init"):
            self.lead_to_the_test()

    def launch(self, command):
        file = self.folder / f"output-{len(self.outputs)}"
        self.outputs[command] = file
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        # Its own output may be sent to a file by the command itself.
        with file.open("wb") as out:
            process = subprocess.Popen(
                ["sh", "-c", command.replace("127.0.0.1:2525", f"127.0.0.1:{self.port}")], cwd=self.home,
                env=clean_environment() | {"PATH": path}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )
        self.running.append(process)
        return process

    def said(self, command):
        return self.outputs[command].read_text(errors="replace")

    def sign_in(self, command):
        process = self.launch(command)
        expected = r"\b[A-Z]{4}-[A-Z]{4}\b|" + re.escape(self.server.url) + r"/auth\?\S+"
        shown = wait_until(lambda: re.search(expected, self.said(command)), 20, lambda: self.said(command)).group()
        if shown.startswith("http"):
            threading.Thread(target=Browser().open, args=(shown,), daemon=True).start()
        else:
            self.server.approve(shown)
        assert process.wait(30) == 0, self.said(command)
        assert PERSON in self.said(command)

    def lead_to_the_test(self):
        """The provider's addresses become those of the test, and the application's id that of its client."""
        text = self.file.read_text()
        lines = {
            "[[upstream]]": ['host = "localhost"', f"port = {self.exchange.port}", f'ca_file = "{self.exchange.ca_file}"',
                             'security = "starttls"'],
            "[[oauth]]": [f'token_url = "{self.server.url}/token"', f'scope = "{SCOPE}"'],
        }
        flow = re.search(r'^flow = "(\w+)"', text, re.MULTILINE)
        if flow is None or flow.group(1) == "device_code":
            lines["[[oauth]]"].append(f'device_url = "{self.server.url}/device/auth"')
        else:
            lines["[[oauth]]"].append(f'authorize_url = "{self.server.url}/auth"')
        for head, more in lines.items():
            assert text.count(head) == 1, text
            text = re.sub(rf"^{re.escape(head)}.*$", lambda found, more=more: "\n".join([found.group(), *more]), text, flags=re.MULTILINE)
        client = "desktop" if "client_secret" in text else "relay"
        text = re.sub(r'^client_id = "[^"]*"', f'client_id = "{client}"', text, flags=re.MULTILINE)
        self.file.write_text(text + f'[[listener]]\naddress = "127.0.0.1:{self.port}"\n')


@pytest.fixture
def follower(tmp_path, exchange, authorization_server):
    follower = Follower(tmp_path, exchange, authorization_server)
    yield follower
    follower.close()


@pytest.mark.parametrize("guide", ["office365.md", "google.md"])
def test_a_guide_leads_to_a_delivered_mail(guide, follower, exchange):
    steps = commands(guide)
    if any("client-secret" in step for step in steps):
        (follower.home / "client-secret").write_text(SECRET + "\n")
        (follower.home / "client-secret").chmod(0o600)
    for command in steps:
        follower.do(command)
    mail = exchange.wait_mail(sum(step.startswith(("mailsluice send", "swaks")) for step in steps), what=lambda: str(follower.outputs))
    assert {address for each in mail for address in each["to"]} == {"customer@elsewhere.example"}
    assert {each["user"] for each in mail} == {PERSON} and all(login["accepted"] for login in exchange.logins())
    assert any(step.startswith("mailsluice init") for step in steps) and "mailsluice run" in steps


def run(folder, *words):
    return subprocess.run(
        [binary(), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=clean_environment(),
        stdin=subprocess.DEVNULL,
    )


def test_init_writes_ten_lines_at_most_and_never_over_a_file(tmp_path):
    done = run(tmp_path, "init", "--preset", "office365", "--address", "a@firm.example")
    assert done.returncode == 0, done.stderr
    [file] = tmp_path.rglob("mailsluice.toml")
    text = file.read_text()
    assert len(text.splitlines()) <= 10, text
    checked = run(tmp_path, "check")
    assert checked.returncode == 0, checked.stderr
    again = run(tmp_path, "init", "--preset", "office365", "--address", "b@firm.example")
    assert again.returncode == 1 and file.read_text() == text, again.stderr


@pytest.mark.parametrize("preset", ["office365", "gmail", "google-workspace", "sendgrid"])
@pytest.mark.parametrize("way", ["device_code", "client_credentials", "authorization_code", "password"])
def test_what_init_writes_passes_check_or_it_says_why_not(preset, way, tmp_path):
    (tmp_path / "secret").write_text("a secret\n")
    (tmp_path / "secret").chmod(0o600)
    words = ["--address", "a@firm.example", "--sign-in", way, "--client-id", "11111111-2222-3333-4444-555555555555"]
    needs_secret = way in ("password", "client_credentials") or "google" in preset or preset == "gmail"
    done = run(tmp_path, "init", "--preset", preset, *words, *(["--secret-file", "secret"] if needs_secret else []))
    files = list(tmp_path.rglob("mailsluice.toml"))
    if done.returncode == 0:
        assert len(files) == 1 and run(tmp_path, "check").returncode == 0, files[0].read_text()
    else:
        assert done.returncode == 2 and way in done.stderr and not files, done.stderr
    assert "a secret" not in done.stdout + done.stderr


def test_init_never_asks_without_a_terminal(tmp_path):
    done = run(tmp_path, "init")
    assert done.returncode == 2 and "--preset" in done.stderr and not list(tmp_path.iterdir()), done.stderr
