"""FFmpeg's progress lines, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.ffmpeg.progress import Progress, ProgressReader

FIRST = b"""frame=12
fps=0.00
stream_0_0_q=-1.0
bitrate=N/A
total_size=N/A
out_time_us=N/A
out_time_ms=N/A
out_time=N/A
dup_frames=0
drop_frames=0
speed=N/A
progress=continue
"""
LAST = b"""frame=  250
fps= 25.1
bitrate=N/A
out_time_us=10000000
drop_frames=3
speed=1.01x
progress=end
"""
REPORTS = [Progress(12, 0.0, 0.0, 0, 0, False), Progress(250, 25.1, 1.01, 10_000_000, 3, True)]


def test_reports_as_ffmpeg_writes_them() -> None:
    assert ProgressReader().feed(FIRST + LAST) == REPORTS


@given(st.lists(st.integers(1, len(FIRST + LAST)), max_size=12))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    data = FIRST + LAST
    reader = ProgressReader()
    ends = [*sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert [report for piece in pieces for report in reader.feed(piece)] == REPORTS


@pytest.mark.parametrize(
    "junk", [b"no equals sign\n", b"=\n", b"\xff\xfe=\xff\n", b"frame=\n", b"frame=many\n", b"\r\n"]
)
def test_junk_is_passed_over(junk: bytes) -> None:
    assert ProgressReader().feed(junk + b"progress=continue\n") == [
        Progress(0, 0.0, 0.0, 0, 0, False)
    ]


def test_a_line_without_an_end_does_not_grow() -> None:
    reader = ProgressReader()
    for _ in range(100):
        assert reader.feed(b"x" * 1000) == []
    assert len(reader._pending) <= 4096
    assert reader.feed(b"\n" + LAST) == REPORTS[1:]
