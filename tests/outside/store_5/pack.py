"""Packs a folder always the same way: `python3 pack.py FOLDER store.tar.xz`."""

import io
import lzma
import sys
import tarfile
from pathlib import Path


def main():
    source, packed = map(Path, sys.argv[1:])
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(source.rglob("*")):
            info = tarfile.TarInfo(str(path.relative_to(source)))
            if path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(info)
            else:
                info.size, info.mode = path.stat().st_size, 0o600
                with path.open("rb") as file:
                    tar.addfile(info, file)
    smallest = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0}
    packed.write_bytes(lzma.compress(plain.getvalue(), filters=[smallest]))


if __name__ == "__main__":
    main()
