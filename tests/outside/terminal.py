"""A program with a terminal of its own, and a person before it."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

from relay import binary, clean_environment

CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """Starts `mailsluice` with these words in `folder`; `text` is all that it has shown."""

    def __init__(self, folder, *words, **environment):
        self.master, slave = pty.openpty()
        # One that this side holds open, too, so that its modes can be looked at when the program has gone.
        self.slave = slave
        self.modes = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [binary(), *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=clean_environment() | environment,
            start_new_session=True, preexec_fn=take_terminal,
        )
        self.text, self.seen = "", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        os.close(self.slave)
        os.close(self.master)

    def read(self, pattern, seconds=20):
        """Reads on until a match comes, which is returned; what follows it is still to be read."""
        end = time.monotonic() + seconds
        while (found := re.compile(pattern).search(self.text, self.seen)) is None:
            assert time.monotonic() < end, f"waited in vain for {pattern!r}: {self.text}"
            assert self._more() or self.process.poll() is None or self._more(), f"it ended before {pattern!r}: {self.text}"
        self.seen = found.end()
        return found

    def answer(self, question, typed):
        self.read(question)
        self.type(f"{typed}\n".encode())

    def type(self, octets):
        os.write(self.master, octets)

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def end(self, seconds=30):
        """Waits for it; returns (exit status, all that it has shown). The terminal is as it was."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it is still there after {seconds} s: {self.text}"
            self._more()
        while self._more():
            pass
        assert termios.tcgetattr(self.slave) == self.modes, f"the terminal is not as it was: {self.text}"
        return self.process.returncode, self.text

    def _more(self):
        """Whether there was something to read."""
        if not select.select([self.master], [], [], 0.1)[0]:
            return False
        self.text += os.read(self.master, 65536).decode(errors="replace")
        return True


def take_terminal():
    """Makes stdin the terminal of this session, so that /dev/tty is it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
