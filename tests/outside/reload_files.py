"""Configuration files for reloads under load: valid ones that change all that may change, and broken ones of every kind."""

import hashlib
import subprocess
from dataclasses import dataclass, field, replace

from network import free_port

# Listeners that are there now and then, and a user who is; all others stay.
DOORS = ("left", "right", "direct")
USER, GUEST = "erp", "guest"
BROKEN_VERSION = "broken"


@dataclass(frozen=True)
class Settings:
    """What a configuration says, as far as it may differ from another. `version` is written into the header of each mail."""

    version: str = "0"
    doors: tuple = ()
    guest: str | None = None
    certificate: str = "one"
    console: int | None = 0
    token: str = "token-0"
    login: str = "first"
    accounts: int = 0
    connections: int = 8
    per_minute: int | None = None
    more: dict = field(default_factory=dict)


def another(chance, version):
    """A valid configuration by chance."""
    return Settings(
        version=version,
        doors=tuple(door for door in DOORS if chance.random() < 0.5),
        guest=chance.choice([None, "before", "before", "after"]),
        certificate=chance.choice(["one", "two"]),
        console=chance.choice([None, 0, 1]),
        token=f"token-{version}" if chance.random() < 0.5 else "token-0",
        login=chance.choice(["first", "changed"]),
        accounts=chance.randrange(3),
        connections=chance.randint(2, 8),
        per_minute=chance.choice([None, 50_000, 90_000]),
        more={
            "recipients": chance.randint(100, 999), "clients": chance.randint(300, 999), "patience": chance.randint(60, 300),
            "command": chance.randint(60, 300), "messages": chance.randint(100_000, 999_999), "priority": chance.choice(["low", "normal", "high"]),
            "level": chance.choice(["info", "debug"]), "text": chance.choice(["", "Greetings"]),
        },
    )


