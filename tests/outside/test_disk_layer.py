"""The layer below the crash tests, with a program whose calls are known."""

import errno
import signal
import subprocess
import sys

import pytest

from disk import CREATE, CUT, FAIL, KILL, LOGGED, MKDIR, RENAME, SYNC, TRUNCATE, UNLINK, WRITE, Disk
from relay import clean_environment

PROGRAM = r"""
import os, sys
os.chdir(sys.argv[1])
os.mkdir("d")
file = os.open("d/a", os.O_CREAT | os.O_RDWR)
os.write(file, b"abcdef")
os.pwrite(file, b"XY", 2)
os.pwritev(file, [b"1", b"2"], 4)
os.fsync(file)
os.ftruncate(file, 5)
os.rename("d/a", os.path.join(sys.argv[1], "b"))
os.fdatasync(file)
os.lseek(file, 1, 0)
os.write(file, b"?")
os.close(os.open("b", os.O_WRONLY | os.O_APPEND))
folder = os.open("d", os.O_RDONLY)
os.fsync(folder)
os.unlink("b")
os.write(1, b"done\n")
"""
CALLS = [
    (MKDIR, "d", "", 0, b""),
    (CREATE, "d/a", "", 0, b""),
    (WRITE, "d/a", "", 0, b"abcdef"),
    (WRITE, "d/a", "", 2, b"XY"),
    (WRITE, "d/a", "", 4, b"12"),
    (SYNC, "d/a", "", 0, b""),
    (TRUNCATE, "d/a", "", 5, b""),
    (RENAME, "d/a", "b", 0, b""),
    (SYNC, "b", "", 0, b""),
    (WRITE, "b", "", 1, b"?"),
    (SYNC, "d", "", 0, b""),
    (UNLINK, "b", "", 0, b""),
]
ALIEN = {
    "fallocate": "os.posix_fallocate(file, 0, 9)",
    "mmap": "import mmap; mmap.mmap(file, 1)",
    "sendfile": "os.sendfile(file, file, 0, 1)",
    "copy_file_range": "os.copy_file_range(file, file, 1, 0, 8)",
    "layer does not know": "os.symlink('x', 'y')",
}


@pytest.fixture
def disk(disk_layer, tmp_path):
    (tmp_path / "root").mkdir()
    return Disk(disk_layer, tmp_path / "disk", tmp_path / "root")


def run(disk, program=PROGRAM):
    with (disk.folder / "out").open("wb") as out:
        words = [sys.executable, "-IS", "-c", program, str(disk.root)]
        return subprocess.run(
            words, stdout=out, stderr=subprocess.PIPE, env=clean_environment() | disk.environment, timeout=60, check=False
        )


def made(disk):
    return [(each.operation, each.path, each.second, each.offset, each.data) for each in disk.journal() if each.operation != LOGGED]


def test_each_call_is_counted_and_written_down(disk):
    done = run(disk)
    assert done.returncode == 0, done.stderr
    assert (made(disk), disk.calls, disk.struck) == (CALLS, len(CALLS), None)
    assert [each.data for each in disk.journal() if each.operation == LOGGED] == [b"done\n"]
    disk.assert_sees_all()


@pytest.mark.parametrize("call", range(1, len(CALLS) + 1))
def test_a_kill_strikes_before_its_call(call, disk):
    disk.arm(KILL, call)
    assert run(disk).returncode == -signal.SIGKILL
    assert (made(disk), disk.calls) == (CALLS[: call - 1], call) and disk.struck


@pytest.mark.parametrize("call", range(1, len(CALLS) + 1))
def test_a_cut_strikes_within_a_write_and_behind_another_call(call, disk):
    disk.arm(CUT, call)
    assert run(disk).returncode == -signal.SIGKILL
    operation, path, second, offset, data = CALLS[call - 1]
    assert made(disk) == [*CALLS[: call - 1], (operation, path, second, offset, data[: len(data) // 2])]


@pytest.mark.parametrize("call", range(1, len(CALLS) + 1))
def test_a_failure_has_its_error_and_changes_nothing(call, disk):
    disk.arm(FAIL, call, errno.ENOSPC)
    done = run(disk)
    assert done.returncode == 1 and b"No space left" in done.stderr, done.stderr
    assert [each for each in made(disk) if each[0] <= SYNC] == CALLS[: call - 1]


@pytest.mark.parametrize("what", ALIEN)
def test_a_call_that_it_does_not_know_is_told(what, disk):
    run(disk, f"import os, sys; os.chdir(sys.argv[1]); file = os.open('a', os.O_CREAT | os.O_RDWR); os.write(file, b'x' * 16); {ALIEN[what]}")
    with pytest.raises(AssertionError, match=what):
        disk.assert_sees_all()


def test_what_is_done_elsewhere_is_nobodys_business(disk):
    elsewhere = f"import os; os.chdir({str(disk.folder)!r}); open('x', 'w').write('y'); os.rename('x', 'z')"
    assert run(disk, elsewhere).returncode == 0
    assert (made(disk), disk.calls) == ([], 0)
    disk.assert_sees_all()
