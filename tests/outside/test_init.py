"""`mailsluice init` at a terminal: it asks, writes once, keeps the secret to itself, and sends a test mail when that is wanted."""

import os
import re
import signal
import stat
import subprocess

import pytest

from authorization_server import PERSON
from microsoft import PASSWORD, USER
from network import free_port, port_answers, wait_until
from relay import binary, clean_environment
from terminal import CTRL_C, CTRL_D, Terminal

CANARY = "s3cr3t-canary"
# Each question of the longest way, with an answer.
QUESTIONS = [
    (r"Provider .*: $", "office365"),
    (r"Address of the mailbox.*: $", "mailer@firm.example"),
    (r"Which way.*: $", "client_credentials"),
    (r"Your organization.*: $", ""),
    (r"Client id.*: $", "11111111-2222"),
    (r"Its client secret \(is not shown\): $", CANARY),
]


def run(folder, *words, **environment):
    return subprocess.run(
        [binary(), *words], cwd=folder, env=clean_environment() | environment, capture_output=True, text=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL,
    )


def test_init_asks_for_what_it_must_know(tmp_path):
    with Terminal(tmp_path, "init") as person:
        person.answer("Provider", "no such thing")
        person.answer("no provider that is known", "gmx")
        person.answer("Address of the mailbox", "a@gmx.example")
        person.answer(r"Password \(is not shown\)", CANARY)
        person.read("mailsluice run")
        person.answer(r"Send a test mail now\? \[yes\]", "no")
        status, text = person.end()
    assert status == 0 and CANARY not in text, text
    file = tmp_path / "config" / "mailsluice.toml"
    secret = tmp_path / "config" / "gmx.password"
    assert CANARY not in file.read_text()
    assert secret.read_text() == f"{CANARY}\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    checked = run(tmp_path, "check")
    assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "data").exists(), "nothing was to be sent"
    with Terminal(tmp_path, "init") as again:
        again.read("there is a configuration already")
        assert again.end()[0] == 1


def test_each_question_is_asked_again_until_the_answer_is_good(tmp_path):
    wrong = {
        "Provider": [("", "is no provider"), ("no such thing", "no provider that is known")],
        "Address of the mailbox": [("", "must not be empty")],
        "Which way": [("magic", "is not possible there: use device_code or")],
        "Its client secret": [("", "can't be empty")],
    }
    with Terminal(tmp_path, "init") as person:
        for question, answer in QUESTIONS:
            for typed, why in next((tries for words, tries in wrong.items() if question.startswith(words)), []):
                person.answer(question, typed)
                person.read(why)
            person.answer(question, answer)
        person.answer(r"Try now whether the application gets a token\? \[yes\]: $", "perhaps")
        person.read("Answer yes or no")
        person.answer(r"Try now .*: $", "no")
        person.answer(r"Send a test mail now\? .*: $", "no")
        status, text = person.end()
    assert status == 0 and CANARY not in text, text
    written = (tmp_path / "config" / "mailsluice.toml").read_text()
    assert 'tenant = "firm.example"' in written and 'flow = "client_credentials"' in written, written


def test_who_never_answers_well_is_not_asked_for_ever(tmp_path):
    with Terminal(tmp_path, "init") as person:
        person.type(b"nonsense\n" * 12)
        status, text = person.end()
    assert status == 1 and "given up" in text and not list(tmp_path.iterdir()), text


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize("asked", range(len(QUESTIONS)))
def test_who_gives_up_leaves_nothing(asked, key, tmp_path):
    with Terminal(tmp_path, "init") as person:
        for question, answer in QUESTIONS[:asked]:
            person.answer(question, answer)
        person.read(QUESTIONS[asked][0])
        person.type(key)
        status, text = person.end()
    assert status == 1, text
    assert re.search(r"^mailsluice: given up.*nothing is written\r$", text, re.MULTILINE), text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize("question", [r"Send a test mail now\?.*: $", r"To which address.*: $"])
