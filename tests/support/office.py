"""LibreOffice, headless, as somebody who opens our files: with every formula worked out anew."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""


def converted(path: Path, form: str) -> Path:
    """The file as LibreOffice saves it. Skips the test where there is no LibreOffice."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    if program is None:
        pytest.skip("LibreOffice is not installed (make test-tools)")
    profile = path.parent / "office-profile"
    (profile / "user").mkdir(parents=True, exist_ok=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_RECALCULATE, encoding="utf-8")
    out = path.parent / "converted"
    done = subprocess.run(
        [
            program, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--norestore",
            "--convert-to", form, "--outdir", str(out), str(path),
        ],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    made = out / f"{path.stem}.{form.partition(':')[0]}"
    assert made.exists(), f"{done.stdout}\n{done.stderr}"
    return made
