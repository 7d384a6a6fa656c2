"""`mailsluice hash-password` at a terminal: the password is never seen, and the terminal is as it was, whatever the person does."""

import pytest

from terminal import CTRL_C, CTRL_D, Terminal

CANARY = "s3cr3t-canary"


def test_it_is_typed_twice_and_never_seen(tmp_path):
    with Terminal(tmp_path, "hash-password") as person:
        person.answer("Password: ", CANARY)
        person.answer("The same again: ", CANARY)
        status, text = person.end()
    assert status == 0 and "$argon2id$" in text and CANARY not in text, text


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize("question", ["Password: ", "The same again: "])
def test_who_gives_up(question, key, tmp_path):
    with Terminal(tmp_path, "hash-password") as person:
        if question != "Password: ":
            person.answer("Password: ", CANARY)
        person.read(question)
        person.type(key)
        status, text = person.end()
    assert status == 1 and "\nmailsluice: given up" in text and "argon2" not in text and CANARY not in text, text
