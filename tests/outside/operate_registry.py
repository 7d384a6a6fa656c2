"""Which step does which command and which request of the control interface. What has no step fails the test."""

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Callable

from operate_desk import API, CLI
from relay import binary, clean_environment

# They need no running relay; each has tests of its own.
NEED_NO_RELAY = {
    "run", "init", "connect", "store check", "store salvage", "dkim generate", "dkim record", "dkim check", "hash-password",
    "completions", "man",
}
# A one-time link for a browser.
BROWSER = {"console-link"}
# What only a sign-in at a provider can give.
NEED_A_PROVIDER = {"PUT /sign-ins/{name}"}


@dataclass
class Step:
    """`run(desk, way)` does it and compares its answers. `command` and `route` are what it does by either way, if it can."""

    command: str | None
    route: str | None
    run: Callable

    def ways(self, known):
        """The ways by which this binary can go it, given its commands and requests."""
        found = []
        for way, what in ((CLI, self.command), (API, self.route)):
            if what in known:
                found.append(way)
            else:
                assert what is None, f"there is a step for `{what}`, and no such command or request"
        return found

    def name(self, way):
        return self.command if way == CLI else self.route


STEPS = []


def step(command=None, route=None):
    """Registers a function as what does this command, and this request."""

    def register(run):
        STEPS.append(Step(command, route, run))
        return run

    return register


def commands(words=()):
    """All commands of the binary, as its help lists them."""
    done = subprocess.run([binary(), *words, "--help"], capture_output=True, text=True, timeout=20, env=clean_environment(), check=True)
    listed = re.search(r"^Commands:\n((?: .*\n|\n)+)", done.stdout, re.MULTILINE)
    names = re.findall(r"^  (\S+)", listed.group(1), re.MULTILINE) if listed else []
    below = [commands((*words, name)) for name in names if name != "help"]
    # One with others below it may be used without them, too: then a line of its usage does not end with one.
    usage = re.search(r"^Usage: ((?:.+\n)+)", done.stdout, re.MULTILINE).group(1)
    is_one = any(not line.endswith(" <COMMAND>") for line in usage.splitlines())
    return set().union({" ".join(words)} if is_one else (), *below)


def routes(relay):
    """All requests of the control interface, as it describes itself, below its root."""
    paths = json.loads(relay.api("openapi.json"))["paths"]
    return {f"{method.upper()} {path.removeprefix('/api/v1')}" for path, methods in paths.items() for method in methods}


def without_step(known):
    """The commands and requests that no step does."""
    done = {step.command for step in STEPS} | {step.route for step in STEPS}
    return sorted(known - done - NEED_NO_RELAY - BROWSER - NEED_A_PROVIDER)
