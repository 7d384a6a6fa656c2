"""`mailsluice connect` before a person: what it shows while it waits, and how it ends when nobody signs in."""

import re

import pytest

from authorization_server import PERSON
from relay import Relay
from sign_in import NAME, sign_in, upstream
from terminal import CTRL_C, CTRL_D, Terminal

COUNT_DOWN = r"\r  (\d+):(\d\d) left, Ctrl-C gives up "
CODE = r"\b[A-Z]{4}-[A-Z]{4}\b"
CLEARED = "\r" + " " * 40 + "\r"


@pytest.fixture
def connecting(authorization_server, exchange, tmp_path):
    """`connecting(flow, *words)`: a person gives the command; no relay runs."""

    def start(flow="device_code", *words):
        config = upstream("exchange", exchange, PERSON, f'oauth = "{NAME}"') + sign_in(authorization_server, flow)
        relay = Relay(tmp_path, config)
        return Terminal(tmp_path, "--config", str(relay.file), "connect", NAME, *words)

    return start


def assert_nothing_stored(folder, text):
    assert "nothing is stored" in text, text
    assert not (folder / "data").exists()


def last_line(text):
    """What stands there when all is over."""
    return text.replace(CLEARED, "\n").strip().splitlines()[-1]


def test_the_time_that_is_left_goes_down_and_away(connecting, authorization_server, tmp_path):
    with connecting() as person:
        code = person.read(CODE).group()
        assert f"{authorization_server.url}/device" in person.text and PERSON in person.text, person.text
        first, second = (int(found[1]) * 60 + int(found[2]) for found in (person.read(COUNT_DOWN), person.read(COUNT_DOWN)))
        assert second < first <= 600
        authorization_server.approve(code)
        status, text = person.end()
    assert status == 0 and f"Signed in as {PERSON}. It is stored" in text, text
    assert text.rindex(CLEARED) > text.rindex("Ctrl-C gives up"), "the countdown stays on the screen"
    assert (tmp_path / "data" / "queue.db").exists()
    assert not any(secret in text for secret in authorization_server.secrets())


@pytest.mark.parametrize("flow,words,until", [
    ("device_code", [], COUNT_DOWN), ("authorization_code", [], COUNT_DOWN), ("authorization_code", ["--paste"], "paste it here:"),
])
def test_ctrl_c_gives_up(flow, words, until, connecting, tmp_path):
    with connecting(flow, *words) as person:
        person.read(until)
        person.type(CTRL_C)
        status, text = person.end()
    assert status == 1, text
    assert last_line(text) == f"mailsluice: {NAME}: given up; nothing is stored", text
    assert_nothing_stored(tmp_path, text)


def test_ctrl_c_while_the_provider_does_not_answer(connecting, authorization_server, tmp_path):
    """Before there is anything to show."""
    authorization_server.behave("slow", seconds=60)
    with connecting() as person:
        code = person.read(CODE).group()
        authorization_server.approve(code)
        person.read(COUNT_DOWN)
        person.type(CTRL_C)
        status, text = person.end(10)
    assert status == 1, text
    assert_nothing_stored(tmp_path, text)


def test_ctrl_d_where_an_address_is_to_be_pasted(connecting, tmp_path):
    with connecting("authorization_code", "--paste") as person:
        person.read("paste it here:")
        person.type(CTRL_D)
        status, text = person.end()
    assert status == 1 and f"mailsluice connect {NAME} --paste" in text, text
    assert_nothing_stored(tmp_path, text)


def test_what_can_not_be_pasted(connecting, tmp_path):
    with connecting("authorization_code", "--paste") as person:
        person.answer("paste it here:", "http://127.0.0.1/?code=made-up&state=somebody-else")
        person.answer("Paste again:", "two words")
        person.answer("Paste again:", "")
        status, text = person.end()
    assert status == 1 and "nothing that was pasted was of use" in text, text
    assert_nothing_stored(tmp_path, text)


def test_who_says_no(connecting, authorization_server, tmp_path):
    with connecting() as person:
        authorization_server.deny(person.read(CODE).group())
        status, text = person.end()
    assert status == 1 and "access_denied" in text and f"mailsluice connect {NAME}" in text, text
    assert_nothing_stored(tmp_path, text)


def test_a_code_that_nobody_uses(connecting, authorization_server, tmp_path):
    authorization_server.set(codeLife=3)
    with connecting() as person:
        assert person.read(r"good for (.*)\.\r")[1] == "1 minute"
        status, text = person.end()
    assert status == 1, text
    assert re.search(rf"^mailsluice: {NAME}: nobody has used the code in time: run `mailsluice connect {NAME}`; ", last_line(text)), text
    assert_nothing_stored(tmp_path, text)


def test_somebody_else_signs_in(connecting, authorization_server, tmp_path):
    """It is kept, as a shared mailbox wants it; the person reads what it means."""
    with connecting() as person:
        authorization_server.approve(person.read(CODE).group(), "admin@firm.example")
        status, text = person.end()
    assert status == 0, text
    assert f"warning: admin@firm.example has signed in, and {PERSON} is the mailbox that sends by exchange" in text, text
    assert "Signed in as admin@firm.example." in text and (tmp_path / "data" / "queue.db").exists()
