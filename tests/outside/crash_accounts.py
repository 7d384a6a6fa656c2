"""Flows of accounts: a refresh token that changes with each use, copies in Sent folders."""

import shutil
import subprocess
import time
from collections import Counter

from crash_flows import LARGE, QUEUE, SENDER, SMALL, Flow, World, own_port
from crash_mailbox import MailboxUpstream
from crash_provider import Provider, TokenUpstream
from network import wait_until
from postfix import make_certificates
from relay import binary, clean_environment


class Tokens(Flow):
    """The access token is refused, another one is fetched, and the refresh token that comes with it is stored."""

    def __init__(self, folder):
        """Signs in once."""
        self.provider = Provider(own_port())
        self.signed_in = World(folder, self, None)
        world = self.signed_in
        try:
            world.relay.environment = {}
            world.launch()
            world.wait_up()
            words = [binary(), "--config", str(world.relay.file), "connect", "m365"]
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
            )
            assert done.returncode == 0, f"{done.stdout}{done.stderr}"
            world.send(size=SMALL)
            wait_until(world.is_empty, 30, world.log_tail)
            assert world.relay.terminate() == 0
        finally:
            world.close()

    def upstream(self):
        return TokenUpstream(own_port(), self.provider)

    def config(self, upstream):
        return (
            f'{QUEUE}[[oauth]]\nname = "m365"\nprovider = "custom"\nflow = "device_code"\nclient_id = "relay"\n'
            f'token_url = "{upstream.url}/token"\ndevice_url = "{upstream.url}/device"\nscope = "mail offline_access"\n'
            f'[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {upstream.port}\nsecurity = "none"\n'
            'user = "office@firm.example"\noauth = "m365"\n[upstream.limits]\nconnections = 1\nmessages_per_connection = 1\n'
        )

    def prepare(self, world):
        shutil.copytree(self.signed_in.relay.data, world.relay.data)
        world.letters = list(self.signed_in.letters)
        world.upstream.taken = list(self.signed_in.upstream.taken)
        world.upstream.history = list(self.signed_in.upstream.history)
        world.relay.log_file.write_bytes(self.signed_in.relay.log_file.read_bytes())

    def act(self, world):
        for _ in range(3):
            world.upstream.revoke()
            world.send(size=SMALL)
            world.calm()

    def conclude(self, world):
        world.upstream.revoke()
        world.send(size=SMALL)
        wait_until(lambda: world.is_empty() or world.upstream.is_lost, 60, world.log_tail)
        return ["the sign-in is lost: an old refresh token was shown"] if world.upstream.is_lost else []


class Copies(Flow):
    """What was sent is put into the account's Sent folder, once."""

    def __init__(self, folder):
        """Makes what TLS needs."""
        folder.mkdir()
        make_certificates(folder)
        self.tls = folder
        self.password = folder / "password"
        self.password.write_text("secret\n")
        self.password.chmod(0o600)

    def upstream(self):
        return MailboxUpstream(own_port(), own_port(), self.tls)

    def config(self, upstream):
        return (
            f'{QUEUE}[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {upstream.port}\nsecurity = "none"\n'
            f'user = "{SENDER}"\npassword = {{ file = "{self.password}" }}\nca_file = "{self.tls}/ca.pem"\n'
            f'[upstream.sent_copy]\nimap = "127.0.0.1:{upstream.imap}"\n'
        )

    def act(self, world):
        for kinds, size in [(["good"], SMALL), (["good", "good"], LARGE), (["good", "bad"], SMALL)]:
            world.send(*kinds, size=size)
            world.calm()
        self.wait_copies(world, 10)

    def finish(self, world):
        self.wait_copies(world, 60)
        copies, wanted = self.copies(world), self.wanted(world)
        faults = [f"{copies[number]} copies of {number} are in the Sent folder" for number in wanted if copies[number] != 1]
        contents = {sent.number: sent.content for sent in world.letters}
        return faults + [f"the copy of {number} is not whole" for _, number, octets in world.upstream.history
                         if number in contents and not octets.endswith(contents[number])]

    def wanted(self, world):
        """What has gone out, and is no report; but where the log says that there was no room for its copy."""
        given_up = {event["queue_id"] for event in world.events() if event["event"] == "copy_given_up"}
        went = (each for each in world.upstream.taken if not each.is_report and each.queue_id not in given_up)
        return sorted({each.number for each in went})

    def copies(self, world):
        return Counter(number for _, number, _ in world.upstream.history)

    def wait_copies(self, world, seconds):
        """Until each has its copy, the relay has died, or time is up."""
        end = time.monotonic() + seconds
        while world.is_alive() and time.monotonic() < end and self.wanted(world) != sorted(self.copies(world)):
            time.sleep(0.02)
