"""A container's configuration: no file, only the environment."""

import smtplib
import subprocess

from messages import SAMPLES, assert_same
from network import free_port, port_answers, wait_until
from relay import binary, clean_environment


def test_the_environment_alone_is_enough(tmp_path, sink):
    port = free_port()
    environment = clean_environment() | {
        "MAILSLUICE__HOSTNAME": "relay.test",
        "MAILSLUICE__LISTENER__ADDRESS": f"127.0.0.1:{port}",
        "MAILSLUICE__LISTENER__RELAY_FROM": "127.0.0.0/8,::1/128",
        "MAILSLUICE__UPSTREAM__HOST": "127.0.0.1",
        "MAILSLUICE__UPSTREAM__PORT": str(sink.port),
        "MAILSLUICE__UPSTREAM__SECURITY": "none",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([binary(), "run"], cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        wait_until(lambda: port_answers(port), 20, lambda: log.read_text())
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("office@firm.example", ["customer@elsewhere.example"], SAMPLES["plain"])
        wait_until(lambda: sink.arrivals, 20, lambda: log.read_text())
        assert_same(SAMPLES["plain"], sink.arrivals[0].content)
        assert (tmp_path / "data").is_dir(), "data_dir is relative to the working directory"
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_misspelt_name_is_refused(tmp_path):
    environment = clean_environment() | {"MAILSLUICE__UPSTREAM__HOST": "127.0.0.1", "MAILSLUICE__UPSTREAM__HOTS": "x"}
    done = subprocess.run([binary(), "check"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "HOTS" in done.stderr or "hots" in done.stderr, done.stderr
