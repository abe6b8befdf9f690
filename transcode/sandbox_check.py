"""What of the sandbox does not hold on this machine, for `xitai doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from infra.doctor import Finding
from infra.doctor_words import say
from transcode.sandbox import measures


def sandbox_findings(lang: str) -> Iterator[Finding]:
    """One finding a weakness; one good one when there is none."""
    held = measures()
    weak = [
        name
        for name, enough in (("network", {"namespace", "sockets"}), ("files", {"files", "bwrap"}))
        if not held & enough
    ]
    for name in weak:
        title = say(f"sandbox.{name}", lang)
        yield Finding("weak", title, say(f"sandbox.{name}.advice", lang))
    if not weak:
        yield Finding("ok", say("sandbox", lang))
