"""What must not be in any committed file: hosts of package registries, folders of one machine.

    python -m tests.support.committed

Prints each find as path:line and exits 1 if there is any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Put together here, or this file would find itself.
_HOSTS = (
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "registry" + r"\.npmjs",
    "npmmirror" + r"\.com",
    "deb" + r"\.debian\.org",
    "static" + r"\.crates\.io",
)
FORBIDDEN = (
    (re.compile("|".join(_HOSTS)), "a registry's host: clients know their own"),
    (
        re.compile(r"(?<![\w.])/(?:" + "work" + "|" + "root" + r"|home/[a-z][\w-]*|Users/\w+)/"),
        "a folder of one machine",
    ),
)
_MAX_BYTES = 20 * 2**20


def main() -> int:
    if not (ROOT / ".git").exists():
        sys.stdout.write("no repository here: committed files are not looked at\n")
        return 0
    finds = [find for path in committed() for find in look(path)]
    sys.stdout.write("".join(f"{find}\n" for find in finds))
    return 1 if finds else 0


def committed() -> Iterator[Path]:
    """Files under version control, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.stat().st_size <= _MAX_BYTES:
            yield path


def look(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    if b"\0" in data[:8192]:
        return
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        for pattern, why in FORBIDDEN:
            if pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {why}"


if __name__ == "__main__":
    sys.exit(main())
