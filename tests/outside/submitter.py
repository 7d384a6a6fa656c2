"""An SMTP client that shows each reply as it is: what smtplib hides when a session ends."""

import base64
import socket


class Ended(Exception):
    """The relay has ended the session, or refused something. `reply` is the last that was read, `stage` what it was about."""

    def __init__(self, stage, reply):
        super().__init__(f"{stage}: {reply}")
        self.stage, self.reply = stage, reply


class Submitter:
    """A session over 127.0.0.1, with pipelining (RFC 2920)."""

    def __init__(self, port, patience=60):
        self.connection = socket.create_connection(("127.0.0.1", port), patience)
        self.lines = self.connection.makefile("rb")
        self._wanted("greeting", "220", self._reply("greeting"))
        self._greet()

    def _greet(self):
        self._wanted("EHLO", "250", self.ask("EHLO client.test")[0])

    def _wanted(self, stage, code, reply):
        if not reply.startswith(code):
            raise Ended(stage, reply)
        return reply

    def _reply(self, stage):
        """The last line of a reply."""
        while True:
            try:
                line = self.lines.readline()
            except OSError as fault:
                raise Ended(stage, repr(fault)) from fault
            if not line:
                raise Ended(stage, "closed without a word")
            if line[3:4] != b"-":
                reply = line.decode().rstrip()
                if reply.startswith("421"):
                    # Behind it comes nothing any more (RFC 5321 4.2.2).
                    raise Ended(stage, reply)
                return reply

    def _send(self, octets):
        try:
            self.connection.sendall(octets)
        except OSError:
            # Why it has ended is in what can be read.
            pass

    def ask(self, *commands):
        """The replies to commands that are sent together."""
        self._send("".join(f"{command}\r\n" for command in commands).encode())
        return [self._reply(command.split()[0]) for command in commands]

    def start_tls(self, context):
        """RFC 3207; the context does not verify a name."""
        self._wanted("STARTTLS", "220", self.ask("STARTTLS")[0])
        self.lines.close()
        self.connection = context.wrap_socket(self.connection)
        self.lines = self.connection.makefile("rb")
        self._greet()

    def login(self, user, password):
        """AUTH PLAIN (RFC 4616)."""
        answer = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self._wanted("AUTH", "235", self.ask(f"AUTH PLAIN {answer}")[0])

    def begin(self, sender, recipients):
        """Envelope and DATA."""
        commands = [f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{recipient}>" for recipient in recipients], "DATA"]
        *envelope, data = self.ask(*commands)
        for command, reply in zip(commands, envelope, strict=False):
            self._wanted(command.split()[0], "250", reply)
        self._wanted("DATA", "354", data)

    def send(self, octets):
        """A part of the content."""
        self._send(octets)

    def finish(self):
        """The end of the content; returns the queue id."""
        self._send(b".\r\n")
        return self._wanted("content", "250", self._reply("content")).split()[-1]

    def submit(self, sender, recipients, content):
        """A whole message without lines that begin with a dot. Returns its queue id."""
        self.begin(sender, recipients)
        self.send(content)
        return self.finish()

    def close(self):
        """With QUIT; a session that has ended before raises."""
        self._wanted("QUIT", "221", self.ask("QUIT")[0])
        self.drop()

    def drop(self):
        """Without a word."""
        self.lines.close()
        self.connection.close()
