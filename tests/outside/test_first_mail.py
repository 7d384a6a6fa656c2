"""README's first minute: the shipped configuration, and the README's own swaks line."""

import re
import shlex
import shutil
import subprocess

from network import wait_until
from relay import ROOT, Relay


def readme_command(program):
    """The README's first command line of that program."""
    found = re.search(rf"^{program} .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert found, f"the README shows no {program} line"
    return shlex.split(found.group())


class ShippedRelay(Relay):
    """A relay on the shipped configuration file, unchanged but for the port, so that tests can run beside a relay."""

    def write(self, config, top=""):
        config_folder = self.folder / "config"
        config_folder.mkdir(exist_ok=True)
        self.file = config_folder / "mailsluice.toml"
        shutil.copy(ROOT / "config" / "mailsluice.toml", self.file)
        text = self.file.read_text()
        data = re.search(r'^data_dir = "(.*)"', text, re.MULTILINE)
        self.data = (config_folder / (data.group(1) if data else "data")).resolve()
        assert text.count("2525") >= 1, "the shipped configuration does not name its port"
        self.file.write_text(text.replace("127.0.0.1:2525", f"127.0.0.1:{self.port}"))


def test_the_first_mail_is_captured(tmp_path):
    relay = ShippedRelay(tmp_path, "")
    try:
        relay.start()
        words = [word.replace("2525", str(relay.port)) for word in readme_command("swaks")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "queued as" in done.stdout
        wait_until(lambda: " captured " in relay.log_file.read_text(), 20, lambda: f"captured: {relay.log_tail()}")
        messages = relay.captured()
        assert len(messages) == 1
        assert b"This is a test mailing" in messages[0]
        assert relay.terminate() == 0
    finally:
        relay.close()


def test_the_shipped_configuration_checks(tmp_path):
    relay = ShippedRelay(tmp_path, "")
    done = relay.command("check", check=False)
    assert done.returncode == 0, done.stderr