class Place:
    """Where a relay runs: its ports, its certificates, and its file."""

    def __init__(self, folder, relay_port, upstream_port):
        self.folder, self.upstream_port = folder, upstream_port
        self.ports = {"plain": relay_port, "tls": free_port(), **{door: free_port() for door in DOORS}}
        self.consoles = [free_port(), free_port()]
        for name in ("one", "two"):
            words = ["-nodes", "-days", "2", "-subj", f"/CN={name}.relay.test", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
            key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            subprocess.run(["openssl", "req", "-x509", *key, *words], cwd=folder, check=True, capture_output=True, timeout=60)

    def listening(self, settings):
        """The ports that are open with these settings."""
        return sorted(self.ports[name] for name in ("plain", "tls", *settings.doors))

    def console(self, settings):
        """The console's port, if there is one."""
        return None if settings.console is None else self.consoles[settings.console]

    def certificate(self, settings):
        """The certificate in force, as DER."""
        done = subprocess.run(
            ["openssl", "x509", "-in", self.folder / f"{settings.certificate}.pem", "-outform", "DER"],
            check=True, capture_output=True, timeout=60,
        )
        return done.stdout

    def text(self, settings, certificate=None, key=None):
        """The whole file."""
        more = {"recipients": 100, "clients": 500, "patience": 120, "command": 120, "messages": 500_000, "priority": "normal", "level": "info", "text": ""}
        more |= settings.more
        console = self.console(settings)
        parts = [
            'hostname = "relay.test"\ndata_dir = "data"\n',
            f'[log]\nformat = "json"\nlevel = "{more["level"]}"\n',
            f'[console]\naddress = "{f"127.0.0.1:{console}" if console else "off"}"\n',
            f'[[api_token]]\nname = "watcher"\nhash = "sha256:{hashlib.sha256(settings.token.encode()).hexdigest()}"\nrole = "viewer"\n',
            f'[session]\nmax_recipients = {more["recipients"]}\nmax_connections = {more["clients"]}\ncommand_timeout = "{more["patience"]}s"\n',
            f'[queue]\nretry_min = "1s"\nretry_max = "2s"\nmax_messages = {more["messages"]}\n',
            f'[[listener]]\naddress = "127.0.0.1:{self.ports["plain"]}"\n',
            f'[[listener]]\naddress = "127.0.0.1:{self.ports["tls"]}"\ntls = "starttls"\nauth = "required"\n'
            f'certificate = "{certificate or settings.certificate}.pem"\nkey = "{key or settings.certificate}.key"\n',
            *[self._door(door) for door in settings.doors],
            f'[[user]]\nname = "{USER}"\npassword = "stays"\npriority = "{more["priority"]}"\n',
            f'[[user]]\nname = "{GUEST}"\npassword = "{settings.guest}"\n' if settings.guest else "",
            f'[[rule]]\nname = "version"\nwhen = {{ header = "X-Number", matches = "." }}\nset_header = {{ "X-Version" = "{settings.version}" }}\n',
            f'[[rule]]\nname = "greeting"\nwhen = {{ header = "X-Number", matches = "." }}\nset_header = {{ "X-Text" = "{more["text"]}" }}\n' if more["text"] else "",
            self._upstream(settings, more),
        ]
        return "".join(parts)

    def _door(self, door):
        mode = 'mode = "direct"\n' if door == "direct" else ""
        return f'[[listener]]\naddress = "127.0.0.1:{self.ports[door]}"\n{mode}'

    def _upstream(self, settings, more):
        minute = f"per_minute = {{ messages = {settings.per_minute} }}\n" if settings.per_minute else ""
        accounts = "".join(f'[[upstream.account]]\nuser = "more-{n}"\npassword = "secret"\n' for n in range(settings.accounts))
        return (
            f'[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\nport = {self.upstream_port}\nsecurity = "none"\n'
            f'user = "main"\npassword = "{settings.login}"\n'
            f'[upstream.limits]\nconnections = {settings.connections}\n{minute}'
            f'[upstream.timeouts]\ncommand = "{more["command"]}s"\n{accounts}'
        )


def expected_changes(old, new, place):
    """What the answer to a reload must name among others, and what not."""
    doors = lambda settings: {f"listener 127.0.0.1:{place.ports[door]}" for door in settings.doors}
    named = {f"{door}: new" for door in doors(new) - doors(old)} | {f"{door}: gone" for door in doors(old) - doors(new)}
    if old.version != new.version:
        named.add("rule version: changed")
    if old.certificate != new.certificate:
        named.add(f"listener 127.0.0.1:{place.ports['tls']}: changed")
    if old.console != new.console:
        named.add("console.address")
    if old.token != new.token:
        named.add("api_token watcher: changed")
    if old.guest != new.guest:
        named.add(f"user {GUEST}: {'new' if not old.guest else 'gone' if not new.guest else 'changed'}")
    if (old.login, old.accounts, old.connections, old.per_minute) != (new.login, new.accounts, new.connections, new.per_minute):
        named.add("upstream sink: changed")
    return named


class Broken:
    """A broken file that would change everything else, too. `words` must stand in what is said about it."""

    def __init__(self, name, words, change=lambda text: text, **text):
        self.name, self.words, self.change, self.options = name, words, change, text

    def write(self, place, file, settings):
        """Puts it in the place of the file."""
        text = place.text(replace(settings, version=BROKEN_VERSION), **self.options)
        changed = self.change(text)
        if changed is None:
            file.unlink()
        elif isinstance(changed, bytes):
            file.write_bytes(changed)
        else:
            file.write_text(changed)


def all_broken(place, taken_port):
    """One of each kind."""
    return [
        Broken("syntax", "upstream", lambda text: text + "[[upstream\n"),
        Broken("half a file", "mailsluice.toml", lambda text: text[: len(text) // 2] + "\n= \n"),
        Broken("unknown key", "max_mesages", lambda text: text.replace("max_messages", "max_mesages")),
        Broken("bad value", "retry_min", lambda text: text.replace('retry_min = "1s"', 'retry_min = "soon"')),
        Broken("wrong type", "port", lambda text: text.replace(f"port = {place.upstream_port}", 'port = "smtp"')),
        Broken("double name", "sink", lambda text: text + '[[upstream]]\nname = "sink"\nhost = "127.0.0.1"\n'),
        Broken("no file", "mailsluice.toml", lambda text: None),
        Broken("not UTF-8", "mailsluice.toml", lambda text: text.encode() + b"# \xff\xfe\n"),
        Broken("certificate missing", "none.pem", certificate="none"),
        Broken("key of another certificate", "two.key", certificate="one", key="two"),
        Broken("another data folder", "data_dir", lambda text: text.replace('data_dir = "data"', 'data_dir = "other"')),
        Broken("address taken", f"127.0.0.1:{taken_port}", lambda text: text + f'[[listener]]\naddress = "127.0.0.1:{taken_port}"\n'),
        Broken("secret missing", "no-secret", lambda text: text.replace('password = "stays"', 'password = { file = "no-secret" }')),
    ]
