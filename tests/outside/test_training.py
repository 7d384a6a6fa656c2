"""The load that the optimised build is trained with (packaging/optimised) runs with the relay as it is."""

import os
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).parents[2] / "packaging/optimised/train.py"


def test_the_training_of_the_optimised_build_runs():
    done = subprocess.run([sys.executable, TRAIN, os.environ["MAILSLUICE_BIN"], "--brief"],
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8 and all(line.endswith(": sent") for line in lines), done.stdout


def test_the_build_is_a_script_that_bash_reads():
    subprocess.run(["bash", "-n", TRAIN.with_name("build")], check=True, timeout=20)
