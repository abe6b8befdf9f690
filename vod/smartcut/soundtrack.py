"""The sound of a cut: AAC copied in the middle of the longest run, encoded around the cuts.

A copied frame may follow one of ours where the halves of their windows that overlap are of one
form: then the aliases of the one cancel those of the other, as within a stream (14496-3 4.6.11).
Ours are encoded from what the copied ones decode to, on the same grid of frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Self

import numpy as np

from transcode.fmp4.model import Track
from vod.encode import Beat
from vod.reordering import Ints
from vod.smartcut import aac
from vod.smartcut.aac import FRAME
from vod.smartcut.encode import LAYOUTS, Sound, Workshop, audio_frame, output, run_all
from vod.smartcut.gather import Gathered
from vod.smartcut.layout import Column
from vod.smartcut.result import CutError
from vod.smartcut.sound import Run, in_turn, place_runs, to_samples
from vod.smartcut.tables import Table, read_file

_USUAL_RATE: Final = 48_000
_LEAD: Final = 3
"""Frames that our encoder is given before the first one wanted of it."""
_SEARCH: Final = 12
"""Frames among which a place for a join is looked for."""
_LEAST_COPY: Final = 60
"""Frames; a shorter run is not worth two joins."""
_BIT_RATES: Final = (48_000, 160_000)
"""Least and most that is spent on a channel."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """A run to copy: its frame i (of the table) is the cut's frame i + ``shift``. Copying begins
    within _SEARCH frames from ``first`` on, and ends within as many before ``last``."""

    table: Table
    run: Run
    shift: int
    first: int
    last: int


@dataclass(slots=True)
class SoundTrack:
    """The plan, and what becomes of it. Frames of the cut are numbered from the one that its first
    sample lies in; frame -1 is the decoder's run-up."""

    shop: Workshop
    gathered: Gathered
    tables: list[Table]
    runs: list[Run]
    track: Track
    rate: int
    channels: int
    origin: int = 0
    """Where frame 0 begins, in samples of the cut; not positive."""
    copy: _Copy | None = None
    works: list[Sound] = field(default_factory=list)

    @classmethod
    def plan(cls, shop: Workshop, gathered: Gathered) -> Self | None:
        """Plan it; None when there is nothing to hear. What must be encoded is in ``works``."""
        tables = [table for _, table in gathered.sounds]
        longest = max((t for t in tables if t.track.sample_rate), key=len, default=None)
        if longest is None:
            return None
        track = longest.track
        config = aac.read_config(track.entry)
        rate = config.rate if config else _USUAL_RATE
        channels = track.channels if track.channels in LAYOUTS else 2
        runs: list[Run] = []
        for number, (piece, table) in enumerate(gathered.sounds):
            if source_rate := table.track.sample_rate:
                times = table.pts * source_rate // table.track.timescale
                frame, span = audio_frame(table), gathered.spans[piece]
                runs += place_runs(number, times, frame, source_rate, span, rate)
        runs = in_turn(runs)
        if not runs:
            return None
        made = cls(shop, gathered, tables, runs, track, rate, channels)
        made._plan_copy()
        made._plan_works()
        return made

    @property
    def total(self) -> int:
        """Samples of the cut."""
        return to_samples(self.gathered.duration, self.rate)

    @property
    def frames(self) -> int:
        return math.ceil((self.total - self.origin) / FRAME)

    # --- planning ----------------------------------------------------------------------------

    def _plan_copy(self) -> None:
        run = max(self.runs, key=lambda run: run.end - run.begin)
        table = self.tables[run.source]
        config = aac.read_config(table.track.entry)
        if config is None or config.channels > 2 or audio_frame(table) != FRAME:
            self.gathered.reasons.add("audio_codec")
            return
        if (config.rate, table.track.channels) != (self.rate, self.channels):
            return
        origin = run.at % FRAME - (FRAME if run.at % FRAME else 0)
        shift = (run.at - origin) // FRAME - run.first
        fade = run.fade(self.rate)
        # The first frame whose sound is not faded, and which another one goes before.
        first = max(-(-(run.begin + fade - origin) // FRAME), run.first + shift + _LEAD)
        last = min((run.end - fade - origin) // FRAME, run.stop + shift) - 1
        copy = _Copy(table, run, shift, first, last)
        if last - first < _LEAST_COPY:
            return
        if not (self._can_join(copy, first) and self._can_join(copy, last - _SEARCH)):
            self.gathered.reasons.add("audio_windows")
            return
        self.origin, self.copy, self.track = origin, copy, table.track

    def _can_join(self, copy: _Copy, start: int) -> bool:
        """Whether ours could join somewhere from frame ``start`` on, if ours are as usual: long
        windows with a Kaiser-Bessel slope."""
        usual = aac.Shape(aac.Window.LONG, kaiser=True)
        shapes = [self._shape(copy, start + n) for n in range(-1, _SEARCH)]
        return any(aac.joins(usual, before, behind) for before, behind in pairwise(shapes))

    def _shape(self, copy: _Copy, frame: int) -> aac.Shape | None:
        return aac.shape(copy.table.peek(self.shop.files, frame - copy.shift, 16))

    def _plan_works(self) -> None:
        if self.copy is None:
            self.works = [self._sound(0, self.frames, "a")]
            return
        head_end = self.copy.first + _SEARCH + _LEAD
        tail_begin = self.copy.last - _SEARCH - _LEAD
        self.works = [
            self._sound(0, head_end, "ah"),
            self._sound(tail_begin, self.frames, "at"),
        ]

    def _sound(self, first: int, stop: int, name: str) -> Sound:
        """Frames ``first`` <= n < ``stop``; the encoder gives the one before them too."""
        table = self.tables[max(self.runs, key=lambda run: run.end - run.begin).source]
        usual = int(table.size.mean()) * 8 * table.track.sample_rate // audio_frame(table)
        least, most = (each * self.channels for each in _BIT_RATES)
        begin, end = (self.origin + FRAME * frame for frame in (first, stop))
        rate = min(most, max(least, usual))
        return Sound(tuple(self.runs), begin, end, self.rate, self.channels, rate, name)

    # --- finishing ---------------------------------------------------------------------------

    def finish(self, beat: Beat) -> Column:
        """The column of the sound. Raises EncodeError, Fmp4Error, CutError, StorageError."""
        rows = self._spliced() if self.copy is not None else None
        if rows is None and self.copy is not None:
            # No place fits what our encoder made of it.
            self.gathered.reasons.add("audio_windows")
            self.copy = None
            self._plan_works()
            run_all(self.shop, self.tables, self.works, beat)
        if rows is None:
            made = self._made(0)
            self.track = made.track
            rows = _rows(made, 0, len(made))
        return self._column(rows)

    def _made(self, number: int) -> Table:
        path = output(self.shop, self.works[number])
        made = read_file(self.shop.files, path, self.shop.step).audio
        if made is None:
            raise CutError("clip_unreadable", "这一段的声音无法读取。")
        return made

    def _spliced(self) -> list[Ints] | None:
        """Rows of file, offset and size: ours, copied, ours; None when the windows don't fit."""
        copy = self.copy
        assert copy is not None
        head, tail = self._made(0), self._made(1)
        tail_first = copy.last - _SEARCH - _LEAD - 1
        begin = self._join(copy, range(copy.first, copy.first + _SEARCH), head, -1, ours_first=True)
        places = range(copy.last, copy.last - _SEARCH, -1)
        end = self._join(copy, places, tail, tail_first, ours_first=False)
        if begin is None or end is None or end <= begin:
            return None
        parts = [
            _rows(head, 0, begin + 1),
            _rows(copy.table, begin - copy.shift, end - copy.shift),
            _rows(tail, end - tail_first, self.frames - tail_first),
        ]
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _join(
        self, copy: _Copy, places: range, made: Table, made_first: int, *, ours_first: bool
    ) -> int | None:
        """The first of ``places`` from which on the other stream can go on."""
        for place in places:
            if not 0 < place - made_first < len(made):
                continue
            ours = [
                aac.shape(made.peek(self.shop.files, n - made_first, 16))
                for n in (place - 1, place)
            ]
            theirs = [self._shape(copy, n) for n in (place - 1, place)]
            before, behind = (ours, theirs) if ours_first else (theirs, ours)
            if aac.joins(before[0], behind[0], behind[1]):
                return place
        return None

    def _column(self, rows: list[Ints]) -> Column:
        file, offset, size = (column[: self.frames + 1] for column in rows)
        times = (np.arange(len(size)) - 1) * FRAME + self.origin
        track = Track(
            2, "audio", self.rate, self.track.codec, self.track.entry,
            sample_rate=self.rate, channels=self.channels,
        )  # fmt: skip
        return Column(
            track, times, times, np.full(len(size), FRAME), np.ones(len(size), np.bool_),
            file, offset, size, run_up=1,
        )  # fmt: skip


def _rows(table: Table, first: int, stop: int) -> list[Ints]:
    return [column[first:stop] for column in (table.file, table.offset, table.size)]
