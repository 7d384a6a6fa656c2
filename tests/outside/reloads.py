"""Reloads the relay again and again under load, each time with another configuration, and counts what became of every message.

    python3 tests/outside/reloads.py --rounds 100

The clients and the upstream are those of crash.py. Each reload changes what it can: the upstream's name, its connections, its
limits, whether it is enabled, a fallback. Then: every acknowledged number has arrived exactly once,
and the totals agree. A reload breaks off nothing, so no duplicate is allowed.
"""

import random
import time

from by_hand import by_hand
from crash import CONFIG, UPSTREAM_CONNECTIONS, Load
from relay import Relay
from sink import Sink


def another(chance, port):
    """A configuration with the same way out and everything else by chance."""
    main = CONFIG.format(port=port, connections=chance.randint(1, UPSTREAM_CONNECTIONS))
    main = main.replace('name = "sink"', f'name = "{chance.choice(["sink", "renamed"])}"')
    if chance.random() < 0.3:
        main = main.replace('security = "none"', 'security = "none"\nenabled = false\nfallback = ["other"]\nfallback_on = ["disabled"]')
    if chance.random() < 0.3:
        main += f"per_minute = {{ messages = {chance.randint(5_000, 50_000)} }}\n"
    if "fallback" in main or chance.random() < 0.3:
        main += f'[[upstream]]\nname = "other"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nfilter = ["other.example"]\n'
    return main.replace('name = "', 'default = true\nname = "', 1)


def rounds(folder, count, seed, say=lambda text: None):
    """Makes that many reloads and returns (load, sink, totals) with the queue empty again."""
    chance = random.Random(seed)
    sink = Sink(delay=0.002, keep=False).start()
    relay = Relay(folder, another(chance, sink.port))
    relay.start(60)
    load = Load(relay.port, seed=seed).start()
    try:
        for number in range(1, count + 1):
            time.sleep(chance.choice([0.01, 0.1, 0.3, 0.6]))
            relay.write(another(chance, sink.port))
            relay.command("reload")
            say(f"reload {number}: {len(load.acknowledged)} acknowledged, {sum(sink.numbers.values())} arrived")
        load.stop()
        relay.write(CONFIG.format(port=sink.port, connections=UPSTREAM_CONNECTIONS))
        relay.command("reload")
        relay.wait_empty(60 + relay.queued() / 100)
        totals = relay.command("status")["totals"]
        assert relay.terminate() == 0
    finally:
        load.ending.set()
        relay.close()
        sink.stop()
    return load, sink, totals


def verdict(load, sink, totals):
    """The faults found, and the figures."""
    arrived = dict(sink.numbers)
    lost = sorted(load.acknowledged - arrived.keys())
    repeated = sum(times - 1 for times in arrived.values())
    faults = []
    if lost:
        faults.append(f"{len(lost)} acknowledged messages are lost: {lost[:10]}")
    if repeated:
        faults.append(f"{repeated} duplicates")
    if totals["sent"] != totals["accepted"] or totals["sent"] != len(arrived):
        faults.append(f"the totals do not agree with {len(arrived)} arrived: {totals}")
    figures = f"{len(load.acknowledged)} acknowledged, {len(arrived)} arrived, {len(lost)} lost, {repeated} duplicates"
    return faults, figures


def main():
    def run(folder, count, seed, say):
        load, sink, totals = rounds(folder, count, seed, say=say)
        faults, figures = verdict(load, sink, totals)
        return faults, f"{count} reloads, {figures}"

    by_hand(__doc__, "reloads", 100, run)


if __name__ == "__main__":
    main()
