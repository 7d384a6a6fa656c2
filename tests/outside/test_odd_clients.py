"""Programs that write line ends twice, or hand in a file as it lies on the disk: their mail arrives as it was meant."""

import socket
import threading

import pytest

from messages import SAMPLES, assert_same, fields
from relay import target_folder
from test_clients import CUSTOMER, SENDER, arrived, run

# Unpacked by test.sh, since installing it would take Postfix away.
NULLMAILER = target_folder() / "outside-nullmailer" / "usr" / "lib" / "nullmailer" / "smtp"
EMPTY_LINES = [name for name in SAMPLES if name != "no-final-newline"]


def with_nullmailer(port, content, folder):
    """Its sending part alone, as its queue runner calls it: options on stdin, the queued file at descriptor 3."""
    file = folder / "queued"
    file.write_bytes(f"{SENDER}\n{CUSTOMER}\n\n".encode() + content)
    assert NULLMAILER.is_file(), f"{NULLMAILER} is missing: run ./test.sh"
    command = ["sh", "-c", 'HELOHOST=client.test exec "$0" 3<"$1"', str(NULLMAILER), str(file)]
    return run(command, f"host=127.0.0.1\nport={port}\n".encode())


def with_curl_crlf(port, content, folder):
    file = folder / "message"
    file.write_bytes(content)
    return run(["curl", "--silent", "--show-error", "--max-time", "60", "--crlf", f"smtp://127.0.0.1:{port}/client.test",
                "--mail-from", SENDER, "--mail-rcpt", CUSTOMER, "--upload-file", str(file)])


CLIENTS = {"nullmailer": with_nullmailer, "curl --crlf": with_curl_crlf}


def sent_by(client, content, folder):
    """The octets between DATA and the final dot as the client writes them."""
    lines = []

    def serve(listener):
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(20)
            connection.sendall(b"220 recorder\r\n")
            in_content = False
            for line in stream:
                if in_content and line != b".\r\n":
                    lines.append(line)
                    continue
                in_content = line.upper().startswith(b"DATA")
                connection.sendall(b"354 go on\r\n" if in_content else b"250 OK\r\n")
                if line.upper().startswith(b"QUIT"):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        client(listener.getsockname()[1], content, folder)
        server.join(20)
    return b"".join(lines)


@pytest.mark.parametrize("client", CLIENTS)
def test_line_ends_that_are_written_twice_are_one(client, relay_to_sink, sink, tmp_path):
    assert b"\r\r\n" in sent_by(CLIENTS[client], SAMPLES["plain"], tmp_path), f"{client} has mended its ways"
    for name in EMPTY_LINES:
        sink.arrivals.clear()
        CLIENTS[client](relay_to_sink.port, SAMPLES[name], tmp_path)
        assert_same(SAMPLES[name], arrived(sink, 1)[0].content)


@pytest.mark.parametrize("first", ["From office@firm.example Thu Nov 26 02:00:00 2026\n", ">From office Thu Nov 26 02:00:00 2026\n"])
def test_a_mail_from_an_mbox_file_keeps_its_header_section(first, relay_to_sink, sink):
    """msmtp puts its own fields above what it reads."""
    mail = b"From: office@firm.example\nBcc: secret@elsewhere.example\nSubject: from a file\n\nFrom here on it is text.\n"
    run(["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={relay_to_sink.port}", "--auth=off", "--tls=off",
         f"--from={SENDER}", "--set-from-header=off", "--timeout=60", "--remove-bcc-headers=off", "--", CUSTOMER], first.encode() + mail)
    head, body = arrived(sink, 1)[0].content.split(b"\r\n\r\n", 1)
    names = [name for name, _ in fields(head.replace(b"\r\n", b"\n"))]
    assert b"subject" in names and b"from" in names and b"secret" not in head + body
    assert b"\r\nX-Mailbox-Line: " + first.strip().encode() + b"\r\n" in head
    assert body == b"From here on it is text.\r\n"
    relay_to_sink.wait_empty()
