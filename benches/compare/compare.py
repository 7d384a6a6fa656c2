"""The measuring part of `benches/compare/run`; see benches/README.md for what is measured and how."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "outside"))

from network import free_port, port_answers, wait_until  # noqa: E402
from postfix import MASTER, Postfix, make_certificates  # noqa: E402

OCTETS = 10_240
UPSTREAM_CONNECTIONS = 20
MESSAGES = {1: 3_000, 20: 10_000, 100: 10_000}
TICK = os.sysconf("SC_CLK_TCK")


class Sink:
    """smtp-sink, which counts what it takes."""

    def __init__(self, folder):
        self.port = free_port()
        self.file = folder / "sink"
        user = ["-u", "postfix"] if os.geteuid() == 0 else []
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                ["smtp-sink", "-c", *user, "-h", "sink.example", f"127.0.0.1:{self.port}", "1000"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )
        wait_until(lambda: port_answers(self.port), 10, lambda: f"smtp-sink: {self.file.read_text()}")

    def count(self):
        """The messages taken so far; the counter line is written over and over, so its end is enough."""
        with self.file.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - 400))
            found = re.findall(rb"mesg=(\d+)", lines.read())
        return int(found[-1]) if found else 0

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Clear:
    """Both lines in clear text: Postfix's own smtp-source and smtp-sink are the two ends."""

    listener = upstream = smtpd = ""
    security, postfix_tls = "none", {"smtpd": "none", "smtp": "none"}

    def sink(self, folder):
        return Sink(folder)

    def source(self, port, sessions, messages):
        return ["smtp-source", "-d", "-s", str(sessions), "-m", str(messages), "-l", str(OCTETS), "-f", "office@firm.example",
                "-t", "customer@elsewhere.example", f"127.0.0.1:{port}"]


class Encrypted:
    """TLS on both lines, `smtp_load` at both ends; the way in by STARTTLS or implicit, the way out by STARTTLS.

    One certificate (ECDSA, P-256) serves both relays and the sink.
    """

    def __init__(self, mode, folder):
        self.mode, self.folder = mode, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make_certificates(folder)
        self.load = os.environ["SMTP_LOAD_BIN"]
        self.listener = f'tls = "{mode}"\ncertificate = "{folder}/server.pem"\nkey = "{folder}/server.key"'
        self.upstream = f'ca_file = "{folder}/ca.pem"'
        self.security = "starttls"
        self.postfix_tls = {"smtpd": "encrypt", "smtp": "encrypt"}
        wrapped = "smtpd_tls_wrappermode = yes\n" if mode == "implicit" else ""
        # The same work: upstream connections stay open under load, and a broken-off one resumes its TLS session.
        self.smtpd = (
            f"smtpd_tls_cert_file = {folder}/server.pem\nsmtpd_tls_key_file = {folder}/server.key\n{wrapped}"
            f"smtp_tls_CAfile = {folder}/ca.pem\nsmtp_tls_connection_reuse = yes\n"
            "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n"
        )

    def sink(self, folder):
        return EncryptedSink(folder, self)

    def source(self, port, sessions, messages):
        return [self.load, "source", "--to", f"127.0.0.1:{port}", "--ca", str(self.folder / "ca.pem"), "--tls", self.mode,
                "--sessions", str(sessions), "--messages", str(messages), "--octets", str(OCTETS)]


