"""Flows of accounts: a refresh token that changes with each use."""

import shutil
import subprocess

from crash_flows import QUEUE, SMALL, Flow, World, own_port
from crash_provider import Provider, TokenUpstream
from network import wait_until
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
