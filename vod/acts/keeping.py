"""What was observed of a programme, kept as one small file: when only the list or the marks have
changed, nothing needs to be decoded again. Pure."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, Final

import numpy as np

from vod.acts.cues import Observed
from vod.acts.grid import ticks_of
from vod.acts.kinds import KINDS, runs_of, smooth

VERSION: Final = 1
"""Of what is observed: kept files of another one are not used."""
_FIELDS: Final = ("loud", "chances", "voice", "rows", "heard", "seen", "cuts")


def pack(observed: Observed) -> bytes:
    """About 1 MB for two hours."""
    out = io.BytesIO()
    halved = {
        name: values.astype(np.float16) if values.dtype.kind == "f" else values
        for name in _FIELDS
        for values in (getattr(observed, name),)
    }
    np.savez_compressed(out, **halved)
    return out.getvalue()


def unpack(data: bytes) -> Observed | None:
    """None: it is not whole."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            found = {name: np.asarray(kept[name]) for name in _FIELDS}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return None
    whole: dict[str, Any] = {
        name: values.astype(np.float32) if values.dtype.kind == "f" else values
        for name, values in found.items()
    }
    return Observed(**whole)


def sounds(observed: Observed) -> bytes:
    """The kinds of sound for the timeline's strip, as JSON (docs/acts.md)."""
    kinds = smooth(observed.chances)
    kinds[~observed.heard] = -1
    runs = [
        [ticks_of(first), ticks_of(last), KINDS[kind]]
        for first, last, kind in runs_of(kinds)
        if kind >= 0
    ]
    return json.dumps({"version": VERSION, "sounds": runs}, separators=(",", ":")).encode()
