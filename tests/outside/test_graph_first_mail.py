"""docs/office365.md, done as it is written for Microsoft Graph: from an empty folder to a mail that its recipients get, and no
others. The tokens come from a real authorization server, and Graph verifies them.
"""

import re
import smtplib
import urllib.error
import urllib.request

import pytest

from authorization_server import PERSON
from graph_party import GraphParty, readings
from network import wait_until
from test_guides import Follower, commands

NAME = "office365-graph"
CUSTOMER = "customer@elsewhere.example"


class GraphFollower(Follower):
    """Somebody who follows the guide for Graph."""

    def lead_to_the_test(self):
        """The provider's addresses become those of the test, and the application's id that of its client; nothing else."""
        text = self.file.read_text()
        self.written = [line for line in text.splitlines() if line.strip()]
        lines = {
            "[[upstream]]": [f'base_url = "{self.exchange.url}"'],
            "[[oauth]]": [f'token_url = "{self.server.url}/token"', f'device_url = "{self.server.url}/device/auth"'],
        }
        for head, more in lines.items():
            assert text.count(head) == 1, text
            text = text.replace(head, "\n".join([head, *more, "# Written by init:"]))
        text = re.sub(r'^client_id = "[^"]*"', 'client_id = "relay"', text, flags=re.MULTILINE)
        self.file.write_text(text + f'[[listener]]\naddress = "127.0.0.1:{self.port}"\n')


@pytest.fixture
def graph(authorization_server):
    with GraphParty(authorization_server) as party:
        yield party


@pytest.fixture
def follower(tmp_path, graph, authorization_server):
    follower = GraphFollower(tmp_path, graph, authorization_server)
    yield follower
    follower.close()


def test_a_new_user_sends_by_graph(follower, graph):
    steps = commands("office365.md", " graph")
    for command in steps:
        follower.do(command)
    assert [step.split()[1] for step in steps if step.startswith("mailsluice")] == ["init", "check", "connect", "probe", "run"]
    # An upstream and a sign-in of five lines each.
    assert len(follower.written) == 10, follower.written
    probed = follower.said("mailsluice probe")
    assert "Mail.Send" in probed and PERSON in probed and "failed" not in probed, probed
    assert f"Signed in as {PERSON}." in follower.said(f"mailsluice connect {NAME}")

    # The guide's swaks has gone; a program of another kind names others than its recipients.
    content = f"From: {PERSON}\r\nTo: a@x.example, Other <other@y.example>\r\nCc: b@x.example\r\nSubject: x\r\n\r\nGr\u00fc\u00dfe\r\n"
    with smtplib.SMTP("127.0.0.1", follower.port, timeout=30) as client:
        client.sendmail(PERSON, ["a@x.example", "b@x.example", "hidden@x.example"], content.encode(), ["BODY=8BITMIME"])
    wait_until(lambda: len(graph.requests) == 2, 30, lambda: follower.said("mailsluice run"))
    wanted = [sorted(to) for to in ({"a@x.example", "b@x.example", "hidden@x.example"}, {CUSTOMER})]
    for reader in ("modern", "old", "careless"):
        # Two requests at once may come in any order.
        assert sorted(sorted(readings(mail)[reader]) for _, mail in graph.requests) == wanted, reader
    assert {mailbox for mailbox, _ in graph.requests} == {PERSON}
    assert not graph.refused
    said = wait_until(lambda: (log := follower.said("mailsluice run")).count(" sent ") == 4 and log, 20, lambda: follower.said("mailsluice run"))
    assert said.count("edited=to") == 3, said
    for secret in follower.server.secrets():
        assert secret not in said


def test_the_graph_of_the_test_takes_no_other_token(graph, authorization_server):
    """It would see a relay that sends without a sign-in, or by a token for something else."""
    for token in ["", "no-token", "a.b.c"]:
        request = urllib.request.Request(f"{graph.url}/v1.0/users/{PERSON}/sendMail", b"", {"Authorization": f"Bearer {token}"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 401
    assert graph.refused == [401] * 3 and not graph.requests
