"""Runs a command with a name server of its own: `unshare -mn python private_dns.py ZONE COMMAND…`.

ZONE has lines `name TXT-record`; every other name does not exist. To be run in fresh network and mount namespaces, where
it raises the loopback interface, answers at 127.0.0.1:53, and puts its own resolv.conf in the place of the machine's.
"""

import fcntl
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def main():
    zone = dict(line.split(" ", 1) for line in Path(sys.argv[1]).read_text().splitlines())
    with socket.socket() as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    streams = socket.create_server(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server, zone), daemon=True).start()
    threading.Thread(target=serve_streams, args=(streams, zone), daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
        settings.flush()
        subprocess.run(["mount", "--bind", settings.name, "/etc/resolv.conf"], check=True, timeout=20)
        status = subprocess.run(sys.argv[2:], timeout=50, check=False).returncode
    sys.exit(status)


def serve(server, zone):
    while True:
        query, peer = server.recvfrom(4096)
        server.sendto(answer(query, zone, limit=512), peer)


def serve_streams(streams, zone):
    while True:
        stream, _ = streams.accept()
        with stream:
            stream.settimeout(5)
            length = struct.unpack("!H", stream.recv(2, socket.MSG_WAITALL))[0]
            reply = answer(stream.recv(length, socket.MSG_WAITALL), zone, limit=65535)
            stream.sendall(struct.pack("!H", len(reply)) + reply)


def answer(query, zone, limit):
    """One TXT answer, or NXDOMAIN; truncated when it is longer than `limit` (RFC 1035 4.1, 4.2)."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    question = query[12 : at + 5]
    text = zone.get(".".join(labels).lower())
    if text is None:
        return query[:2] + struct.pack("!HHHHH", 0x8583, 1, 0, 0, 0) + question
    pieces = [text[n : n + 255].encode() for n in range(0, len(text), 255)]
    data = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(data)) + data
    reply = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1, 0, 0) + question + record
    if len(reply) > limit:
        return query[:2] + struct.pack("!HHHHH", 0x8780, 1, 0, 0, 0) + question
    return reply


if __name__ == "__main__":
    main()
