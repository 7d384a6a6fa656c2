"""A web page can make a browser post to a relay on loopback: nothing of what it posts may become mail."""

import subprocess

COMMANDS = "EHLO x\r\nMAIL FROM:<evil@firm.example>\r\nRCPT TO:<customer@elsewhere.example>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"


def post(relay, path):
    words = ["curl", "--silent", "--http0.9", "--max-time", "20", "--header", "Content-Type: text/plain",
             "--data-binary", COMMANDS, f"http://127.0.0.1:{relay.port}{path}"]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).stdout.decode(errors="replace")


def test_a_post_is_turned_away(relay_to_sink, sink):
    for path in ["/", "/" + "x" * 9000]:
        said = post(relay_to_sink, path)
        assert "421 4.7.0 " in said and "250" not in said, said
    relay_to_sink.wait_event("rejected", count=2, reason="http")
    assert relay_to_sink.events("accepted") == [] and sink.arrivals == []
