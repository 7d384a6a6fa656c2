"""What the mail settings of business programs offer about sending: each of it is shown here by real programs, in a test that is
marked with its number, `@pytest.mark.feature(4)`."""

import re
from pathlib import Path

FEATURES = {
    4: "sender name, sender address and reply-to address of each server",
    10: "test mode: all mail goes to one test address, not to the customer",
    11: "in test mode a question for each mail: still testing, or send it for real?",
    15: "SPF and DKIM, so that mail is not marked as spam",
    16: "an EHLO name that suits the provider",
    18: "a copy of every document to one address",
    19: "the sender address by the kind of document, else the user's own",
    21: "the clerk in charge as CC when somebody else is the sender",
    22: "DKIM: domain, selector, generated keys, the record for the DNS",
    28: "a signature below mail, not below replies and forwards",
    29: "a certificate: S/MIME signatures",
    30: "what was sent goes into the Sent folder of the mailbox",
}
MARK = re.compile(r"^@pytest\.mark\.feature\(([\d, ]+)\)\n(?:@.*\n)*def test_", re.MULTILINE)


def test_each_feature_has_a_test():
    marked = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for numbers in MARK.findall(file.read_text()):
            marked |= {int(number) for number in numbers.split(",")}
    assert marked == FEATURES.keys(), f"without a test: {FEATURES.keys() - marked}; unknown: {marked - FEATURES.keys()}"
