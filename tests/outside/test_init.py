"""`mailsluice init` at a terminal: it asks, writes once, and keeps the secret to itself."""

import os
import pty
import select
import stat
import subprocess
import time

from relay import binary, clean_environment


class Terminal:
    """A program with a terminal of its own, and a person who answers."""

    def __init__(self, folder, *words):
        master, slave = pty.openpty()
        self.master = master
        self.process = subprocess.Popen(
            [binary(), *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=clean_environment(),
            start_new_session=True, preexec_fn=take_terminal,
        )
        os.close(slave)
        self.text = ""

    def read(self, until=None, seconds=20):
        """Reads what is said, up to some words, or to the end."""
        end = time.monotonic() + seconds
        while until is None or until not in self.text:
            assert time.monotonic() < end, f"waited in vain for {until!r}: {self.text}"
            if not select.select([self.master], [], [], 0.2)[0]:
                continue
            try:
                octets = os.read(self.master, 65536)
            except OSError:
                octets = b""
            if not octets:
                assert until is None, f"it ended before {until!r}: {self.text}"
                break
            self.text += octets.decode()
        if until is not None:
            self.text = self.text.split(until, 1)[1]

    def answer(self, question, typed):
        self.read(question)
        os.write(self.master, f"{typed}\n".encode())

    def close(self):
        self.read()
        status = self.process.wait(20)
        os.close(self.master)
        return status


def take_terminal():
    """Makes stdin the terminal of this session, so that /dev/tty is it."""
    import fcntl
    import termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_init_asks_for_what_it_must_know(tmp_path):
    person = Terminal(tmp_path, "init")
    person.answer("Provider", "no such thing")
    person.answer("no provider that is known", "gmx")
    person.answer("Address of the mailbox", "a@gmx.example")
    person.answer("Password (is not shown)", "s3cr3t-canary")
    person.read("mailsluice run")
    assert person.close() == 0
    assert "s3cr3t-canary" not in person.text, "the terminal shows the password"
    file = tmp_path / "config" / "mailsluice.toml"
    secret = tmp_path / "config" / "gmx.password"
    assert "s3cr3t-canary" not in file.read_text()
    assert secret.read_text() == "s3cr3t-canary\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    checked = subprocess.run([binary(), "check"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    again = Terminal(tmp_path, "init")
    again.read("there is a configuration already")
    assert again.close() == 1


def test_who_gives_up_leaves_nothing(tmp_path):
    person = Terminal(tmp_path, "init")
    person.answer("Provider", "gmx")
    person.read("Address of the mailbox")
    os.write(person.master, b"\x04")
    assert person.close() == 1
    assert not list(tmp_path.iterdir())


def test_run_without_a_configuration_points_to_init(tmp_path):
    person = Terminal(tmp_path, "run")
    person.read("make one with: mailsluice init")
    assert person.close() == 2