class EncryptedSink(Sink):
    """`smtp_load sink`, which takes mail inside STARTTLS alone."""

    def __init__(self, folder, way):
        self.port = free_port()
        self.file = folder / "sink"
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                [way.load, "sink", "--listen", f"127.0.0.1:{self.port}", "--certificate", str(way.folder / "server.pem"),
                 "--key", str(way.folder / "server.key")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )
        wait_until(lambda: port_answers(self.port), 10, lambda: f"smtp_load sink: {self.file.read_text()}")

    def agreed(self):
        """What the first handshake agreed on, and how many there were."""
        text = self.file.read_text()
        handshakes = re.findall(r"handshakes=(\d+)", text)
        return f"{re.search(r'tls=(.*)', text).group(1)}, {handshakes[-1]} handshakes"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class PostfixRelay(Postfix):
    """Debian's Postfix as a relay to the sink: its defaults, without the limits and waits that would slow this load."""

    main = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = /
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [127.0.0.1]:SINK
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = SMTPD_TLS
smtp_tls_security_level = SMTP_TLS
smtp_dns_support_level = disabled
default_process_limit = 200
in_flow_delay = 0
initial_destination_concurrency = CONNECTIONS
smtp_destination_concurrency_limit = CONNECTIONS
"""
    master = MASTER + "smtp unix - - n - - smtp\nrelay unix - - n - - smtp\ntlsproxy unix - - n - 0 tlsproxy\n"

    def __init__(self, home, sink, way):
        super().__init__(home)
        self.main = self.main.replace("SINK", str(sink.port)).replace("CONNECTIONS", str(UPSTREAM_CONNECTIONS))
        self.main = self.main.replace("SMTPD_TLS", way.postfix_tls["smtpd"]).replace("SMTP_TLS", way.postfix_tls["smtp"])
        # The text goes through str.format.
        self.main += way.smtpd.replace("{", "{{").replace("}", "}}")

    def _write_secrets(self):
        """None: nobody logs in here."""

    def pid(self):
        return int((self.home / "queue" / "pid" / "master.pid").read_text())


class MailsluiceRelay:
    """Mailsluice's defaults, but for the same number of upstream connections and no limit per client."""

    CONFIG = """
hostname = "relay.example"
data_dir = "data"
[[listener]]
address = "127.0.0.1:{port}"
{listener}
[session]
max_connections_per_client = 1000
[[upstream]]
name = "sink"
host = "127.0.0.1"
port = {sink}
security = "{security}"
{upstream}
[upstream.limits]
connections = {connections}
"""

    def __init__(self, home, sink, way):
        self.home, self.port, self.process = Path(home), free_port(), None
        self.home.mkdir(parents=True)
        text = self.CONFIG.format(
            port=self.port, sink=sink.port, connections=UPSTREAM_CONNECTIONS, listener=way.listener,
            security=way.security, upstream=way.upstream,
        )
        (self.home / "mailsluice.toml").write_text(text)

    def start(self):
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [os.environ["MAILSLUICE_BIN"], "run", "--config", self.home / "mailsluice.toml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        wait_until(lambda: port_answers(self.port), 20, lambda: (self.home / "log").read_text())

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, (self.home / "log").read_text()[-2000:]

    def log(self):
        return (self.home / "log").read_text()

    def pid(self):
        return self.process.pid


def tree(pid):
    """The process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc(5): the fields after the name in brackets are state, parent, …
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def cpu_seconds(pid):
    """User and system time of the tree, the children that ended and were waited for included."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15])
    return total / TICK


def memory(pid):
    """The tree's proportional set size in MiB: shared pages are counted once."""
    total = 0
    for one in tree(pid):
        try:
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(found.group(1)) if found else 0
    return total / 1024


class Peak:
    """Samples the tree's memory while the load runs."""

    def __init__(self, pid):
        self.pid, self.highest, self.ending = pid, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def _sample(self):
        while not self.ending.wait(0.5):
            self.highest = max(self.highest, memory(self.pid))


def measure(kind, folder, way, load):
    """One contender, fresh queue, one load of so many sessions and messages. Returns the figures."""
    sessions, messages = load
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sink = way.sink(folder)
    relay = kind(folder / "relay", sink, way)
    relay.start()
    try:
        time.sleep(2)
        idle, cpu_before = memory(relay.pid()), cpu_seconds(relay.pid())
        with Peak(relay.pid()) as peak:
            started = time.monotonic()
            source = subprocess.run(way.source(relay.port, sessions, messages), check=True, timeout=600, stdout=subprocess.PIPE)
            accepted = time.monotonic() - started
            wait_until(lambda: sink.count() >= messages, 600, lambda: f"the sink to count {messages}: {sink.count()}\n{relay.log()[-2000:]}")
            delivered = time.monotonic() - started
        # What was sent is still to be recorded and removed from the queue; that work belongs to the messages, too.
        time.sleep(2)
        cpu = cpu_seconds(relay.pid()) - cpu_before
        assert sink.count() == messages, f"{sink.count()} messages at the sink instead of {messages}"
        if isinstance(sink, EncryptedSink):
            agreed = source.stdout.decode().strip().removeprefix("tls=")
            print(f"{folder.name}: in {agreed}; out {sink.agreed()}", file=sys.stderr)
        return {
            "accept": messages / accepted, "end": messages / delivered, "cpu": 1000 * cpu / messages,
            "idle": idle, "peak": peak.highest, "after": memory(relay.pid()),
        }
    finally:
        relay.stop()
        sink.stop()
        shutil.rmtree(folder, ignore_errors=True)


COLUMNS = [("accept", "accepted/s", 0), ("end", "delivered/s", 0), ("cpu", "CPU ms/message", 3),
           ("idle", "idle MiB", 1), ("peak", "peak MiB", 1), ("after", "idle after MiB", 1)]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sessions", type=int, action="append", choices=sorted(MESSAGES))
    options.add_argument("--messages", type=int, help="instead of 3,000 for one session and 10,000 for more")
    options.add_argument("--repeat", type=int, default=3, help="the median of that many is printed")
    options.add_argument("--only", choices=["postfix", "mailsluice"])
    options.add_argument("--tls", choices=["starttls", "implicit"], help="TLS on both lines, the way in by this")
    options.add_argument("--folder", type=Path, required=True, help="where both queues are, on the disk to measure")
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    way = Encrypted(chosen.tls, chosen.folder / "tls") if chosen.tls else Clear()
    contenders = {"postfix": PostfixRelay, "mailsluice": MailsluiceRelay}
    if chosen.only:
        contenders = {chosen.only: contenders[chosen.only]}
    print(about_the_machine(chosen.folder))
    print(f"{OCTETS} octets a message, {UPSTREAM_CONNECTIONS} connections upstream, "
          f"{f'TLS on both lines, in by {chosen.tls}' if chosen.tls else 'clear text'}, median of {chosen.repeat}\n")
    print("| sessions | relay | " + " | ".join(title for _, title, _ in COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    for sessions in chosen.sessions or sorted(MESSAGES):
        messages = chosen.messages or MESSAGES[sessions]
        results = {name: [] for name in contenders}
        for _ in range(chosen.repeat):
            for name, kind in contenders.items():
                results[name].append(measure(kind, chosen.folder / name, way, (sessions, messages)))
        medians = {
            name: {key: statistics.median(one[key] for one in rows) for key, _, _ in COLUMNS} for name, rows in results.items()
        }
        for name, row in medians.items():
            cells = " | ".join(f"{row[key]:,.{digits}f}" for key, _, digits in COLUMNS)
            print(f"| {sessions} | {name} | {cells} |", flush=True)
        if len(medians) == 2:
            ours, theirs = medians["mailsluice"], medians["postfix"]
            print(f"| {sessions} | ratio | {ours['accept'] / theirs['accept']:.2f} × | {ours['end'] / theirs['end']:.2f} × | "
                  f"{ours['cpu'] / theirs['cpu']:.2f} × | {ours['idle'] / theirs['idle']:.2f} × | "
                  f"{ours['peak'] / theirs['peak']:.2f} × | {ours['after'] / theirs['after']:.2f} × |", flush=True)


def about_the_machine(folder):
    """Cores, processor, file system and the cost of a sync, without which the figures say little."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    disk = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    probe = folder / "probe"
    with probe.open("wb") as file:
        started = time.monotonic()
        for _ in range(100):
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
        cost = (time.monotonic() - started) * 10
    probe.unlink()
    warning = " (NOT a disk: the figures mean nothing)" if disk in ("tmpfs", "ramfs") else ""
    postfix = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    return (f"{os.cpu_count()} cores, {model.group(1) if model else 'unknown processor'}, {disk}{warning}, "
            f"{cost:.2f} ms a write with fdatasync, Postfix {postfix}")


if __name__ == "__main__":
    main()
