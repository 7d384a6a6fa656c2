"""The load that the optimised build is trained with (packaging/optimised) runs with the relay as it is."""

import subprocess
import sys
from pathlib import Path

from relay import binary

TRAIN = Path(__file__).parents[2] / "packaging/optimised/train.py"


def test_the_training_of_the_optimised_build_runs():
    done = subprocess.run([sys.executable, TRAIN, binary(), "--brief"],
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8 and all(line.endswith(": sent") for line in lines), done.stdout


def test_the_other_scripts_can_be_read():
    subprocess.run(["bash", "-n", TRAIN.with_name("build")], check=True, timeout=20)
    done = subprocess.run([sys.executable, TRAIN.with_name("order.py")], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "order.py BINARY" in done.stderr, done.stderr
