"""The ladder when a feed comes back with another picture: the rungs viewers have go on."""

from __future__ import annotations

from fractions import Fraction

import pytest

from transcode.ladder import Ladder, choose_ladder
from transcode.source import AudioInfo, SourceInfo, VideoInfo


def source(width: int, height: int, gop_ms: int | None = 2000) -> SourceInfo:
    raise NotImplementedError


