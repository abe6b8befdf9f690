"""A recorder over a shelf in a temporary folder, with an owner that remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest import flv
from ingest.log import LogMeta, LogShelf, LogWriter, TakeFiles
from ingest.publisher import Recorder
from ingest.rtmp.events import MediaTag

WALL_US = 1_800_000_000_000_000


@dataclass
class RememberingOwner:
    room: bool = True
    begins: int = 0
    opened: list[LogWriter] = field(default_factory=list)
    closed: list[LogWriter] = field(default_factory=list)

    def may_record(self) -> bool:
        return self.room

    def take_begins(self, recorder: Recorder) -> None:
        self.begins += 1

    def take_opened(self, recorder: Recorder, log: LogWriter) -> None:
        self.opened.append(log)

    def take_closed(self, recorder: Recorder, log: LogWriter) -> None:
        self.closed.append(log)
        log.release(sync=False)


class Stage:
    """One publish, played by a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shelf = LogShelf(folder)
        self.owner = RememberingOwner()
        self.now = 100.0
        self.recorder = Recorder(
            owner=self.owner,
            shelf=self.shelf,
            feed_id="feed",
            broadcast_id="broadcast",
            encoder="test",
            now=self.now,
            wall_us=WALL_US,
        )

    def play(self, tags: Iterable[MediaTag], *, paced: bool = True) -> None:
        """Push tags; ``paced``: the clock follows their timestamps."""
        first: int | None = None
        begun = self.now
        for tag in tags:
            first = tag.timestamp_ms if first is None else first
            if paced:
                self.now = begun + (tag.timestamp_ms - first) / 1000
            self.recorder.on_tag(tag, self.now)
            self.recorder.batch_end(self.now)

    def stop(self, ended_by: str = "unpublished") -> None:
        self.recorder.stop(ended_by, drop=True)

    @property
    def metas(self) -> list[LogMeta]:
        return [log.meta for log in self.owner.closed]

    def files(self, number: int = 0) -> TakeFiles:
        return self.owner.opened[number].files

    def tags(self, number: int = 0) -> list[flv.ScannedTag]:
        return list(flv.scan(self.files(number).flv.read_bytes()))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "feeds")
