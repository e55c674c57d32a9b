"""Real text, cut to size: the sources of this repository's dependencies, line by line.

Every line is valid UTF-8 without carriage returns, because Java's console tools read text and end a line at either.
"""

import os
from pathlib import Path

LINE_BYTES_MAX = 100_000


def sources(root):
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    for base in (root / "vendor", cargo / "registry" / "src", root / "src", Path(os.__file__).parent):
        if base.is_dir():
            yield base


def usable(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\r" not in data and b"\0" not in data


def write(root, path, size, blank_lines=True):
    """Writes about `size` bytes of lines, each ended by a newline; returns the number of lines."""
    written = count = 0
    with open(path, "wb") as out:
        for file in (f for base in sources(root) for kind in ("*.rs", "*.md", "*.py") for f in sorted(base.rglob(kind))):
            data = file.read_bytes() if file.is_file() else b""
            if not usable(data):
                continue
            for line in data.split(b"\n"):
                if len(line) > LINE_BYTES_MAX or not (line or blank_lines):
                    continue
                out.write(line + b"\n")
                written += len(line) + 1
                count += 1
                if written >= size:
                    return count
    return count
