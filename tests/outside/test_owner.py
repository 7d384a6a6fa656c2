"""Root sets up a relay that runs as another user: what a command writes can be read by that user, or it says what to do."""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from relay import binary, clean_environment

NOBODY = 65534


@pytest.fixture
def home():
    """A folder where anybody can walk, with the program in it."""
    assert os.geteuid() == 0, "test.sh runs these as root"
    with tempfile.TemporaryDirectory(prefix="mailsluice-owner-", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        shutil.copy(binary(), home / "mailsluice")
        (home / "relay").mkdir()
        yield home


def run(home, *words, user=0, status=0):
    done = subprocess.run(
        [str(home / "mailsluice"), *words], cwd=home / "relay", env=clean_environment(), capture_output=True, text=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL, user=user, group=user, extra_groups=[],
    )
    assert done.returncode == status, done.stderr
    return done


def init(home, *words):
    """Makes a configuration with a file for its secret."""
    return run(home, "init", "--preset", "office365", "--address", "a@firm.example", "--sign-in", "client_credentials", *words)


def generate(home, *words):
    return run(home, "dkim", "generate", "--domain", "firm.example", "--selector", "s2026", *words)


def modes(folder):
    """(owner, group, mode) of all that is below."""
    stats = {path.relative_to(folder): path.stat() for path in folder.rglob("*")}
    return {str(path): (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) for path, found in stats.items()}


def test_what_root_writes_belongs_to_the_owner_of_the_folder(home):
    os.chown(home / "relay", NOBODY, NOBODY)
    made, generated = init(home), generate(home)
    assert "chown" not in made.stderr + generated.stderr
    assert modes(home / "relay") == {
        "config": (NOBODY, NOBODY, 0o755),
        "config/mailsluice.toml": (NOBODY, NOBODY, 0o644),
        "config/office365.client_secret": (NOBODY, NOBODY, 0o600),
        "config/certs": (NOBODY, NOBODY, 0o700),
        "config/certs/dkim": (NOBODY, NOBODY, 0o700),
        "config/certs/dkim/firm.example.s2026.pem": (NOBODY, NOBODY, 0o600),
    }
    file = home / "relay" / "config" / "mailsluice.toml"
    with file.open("a") as text:
        text.write("[[dkim]]\n" + generated.stdout.split("[[dkim]]\n")[1].split("\n\n")[0] + "\n")
    run(home, "check", user=NOBODY)


def test_where_only_the_data_is_anothers_it_says_what_to_do(home):
    """As with files in /etc and data in /var/lib."""
    data = home / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    made = init(home, "--data-dir", str(data))
    generated = generate(home, "--data-dir", str(data))
    for said in (made.stderr, generated.stderr):
        [line] = [line for line in said.splitlines() if "chown" in line]
        assert str(data) in line and str(NOBODY) in line, said
        # Done as it is said, the relay's user can read it.
        subprocess.run(line.split(": ")[-1].split(), cwd=home / "relay", check=True, timeout=20)
    file = home / "relay" / "config" / "mailsluice.toml"
    with file.open("a") as text:
        text.write("[[dkim]]\n" + generated.stdout.split("[[dkim]]\n")[1].split("\n\n")[0] + "\n")
    run(home, "check", "--data-dir", str(data), user=NOBODY)


def test_a_link_in_anothers_folder_leads_root_nowhere(home):
    """What the owner of the folder has put in the way is neither followed nor given away."""
    relay = home / "relay"
    os.chown(relay, NOBODY, NOBODY)
    victim = home / "victim"
    victim.mkdir()
    (relay / "config").symlink_to(victim)
    generate(home)
    assert set(found[0] for found in modes(victim).values()) == {0}, "it lies in root's folder, and is root's"
    assert victim.stat().st_uid == 0


def test_nobody_signs_in_in_vain(home):
    """What root would store in another user's folder, the relay could not read: that is said before anybody signs in."""
    os.chown(home / "relay", NOBODY, NOBODY)
    run(home, "init", "--preset", "office365", "--address", "a@firm.example", "--client-id", "11111111-2222")
    for words in (["connect", "office365"], ["probe"]):
        refused = run(home, *words, status=1)
        assert f"belongs to another user (number {NOBODY})" in refused.stderr, refused.stderr
    assert not (home / "relay" / "config" / "data").exists()
