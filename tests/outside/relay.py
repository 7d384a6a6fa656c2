"""The relay under test: one process with a folder, a port and a log of its own."""

import json
import os
import signal
import socket
import subprocess
from http.client import HTTPConnection
from pathlib import Path

from network import free_port, port_answers, wait_until

ROOT = Path(__file__).resolve().parents[2]


def target_folder():
    """Where cargo puts what it makes."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def binary():
    """The program to test: MAILSLUICE_BIN, else what `cargo build` or `cargo test` left."""
    named = os.environ.get("MAILSLUICE_BIN")
    path = Path(named) if named else target_folder() / "debug" / "mailsluice"
    assert path.is_file(), f"{path} is missing: run ./test.sh, or cargo build, or set MAILSLUICE_BIN"
    return str(path)


class Relay:
    """Writes the configuration into `folder`, starts the relay there, and reads its log.

    `config` is everything but listener, data_dir and log, which are the test's business. `wrapper` is a command line
    that runs before the binary's, such as strace's.
    """

    def __init__(self, folder, config, wrapper=(), top="", level="info"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.data = self.folder / "data"
        self.file = self.folder / "mailsluice.toml"
        self.log_file = self.folder / "log"
        self.error_file = self.folder / "stderr"
        self.wrapper = list(wrapper)
        self.level = level
        # What `run` gets besides the environment of the test.
        self.environment = {}
        self.process = None
        self.write(config, top)

    def write(self, config, top=""):
        # Many relays run at the same time: the usual address would be had by one of them.
        console = "" if "[console]" in config + top else '[console]\naddress = "off"\n'
        self.file.write_text(
            f'hostname = "relay.test"\ndata_dir = "data"\n{top}\n[log]\nformat = "json"\nlevel = "{self.level}"\n'
            f'[[listener]]\naddress = "127.0.0.1:{self.port}"\n{config}\n{console}'
        )

    def start(self, seconds=30):
        """Starts the process and returns when it takes connections."""
        self.launch()
        wait_until(lambda: self._up(), seconds, lambda: f"the relay to start: {self.errors()} {self.log_tail()}")
        return self

    def launch(self):
        """Starts the process without waiting for anything."""
        with self.log_file.open("ab") as out, self.error_file.open("ab") as err:
            self.process = subprocess.Popen(
                [*self.wrapper, binary(), "run", "--config", str(self.file)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=clean_environment() | self.environment,
                start_new_session=True,
            )

    def pid(self):
        """The relay's own process id, also below a wrapper."""
        if not self.wrapper:
            return self.process.pid
        name = Path(binary()).name
        for child in Path("/proc").glob("[0-9]*"):
            try:
                words = (child / "stat").read_text().rsplit(")", 1)
                if words[0].endswith(f"({name}") and int(words[1].split()[1]) == self.process.pid:
                    return int(child.name)
            except OSError:
                continue
        return None

    def kill(self):
        """kill -9, as a power cut would: nothing is finished."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(20)

    def terminate(self, seconds=30):
        """SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            pid = self.pid()
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the relay did not stop within {seconds} s of SIGTERM: {self.log_tail()}") from None

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def command(self, *words, check=True, seconds=60):
        """Runs one of the relay's commands with --json, and returns what it prints, parsed where it is JSON."""
        done = subprocess.run(
            [binary(), "--config", str(self.file), "--json", *words],
            capture_output=True, text=True, timeout=seconds, env=clean_environment(), check=False,
        )
        if check:
            assert done.returncode == 0, f"mailsluice {' '.join(words)}: {done.returncode} {done.stderr}"
            return json.loads(done.stdout) if done.stdout.strip() else None
        return done

    def text(self, *words):
        """What one of the relay's commands prints for people."""
        return subprocess.run(
            [binary(), "--config", str(self.file), *words], capture_output=True, text=True, timeout=60, env=clean_environment(), check=True,
        ).stdout

    def ask(self, method, path, body=None, kind="application/json", seconds=20):
        """What the control interface answers below /api/v1: status, header and octets."""
        connection = ControlConnection(self.data / "control.sock", seconds)
        try:
            connection.request(method, f"/api/v1/{path}", body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def api(self, path):
        """The octets that the control interface answers to a GET below /api/v1."""
        return self.ask("GET", path)[2]

    def queue(self):
        return self.command("queue", "list", "--limit", "100000")

    def queued(self):
        """How many messages are in the queue, in any state."""
        return sum(self.command("status")["queue"].values())

    def wait_empty(self, seconds=60):
        wait_until(lambda: self.queued() == 0, seconds, lambda: f"an empty queue: {self.command('status')} {self.log_tail()}")

    def events(self, name=None, **fields):
        """The log's events, parsed; every finished line must be one JSON object."""
        found = []
        for line in self.log_file.read_text().split("\n")[:-1]:
            event = json.loads(line)
            if (name is None or event["event"] == name) and all(str(event.get(k)) == str(v) for k, v in fields.items()):
                found.append(event)
        return found

    def wait_event(self, name, count=1, seconds=30, **fields):
        return wait_until(
            lambda: (found := self.events(name, **fields)) and len(found) >= count and found,
            seconds, lambda: f"{count} × {name} {fields}: {self.log_tail()}",
        )

    def captured(self):
        """The messages in the captured mailbox, oldest first, as stored."""
        files = [path for path in (self.data / "captured" / "new").glob("*") if path.is_file()]
        return [path.read_bytes() for path in sorted(files, key=lambda p: (p.stat().st_mtime_ns, p.name))]

    def errors(self):
        return self.error_file.read_text(errors="replace") if self.error_file.exists() else ""

    def log_tail(self):
        return self.log_file.read_text(errors="replace")[-3000:] if self.log_file.exists() else ""

    def _up(self):
        assert self.process.poll() is None, f"the relay ended with {self.process.returncode}: {self.errors()} {self.log_tail()}"
        return port_answers(self.port)


class ControlConnection(HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path, seconds=20):
        super().__init__("localhost", timeout=seconds)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        # The name of a socket is at most 107 octets long, that of a test's folder may be longer.
        folder = os.open(os.path.dirname(self.path), os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(self.path)}")
        finally:
            os.close(folder)


def clean_environment():
    """The environment without what would override the test's configuration."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MAILSLUICE")}
