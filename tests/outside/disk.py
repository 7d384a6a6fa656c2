"""The relay's disk, watched: each call that changes something below `data_dir` is counted, can be made to fail or to be the
last one, and is written down, so that a power loss can be played back (disk/layer.c).

A power loss leaves what was synced. Of the rest it leaves what the seed draws: nothing, all, the first part, or of each sector
and each name in a folder some state that it has been in.
"""

import mmap
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "disk" / "layer.c"
SECTOR = 512
WRITE, TRUNCATE, CREATE, MKDIR, RENAME, UNLINK, LINK, SYNC, SAID, FAILED_SYNC, LOGGED = range(1, 12)
# What a fault does with the call that it strikes: the relay is killed before it, or when half of it is written, or it fails.
KILL, CUT, FAIL = 1, 2, 3
WAYS = ["nothing", "all", "first", "any"]


def build_layer(folder):
    """Compiles the layer; returns its file."""
    made = Path(folder) / "layer.so"
    words = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
    subprocess.run(words, check=True, timeout=60)
    return made


class Disk:
    """The layer below one relay: `environment` loads it. `folder` is its own, `root` is what it watches."""

    LAYOUT = struct.Struct("=QQQIIQQ256s256s")

    def __init__(self, layer, folder, root):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = Path(root)
        self.journal_file = self.folder / "journal"
        control = self.folder / "control"
        control.write_bytes(bytes(mmap.PAGESIZE))
        with control.open("r+b") as file:
            self.control = mmap.mmap(file.fileno(), 0)
        self.environment = {
            "LD_PRELOAD": str(layer), "DISK_LAYER_ROOT": str(self.root), "DISK_LAYER_CONTROL": str(control),
            "DISK_LAYER_JOURNAL": str(self.journal_file),
        }

    def arm(self, fault, call, error=0, times=1):
        """From now on the fault strikes that many calls, from that call on; the first one is 1."""
        calls = self._read()[0]
        struct.pack_into("=QQII", self.control, 8, calls + call, times, fault, error)

    def disarm(self):
        struct.pack_into("=Q", self.control, 8, 0)

    @property
    def calls(self):
        return self._read()[0]

    @property
    def recorded(self):
        """Records in the journal."""
        return self._read()[5]

    @property
    def struck(self):
        """What the fault has struck, None so far."""
        read = self._read()
        return read[7].rstrip(b"\0").decode(errors="replace") if read[6] else None

    def assert_sees_all(self):
        alien = self._read()[8].rstrip(b"\0").decode(errors="replace")
        assert not alien, f"disk/layer.c does not know what this does to files: {alien}"

    def journal(self):
        return read_journal(self.journal_file)

    def _read(self):
        return self.LAYOUT.unpack_from(self.control)


@dataclass
class Record:
    """A change that was made, or a reply that was said."""

    operation: int
    path: str
    second: str
    offset: int
    data: bytes


def read_journal(file):
    """The records; one that a kill has cut off is none."""
    head = struct.Struct("=IIIIQQ")
    octets, at, records = Path(file).read_bytes(), 0, []
    while at + head.size <= len(octets):
        operation, path, second, _, offset, data = head.unpack_from(octets, at)
        at += head.size
        end = at + path + second + data
        if end > len(octets):
            break
        name = lambda start, length: octets[start : start + length].decode()
        records.append(Record(operation, name(at, path), name(at + path, second), offset, octets[end - data : end]))
        at = end
    return records


@dataclass
class File:
    """What was synced of a file, and what was done to it since: (offset, data), or a size where it was cut."""

    synced: bytearray = field(default_factory=bytearray)
    since: list = field(default_factory=list)

    def now(self):
        return apply(self.synced, self.since)

    def sync(self):
        self.synced, self.since = self.now(), []

    def left(self, way, chance):
        """What a power loss leaves."""
        if way == "nothing":
            return bytes(self.synced)
        if way == "all":
            return bytes(self.now())
        if way == "first":
            return bytes(apply(self.synced, self.since[: chance.randint(0, len(self.since))]))
        return bytes(self._any(chance))

    def _any(self, chance):
        """Each sector in a state of its own. What was cut parts the writes before it from those behind it."""
        cuts = [place for place, change in enumerate(self.since) if isinstance(change, int)]
        begin = chance.choice([0, *(cut + 1 for cut in cuts)])
        end = next((cut for cut in cuts if cut >= begin), len(self.since))
        content = apply(self.synced, self.since[:begin])
        sectors = {}
        for offset, data in self.since[begin:end]:
            first, last = offset // SECTOR, (offset + len(data) - 1) // SECTOR
            for sector in range(first, last + 1):
                start, stop = max(offset, sector * SECTOR), min(offset + len(data), (sector + 1) * SECTOR)
                sectors.setdefault(sector, []).append((start, data[start - offset : stop - offset]))
        whole = len(apply(content, self.since[begin:end]))
        for changes in sectors.values():
            content = apply(content, changes[: chance.randint(0, len(changes))])
        # The size may have reached the disk before the octets: there are zeros then.
        if len(content) < whole and chance.random() < 0.5:
            content.extend(bytes(whole - len(content)))
        return content


