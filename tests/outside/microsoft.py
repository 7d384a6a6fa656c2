"""Exchange Online's SMTP AUTH of another family: smtp-server (npm), which refuses as Microsoft does."""

from network import wait_until
from node_program import NodeProgram

USER, PASSWORD = "mailer@firm.example", "pa55-of-the-mailer"


class Exchange(NodeProgram):
    """Takes tokens that the authorization server signed for the user that logs in, and one password."""

    program = "microsoft.js"

    def __init__(self, folder, tls, token_key):
        super().__init__(
            folder, key=str(tls / "server.key"), certificate=str(tls / "server.pem"), token_key=str(token_key),
            passwords={USER: PASSWORD},
        )
        self.ca_file = tls / "ca.pem"

    def clear(self):
        self.ask("/", {"refuse": None, "revoked": [], "logins": [], "mail": []})

    def refuse(self, reply, times=None):
        """Refuses so many logins, or all, with `reply` ("535 5.7.3 …")."""
        code, text = reply.split(" ", 1)
        self.ask("/", {"refuse": {"code": int(code), "text": text, "times": times}})

    def accept(self):
        self.ask("/", {"refuse": None})

    def revoke(self, *tokens):
        """They are refused from now on, and whoever is connected has to log in again."""
        self.ask("/", {"revoke": tokens, "cut": True})

    def logins(self, **fields):
        return [login for login in self.ask("/logins") if all(login[key] == value for key, value in fields.items())]

    def mail(self):
        return self.ask("/mail")

    def wait_mail(self, count=1, seconds=30, what=""):
        wait_until(lambda: len(self.mail()) >= count, seconds, lambda: f"{count} messages: {self.logins()} {what() if what else ''}")
        return self.mail()