def test_who_gives_up_later_has_a_configuration(question, key, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    (tmp_path / "secret").chmod(0o600)
    with Terminal(tmp_path, "init", "--preset", "gmx", "--address", "a@gmx.example", "--secret-file", "secret") as person:
        if question.startswith("To"):
            person.answer(r"Send a test mail now\?.*: $", "")
        person.read(question)
        person.type(key)
        status, text = person.end()
    assert status == 1 and "the configuration is written, and stays" in text, text
    assert run(tmp_path, "check").returncode == 0 and not (tmp_path / "data").exists()


def test_run_without_a_configuration_points_to_init(tmp_path):
    with Terminal(tmp_path, "run") as person:
        person.read("make one with: mailsluice init")
        assert person.end()[0] == 2


@pytest.fixture
def surroundings(exchange, authorization_server):
    """What leads a configuration of `init` to the servers of the test."""
    return {
        "MAILSLUICE__HOSTNAME": "relay.test",
        "MAILSLUICE__LISTENER__ADDRESS": f"127.0.0.1:{free_port()}",
        "MAILSLUICE__UPSTREAM__HOST": "localhost",
        "MAILSLUICE__UPSTREAM__PORT": str(exchange.port),
        "MAILSLUICE__UPSTREAM__SECURITY": "starttls",
        "MAILSLUICE__UPSTREAM__CA_FILE": str(exchange.ca_file),
    }


def lead_to(server, folder):
    """What variables can't: the sign-in of the written file goes to the server of the test."""
    file = folder / "config" / "mailsluice.toml"
    lines = f'scope = "openid offline_access SMTP.Send"\ntoken_url = "{server.url}/token"\ndevice_url = "{server.url}/device/auth"\n'
    file.write_text(file.read_text() + lines)


def assert_no_relay(folder, surroundings):
    """Nobody listens, and nobody holds the folder."""
    assert not port_answers(int(surroundings["MAILSLUICE__LISTENER__ADDRESS"].split(":")[1]))
    status = run(folder, "status", **surroundings)
    assert status.returncode == 1 and "the relay does not run" in status.stderr, status.stderr


def with_password(folder, surroundings, password=PASSWORD, *words):
    (folder / "secret").write_text(password + "\n")
    (folder / "secret").chmod(0o600)
    words = ["init", "--preset", "gmx", "--address", USER, "--secret-file", "secret", *words]
    return Terminal(folder, *words, **surroundings)


def test_a_test_mail_by_password(tmp_path, surroundings, exchange):
    with with_password(tmp_path, surroundings) as person:
        person.answer(r"Send a test mail now\? \[yes\]: $", "")
        person.answer(rf"To which address \[{USER}\]: $", "nobody")
        person.answer(r"To which address .*: $", "customer@elsewhere.example")
        person.read(rf"\S+ from {USER} is queued for gmx")
        person.read(r"customer@elsewhere.example: sent: 250")
        status, text = person.end()
    assert status == 0, text
    [mail] = exchange.mail()
    assert (mail["from"], mail["to"]) == (USER, ["customer@elsewhere.example"])
    assert_no_relay(tmp_path, surroundings)


def test_a_test_mail_after_signing_in(tmp_path, surroundings, authorization_server, exchange):
    """From nothing to a delivered mail, in one command."""
    words = ["init", "--preset", "office365", "--address", PERSON, "--client-id", "relay", "--tenant", "firm.example"]
    with Terminal(tmp_path, *words, **surroundings) as person:
        person.answer("Which way", "")
        person.read(r"Sign in now\? \[yes\]: $")
        lead_to(authorization_server, tmp_path)
        person.type(b"\n")
        authorization_server.approve(person.read(r"\b[A-Z]{4}-[A-Z]{4}\b").group())
        person.read(f"Signed in as {PERSON}")
        person.answer(r"Send a test mail now\? \[yes\]: $", "")
        person.answer(r"To which address .*: $", "")
        person.read(rf"{PERSON}: sent: 250")
        status, text = person.end()
    assert status == 0, text
    [mail] = exchange.mail()
    assert mail["to"] == [PERSON] and [login["method"] for login in exchange.logins()] == ["XOAUTH2"]
    assert not any(secret in text for secret in authorization_server.secrets())
    assert_no_relay(tmp_path, surroundings)


def test_without_a_sign_in_there_is_no_test_mail(tmp_path, surroundings):
    words = ["init", "--preset", "office365", "--address", PERSON, "--client-id", "relay", "--sign-in", "device_code"]
    with Terminal(tmp_path, *words, **surroundings) as person:
        person.answer("Your organization", "")
        person.answer(r"Sign in now\?", "no")
        status, text = person.end()
    assert status == 0 and "test mail now" not in text, text


def test_a_relay_that_runs_sends_it(tmp_path, surroundings, exchange, sink):
    """One that has the same data folder, and knows the upstream."""
    (tmp_path / "hush").write_text(PASSWORD + "\n")
    (tmp_path / "hush").chmod(0o600)
    (tmp_path / "own.toml").write_text(
        f'data_dir = "data"\n[[upstream]]\nname = "gmx"\nuser = "{USER}"\npassword = {{ file = "hush" }}\n'
    )
    log = tmp_path / "log"
    with log.open("wb") as out:
        relay = subprocess.Popen(
            [binary(), "run", "--config", "own.toml"], cwd=tmp_path, stdout=out, stderr=out, env=clean_environment() | surroundings,
            start_new_session=True,
        )
    try:
        wait_until(lambda: " started " in log.read_text(), 20, log.read_text)
        with with_password(tmp_path, surroundings | {"MAILSLUICE__DATA_DIR": str(tmp_path / "data")}) as person:
            person.answer(r"Send a test mail now", "")
            person.answer(r"To which address", "customer@elsewhere.example")
            person.read(r"customer@elsewhere.example: sent: 250")
            status, text = person.end()
        assert status == 0 and "for this mail alone" not in text, text
        assert relay.poll() is None and " accepted " in log.read_text()
    finally:
        relay.terminate()
        assert relay.wait(20) == 0
    assert len(exchange.mail()) == 1


def test_a_refused_login_is_told_and_the_mail_stays(tmp_path, surroundings, exchange):
    """Ctrl-C ends the wait and the relay; the mail is in the queue for the next one."""
    with with_password(tmp_path, surroundings, "wrong") as person:
        person.answer(r"Send a test mail now", "")
        person.answer(r"To which address", "customer@elsewhere.example")
        person.read(r"it waits for.*535")
        person.type(CTRL_C)
        status, text = person.end()
    assert status == 1, text
    assert re.search(r"^mailsluice: it stays in the queue: .*mailsluice run", text, re.MULTILINE), text
    assert_no_relay(tmp_path, surroundings)
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    relay = subprocess.Popen(
        [binary(), "run"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment() | surroundings,
        start_new_session=True,
    )
    try:
        [mail] = exchange.wait_mail()
        assert mail["to"] == ["customer@elsewhere.example"]
    finally:
        relay.terminate()
        assert relay.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_relay_too(number, tmp_path, surroundings, exchange):
    with with_password(tmp_path, surroundings, "wrong") as person:
        person.answer(r"Send a test mail now", "")
        person.answer(r"To which address", "customer@elsewhere.example")
        person.read(r"it waits for")
        person.signal(number)
        status, text = person.end()
    assert status == 1 and "stays in the queue" in text, text
    assert_no_relay(tmp_path, surroundings)


def test_a_taken_port_is_named(tmp_path, surroundings, sink):
    taken = surroundings | {"MAILSLUICE__LISTENER__ADDRESS": f"127.0.0.1:{sink.port}"}
    with with_password(tmp_path, taken) as person:
        person.answer(r"Send a test mail now", "")
        person.answer(r"To which address", "")
        status, text = person.end()
    assert status == 1 and f"127.0.0.1:{sink.port}" in text and "no test mail was sent" in text, text


def test_a_test_mail_without_a_terminal(tmp_path, surroundings, exchange):
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "secret").chmod(0o600)
    words = ["--preset", "gmx", "--address", USER, "--secret-file", "secret", "--test-mail", "customer@elsewhere.example"]
    done = run(tmp_path, "init", *words, **surroundings)
    assert done.returncode == 0 and "customer@elsewhere.example: sent: 250" in done.stdout, done
    [mail] = exchange.mail()
    assert mail["to"] == ["customer@elsewhere.example"]
    assert_no_relay(tmp_path, surroundings)


def test_nothing_is_owned_by_a_stranger(tmp_path, surroundings):
    """Root that sets up another user's relay leaves nothing in the data folder that this user can't read."""
    assert os.geteuid() == 0, "test.sh runs these as root"
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 65534, 65534)
    with with_password(tmp_path, surroundings | {"MAILSLUICE__DATA_DIR": str(tmp_path / "data")}) as person:
        person.answer(r"Send a test mail now", "")
        person.answer(r"To which address", "")
        status, text = person.end()
    assert status == 1 and "belongs to another user" in text and "no test mail was sent" in text, text
    assert not list((tmp_path / "data").iterdir())
