"""The measuring part of `benches/compare/run`; see benches/README.md for what is measured and how."""

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "outside"))

from chart import draw  # noqa: E402
from ends import Clear, Encrypted, Load  # noqa: E402
from figures import Loopback, measure  # noqa: E402
from machine import machine, sentence  # noqa: E402
from relays import UPSTREAM_CONNECTIONS, MailsluiceRelay, PostfixRelay, SigningRelay  # noqa: E402
from unpacked import EximRelay, OpenSmtpdRelay  # noqa: E402

CONTENDERS = {
    "loopback": Loopback, "mailsluice": MailsluiceRelay, "postfix": PostfixRelay, "opensmtpd": OpenSmtpdRelay, "exim": EximRelay,
}
SIZES = {"10k": 10_240, "5m": 5 << 20}
# Enough that a fast relay is at it for a second or more.
MESSAGES = {("10k", 1): 2_000, ("10k", 20): 6_000, ("10k", 100): 6_000}
LARGE = 100
COLUMNS = [("accepted", "accepted/s", 0), ("delivered", "delivered/s", 0), ("cpu", "CPU ms/message", 3),
           ("written", "KiB written/message", 1), ("idle", "idle MiB", 1), ("peak", "peak MiB", 1), ("after", "idle after MiB", 1)]


@dataclass(frozen=True)
class Case:
    """One load on one kind of lines."""

    tls: str
    connections: str
    size: str
    sessions: int

    def title(self):
        lines = {"none": "clear text", "starttls": "TLS", "implicit": "TLS from the first octet"}[self.tls]
        sessions = f"{self.sessions} sessions" if self.sessions > 1 else "1 session"
        each = "a connection for each message" if self.connections == "each" else "kept connections"
        return f"{sessions}, {self.size[:-1]} {self.size[-1].upper()}B, {each}, {lines}"

    def load(self, messages):
        count = messages or MESSAGES.get((self.size, self.sessions), LARGE if self.size == "5m" else 6_000)
        return Load(self.sessions, count, SIZES[self.size], self.connections == "each")


def several(kind, choices):
    """An option's type: values apart by commas."""
    def parse(text):
        values = [kind(word) for word in text.split(",")]
        for value in values:
            if value not in choices:
                raise argparse.ArgumentTypeError(f"{value}: choose from {', '.join(map(str, choices))}")
        return values
    return parse


def options():
    words = argparse.ArgumentParser(prog="benches/compare/run", description="Options that take several values take them apart by commas.")
    words.add_argument("--relays", type=several(str, [*CONTENDERS]), default=[*CONTENDERS], help=f"of {', '.join(CONTENDERS)}")
    words.add_argument("--dkim", action="store_true", help="Mailsluice once more, signing with Ed25519")
    words.add_argument("--sessions", type=several(int, [1, 10, 20, 100]), help="of 1, 20, 100 (5m: always 10)")
    words.add_argument("--size", type=several(str, [*SIZES]), default=[*SIZES], help="of 10k, 5m")
    words.add_argument("--connections", type=several(str, ["kept", "each"]), default=["kept", "each"], help="of kept, each (5m: always kept)")
    words.add_argument("--tls", type=several(str, ["none", "starttls", "implicit"]), default=["none", "starttls"], help="of none, starttls, implicit")
    words.add_argument("--messages", type=int, help="instead of the usual number")
    words.add_argument("--rounds", type=int, default=5, help="the median of so many is printed")
    words.add_argument("--json", type=Path, help="writes the figures there as well")
    words.add_argument("--chart", type=Path, help="draws them there (SVG)")
    words.add_argument("--from", dest="earlier", type=Path, help="measures nothing: prints and draws the figures of such a JSON file")
    words.add_argument("--folder", type=Path, required=True, help="where the queues are, on the disk to measure")
    return words.parse_args()


def cases(chosen):
    found = []
    for tls, size in itertools.product(chosen.tls, chosen.size):
        if size == "5m":
            found.append(Case(tls, "kept", size, 10))
            continue
        found += [Case(tls, connections, size, sessions)
                  for connections in chosen.connections for sessions in chosen.sessions or [1, 20, 100]]
    return found


