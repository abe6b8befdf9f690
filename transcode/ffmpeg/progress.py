"""FFmpeg's `-progress` stream, read purely: bytes in, reports out."""

from __future__ import annotations

from dataclasses import dataclass

_LINE_MAX = 4096


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. ``frames`` of the first encoded rung, ``speed`` as a multiple of real time."""

    frames: int
    fps: float
    speed: float
    out_us: int
    dropped: int
    ended: bool


class ProgressReader:
    """Collects `key=value` lines into reports; a report ends with its `progress=` line."""

    def __init__(self) -> None:
        self._pending = b""
        self._values: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Progress]:
        reports: list[Progress] = []
        *lines, self._pending = (self._pending + data).split(b"\n")
        # A line without an end is no progress report; don't let it grow.
        self._pending = self._pending[-_LINE_MAX:]
        for line in lines:
            key, _, value = line.decode("ascii", "replace").strip().partition("=")
            self._values[key] = value.strip()
            if key == "progress":
                reports.append(self._report(value.strip() == "end"))
                self._values = {}
        return reports

    def _report(self, ended: bool) -> Progress:
        return Progress(
            frames=int(self._number("frame")),
            fps=self._number("fps"),
            speed=self._number("speed"),
            out_us=int(self._number("out_time_us")),
            dropped=int(self._number("drop_frames")),
            ended=ended,
        )

    def _number(self, key: str) -> float:
        try:
            return float(self._values.get(key, "0").rstrip("x"))
        except ValueError:
            # FFmpeg writes N/A until it knows.
            return 0.0
