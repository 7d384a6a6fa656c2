"""Clients that submit for as long as they are let."""

import random
import threading


class Clients:
    """`_submit(client, chance)` is what each does until `ending` is set, with a chance of its own."""

    def __init__(self, port, clients, seed, patience):
        self.port = port
        self.tried = 0
        self.patience = patience
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._submit, args=(n, random.Random(seed * 1000 + n))) for n in range(clients)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(self.patience)
            assert not thread.is_alive(), "a client hangs"