def apply(content, changes):
    content = bytearray(content)
    for change in changes:
        if isinstance(change, int):
            del content[change:]
            content.extend(bytes(change - len(content)))
        else:
            offset, data = change
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
    return content


FOLDER = "folder"


def folder_of(path):
    return path.rpartition("/")[0]


class DiskState:
    """The folder as its users see it, and as the disk has it. Names are synced with their folder, contents with their file."""

    def __init__(self, before=None, forgets_syncs=False):
        """`before` is the folder as it was, all of it synced; `forgets_syncs` is the disk that lies."""
        self.forgets_syncs = forgets_syncs
        self.names, self.synced, self.since = {}, {}, []
        for path in sorted(Path(before).rglob("*")) if before else ():
            found = FOLDER if path.is_dir() else File(bytearray(path.read_bytes())) if path.is_file() else None
            if found is not None:
                self.names[str(path.relative_to(before))] = found
        self.synced = dict(self.names)

    def play(self, records):
        for record in records:
            self._one(record)
        return self

    def _one(self, record):
        operation, path = record.operation, record.path
        found = self.names.get(path)
        if operation in (WRITE, TRUNCATE) and isinstance(found, File):
            found.since.append((record.offset, record.data) if operation == WRITE else record.offset)
        elif operation == SYNC and not self.forgets_syncs:
            if isinstance(found, File):
                found.sync()
            elif found is FOLDER or not path:
                self._sync_folder(path)
        elif operation == FAILED_SYNC and isinstance(found, File):
            # The system has dropped what it could not write, and will call the next sync a success.
            found.since = []
        elif operation in (CREATE, MKDIR):
            # Whatever the name led to, it was missing then.
            if path:
                self._change([(path, File() if operation == CREATE else FOLDER)])
        elif operation == UNLINK and found is not None:
            self._change([(path, None)])
        elif operation in (RENAME, LINK) and found is not None:
            gone = [(path, None)] if operation == RENAME else []
            self._change([*gone, (record.second, found)])

    def _change(self, names):
        """One change, which is made whole or not at all."""
        self.since.append(names)
        put(self.names, names)

    def _sync_folder(self, folder):
        synced, later, settled = [], [], set()
        for names in reversed(self.since):
            if any(folder_of(path) == folder for path, _ in names):
                synced.append(names)
                settled |= {path for path, _ in names}
            else:
                # What was said of these names before is over.
                later.append([(path, found) for path, found in names if path not in settled])
        for names in reversed(synced):
            put(self.synced, names)
        self.since = [names for names in reversed(later) if names]

    def left(self, way, chance):
        """What a power loss leaves: {path: octets or FOLDER}."""
        names = dict(self.synced)
        if way == "all":
            changes = self.since
        elif way == "first":
            changes = self.since[: chance.randint(0, len(self.since))]
        else:
            changes = list(drawn(self.since, chance)) if way == "any" else []
        for change in changes:
            put(names, change)
        # The index of SQLite's log is made anew by whoever comes first; and what a folder holds goes with it.
        kept = {path: found for path, found in names.items() if not path.endswith("-shm")}
        reached = lambda path: not folder_of(path) or (folder_of(path) in kept and reached(folder_of(path)))
        return {
            path: FOLDER if found is FOLDER else found.left(way, chance) for path, found in kept.items() if reached(path)
        }


def put(names, change):
    for path, found in change:
        if found is None:
            names.pop(path, None)
        else:
            names[path] = found


def drawn(changes, chance):
    """Some of them; none behind one that is missing and that was about the same name."""
    missing = set()
    for names in changes:
        paths = {path for path, _ in names}
        if paths & missing or chance.random() < 0.5:
            missing |= paths
        else:
            yield names


def write_folder(folder, content):
    """Makes the folder anew with what is left."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(mode=0o700)
    for path in sorted(content):
        target = Path(folder) / path
        if content[path] is FOLDER:
            target.mkdir(mode=0o700)
        else:
            target.write_bytes(content[path])
            target.chmod(0o600)


def after_power_loss(before, records, way, seed, forgets_syncs=False):
    """What is in the folder when the power fails behind these records."""
    return DiskState(before, forgets_syncs).play(records).left(way, random.Random(seed))