def contenders(chosen):
    """In the order of the table; each by its key in the figures."""
    found = {name: CONTENDERS[name] for name in CONTENDERS if name in chosen.relays}
    if chosen.dkim:
        found["mailsluice-dkim"] = SigningRelay
    return found


def measure_case(case, chosen, way):
    """All contenders in turn, so many rounds. Returns the medians of each, with the single rounds."""
    load = case.load(chosen.messages)
    kinds = {name: kind for name, kind in contenders(chosen).items() if way.clear or not getattr(kind, "only_clear", False)}
    rounds = {name: [] for name in kinds}
    for number in range(chosen.rounds):
        for name, kind in kinds.items():
            figures, agreed = measure(kind, chosen.folder / name, way, load)
            rounds[name].append(figures)
            print(f"{case.title()}, round {number + 1}, {kind.title}: {figures['delivered']:,.0f} delivered/s"
                  f"{f'; {agreed}' if agreed else ''}", file=sys.stderr, flush=True)
    return {
        name: {"title": kinds[name].title, "rounds": found,
               "median": {key: statistics.median(one[key] for one in found) for key in found[0]}}
        for name, found in rounds.items()
    }


def table(result):
    """The case's rows in Markdown; each relay's deliveries also as parts of bare loopback's and Postfix's."""
    relays = result["relays"]
    limit, postfix = relays.get("loopback"), relays.get("postfix")
    lines = [f"\n### {result['title']} ({result['messages']:,} messages)\n",
             "| relay | " + " | ".join(title for _, title, _ in COLUMNS) + " | of bare loopback | of Postfix |",
             "|---|" + "---|" * (len(COLUMNS) + 2)]
    for relay in relays.values():
        row = relay["median"]
        cells = [f"{row[key]:,.{digits}f}" if key in row else "" for key, _, digits in COLUMNS]
        cells.append(f"{row['delivered'] / limit['median']['delivered']:.0%}" if limit else "")
        cells.append(f"{row['delivered'] / postfix['median']['delivered']:.2f} ×" if postfix else "")
        lines.append(f"| {relay['title']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def versions(chosen):
    """What the relays call themselves."""
    def said(*words):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
        return (done.stdout + done.stderr).strip()

    found = {}
    if "mailsluice" in chosen.relays or chosen.dkim:
        found["mailsluice"] = said(os.environ["MAILSLUICE_BIN"], "--version").split("\n")[0]
    if "postfix" in chosen.relays:
        found["postfix"] = "Postfix " + said("postconf", "-d", "-h", "mail_version")
    for name in ("opensmtpd", "exim"):
        if name in chosen.relays:
            found[name] = (Path(os.environ["PEERS"]) / name / "version").read_text().strip()
    return found


def run(chosen):
    """Measures the chosen cases, printing each as soon as it is known."""
    chosen.folder.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(chosen.folder), "versions": versions(chosen), "rounds": chosen.rounds,
              "upstream_connections": UPSTREAM_CONNECTIONS, "cases": []}
    print(preface(report), flush=True)
    ways = {}
    for case in cases(chosen):
        if case.tls not in ways:
            ways[case.tls] = Clear() if case.tls == "none" else Encrypted(case.tls, chosen.folder / f"tls-{case.tls}")
        result = {**vars(case), "title": case.title(), "messages": case.load(chosen.messages).messages,
                  "relays": measure_case(case, chosen, ways[case.tls])}
        report["cases"].append(result)
        print(table(result), flush=True)
        write(report, chosen)
    return report


def preface(report):
    return (f"{sentence(report['machine'])}; {', '.join(report['versions'].values())}; "
            f"{report['upstream_connections']} connections upstream; median of {report['rounds']}.")


def write(report, chosen):
    """After each case, so that a run that is broken off leaves something."""
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    if chosen.chart:
        chosen.chart.write_text(draw(report, preface(report)))


def main():
    # Whoever ends it gets the clean-up as well: no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = options()
    if not chosen.earlier:
        run(chosen)
        return
    report = json.loads(chosen.earlier.read_text())
    print(preface(report))
    for result in report["cases"]:
        print(table(result))
    write(report, chosen)


if __name__ == "__main__":
    main()
