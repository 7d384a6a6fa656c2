"""Servers that run on Node, each with a control port at which the test says how it behaves and reads what it saw."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

from network import free_port, wait_until
from relay import target_folder

PROGRAMS = Path(__file__).resolve().parent / "node"


class NodeProgram:
    """A program of tests/outside/node: gets its ports and `order` as JSON, says "ready", ends with the test."""

    program = None

    def __init__(self, folder, **order):
        self.folder = Path(folder)
        self.port = free_port()
        self.control_port = free_port()
        self.modules = target_folder() / "outside-node" / "node_modules"
        self.order = {"port": self.port, "control": self.control_port, "modules": str(self.modules), **order}
        self.process = None

    def start(self):
        out, err = self.folder / f"{self.program}.out", self.folder / f"{self.program}.err"
        with out.open("wb") as said, err.open("wb") as complained:
            self.process = subprocess.Popen(
                ["node", str(PROGRAMS / self.program), json.dumps(self.order)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=complained, env=environment(self.modules), start_new_session=True,
            )
        wait_until(lambda: self._ready(out), 30, lambda: f"{self.program}: {out.read_text()} {err.read_text()}")
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(20)

    def ask(self, path, data=None):
        """One request to the control port: a GET, or a POST of JSON."""
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}{path}", body, timeout=20) as answer:
            octets = answer.read()
        return json.loads(octets) if octets else None

    def said(self):
        """What it wrote, for a failed test."""
        return (self.folder / f"{self.program}.err").read_text(errors="replace")[-4000:]

    def _ready(self, out):
        assert self.process.poll() is None, f"{self.program} ended: {self.said()}"
        return "ready" in out.read_text()


def environment(modules):
    """What Node needs to find its packages, and nothing that would change how it runs."""
    kept = {key: value for key, value in os.environ.items() if key != "NODE_OPTIONS"}
    return kept | {"NODE_PATH": str(modules)}
