#!/usr/bin/env python3
"""Lets dkimpy and OpenDKIM verify signed samples, with the keys handed in from a file: no DNS.

Usage: verify_dkim.py FOLDER

FOLDER holds *.eml, and `keys`: one line per key, its name, a space, the text of its TXT record.
Every DKIM-Signature of every sample has to verify. Needs dkimpy and pynacl (PyPI), and opendkim (Debian). Exit status: 0 all did, 1 one did not, 2 a verifier is missing.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import dkim
    import nacl  # noqa: F401  dkimpy needs it for Ed25519
except ImportError as error:
    print(f"{error}: pip install dkimpy pynacl", file=sys.stderr)
    sys.exit(2)


def read_keys(folder):
    lines = (folder / "keys").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines)


def signatures(content):
    """How many signatures a sample has."""
    return len(re.findall(rb"(?mi)^dkim-signature\s*:", content.split(b"\r\n\r\n")[0]))


def dkimpy_faults(samples, keys):
    def answer(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        return keys.get(name.rstrip("."), "").encode()

    count = 0
    for sample in samples:
        content = sample.read_bytes()
        if signatures(content) == 0:
            yield f"{sample.name}: has no signature"
        for index in range(signatures(content)):
            count += 1
            try:
                valid = dkim.DKIM(content).verify(idx=index, dnsfunc=answer)
            except dkim.DKIMException as error:
                yield f"{sample.name}: signature {index}: {error}"
                continue
            if not valid:
                yield f"{sample.name}: signature {index} does not verify"
    print(f"dkimpy: {count} signatures of {len(samples)} samples")


def opendkim_faults(samples, keys):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "public").write_text("".join(f"{name} {text}\n" for name, text in keys.items()))
        (folder / "conf").write_text(f"TestPublicKeys {folder}/public\nMode v\n")
        verified = 0
        for sample in samples:
            # With -vv it prints the Authentication-Results, which tell of each signature.
            run = subprocess.run(
                ["opendkim", "-x", folder / "conf", "-vv", "-t", sample],
                capture_output=True, timeout=60, check=False)
            output = (run.stdout + run.stderr).decode(errors="replace")
            passed = len(re.findall(r"\bdkim=pass\b", output))
            if run.returncode == 0 and passed == signatures(sample.read_bytes()):
                verified += passed
            else:
                yield f"{sample.name}: {output.strip()}"
        print(f"OpenDKIM: {verified} signatures of {len(samples)} samples")


def main():
    folder = pathlib.Path(sys.argv[1])
    keys = read_keys(folder)
    samples = sorted(folder.glob("*.eml"))
    if not samples:
        sys.exit(f"{folder} holds no samples")
    faults = list(dkimpy_faults(samples, keys))
    try:
        faults += opendkim_faults(samples, keys)
    except FileNotFoundError:
        print("opendkim is missing: apt-get install opendkim", file=sys.stderr)
        sys.exit(2)
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
