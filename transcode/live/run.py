"""One run: an FFmpeg over a take, from its start point until it ends, fails or is called off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from transcode.ffmpeg.arguments import RunPlan, live_arguments
from transcode.ffmpeg.process import Chunk, FFmpegProcess
from transcode.ffmpeg.progress import Progress, ProgressReader
from transcode.fmp4.boxes import Fmp4Error
from transcode.hls.events import (
    GopTooLong,
    Hole,
    InitReady,
    PackagerError,
    PackagerEvent,
    PartReady,
    SlotReady,
)
from transcode.live.arrivals import Arrivals
from transcode.live.feed import FeedAway, FeedClient, FeedGone, FeedIndex
from transcode.live.mixer import Mixer
from transcode.live.publisher import Publisher
from transcode.live.watch import RunWatch

log = structlog.get_logger()

LOOK_SECONDS = 1.0
POLL_SECONDS = 0.25
# After a cut for a GOP that is too long, how long the other rungs may take to come to it.
CUT_SECONDS = 5.0

Outcome = Literal["complete", "exited", "stalled", "slow", "gop_too_long", "stopped"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A reading of the run for the desk, once a second."""

    speed: float
    fps: float
    lag_ms: int
    waiting_for: str | None


class LiveRun:
    """Drives one FFmpeg; `go()` blocks until the run is over and says how."""

    def __init__(
        self,
        *,
        binary: str,
        plan: RunPlan,
        feed: FeedClient,
        arrivals: Arrivals,
        mixer: Mixer,
        publisher: Publisher,
        called_off: Callable[[], bool],
        report: Callable[[RunStatus], None],
        last_try: bool = False,
    ) -> None:
        """``last_try``: earlier runs came no further; when this one ends too early on a closed
        take, the rest of it can't be decoded and what there is counts as all."""
        self._last_try = last_try
        self._binary = binary
        self._plan = plan
        self._feed = feed
        self._arrivals = arrivals
        self._mixer = mixer
        self._publisher = publisher
        self._called_off = called_off
        self._report = report
        self._progress = Progress(0, 0.0, 0.0, 0, 0, False)
        self._progress_reader = ProgressReader()
        self._index: FeedIndex | None = None
        self._cut_msn: int | None = None
        self._cut_at = 0.0
        self._registered_msn: int | None = None
        self._next_report = 0.0
        self.slots = 0
        """Slots handed to the publisher: a run without any was futile."""

    def go(self) -> Outcome:
        """Run to the end. Whatever goes wrong, neither FFmpeg nor the publisher stays behind."""
        try:
            return self._go()
        except BaseException:
            self._publisher.stop()
            raise

    def _go(self) -> Outcome:
        names = [rung.name for rung in self._plan.ladder.made]
        self._publisher.start()
        with FFmpegProcess(
            lambda pipes, progress: live_arguments(self._binary, self._plan, pipes, progress),
            names,
        ) as process:
            log.info("live.run_started", pid=process.pid, rungs=names)
            outcome = self._drive(process)
            if outcome is not None:
                process.kill()
            code = process.close()
            words = process.last_words
        if outcome is None:
            outcome = self._ended(code, words)
        return self._wind_up(outcome)

    def _drive(self, process: FFmpegProcess) -> Outcome | None:
        """Read until the pipes end (None) or there is a reason to stop."""
        now = time.monotonic()
        watch = RunWatch(now)
        next_look = now
        while not process.drained:
            try:
                self._take(process.read(POLL_SECONDS))
            except (Fmp4Error, PackagerError) as error:
                log.warning("live.packaging_failed", error=str(error))
                return "exited"
            if self._called_off():
                return "stopped"
            now = time.monotonic()
            if self._cut_msn is not None and self._cut_done(now):
                return "gop_too_long"
            if now >= next_look:
                next_look = now + LOOK_SECONDS
                verdict = self._look(watch, now)
                if verdict is not None:
                    return verdict
        return None

    def _take(self, chunks: list[Chunk]) -> None:
        media = {chunk.pipe: chunk.data for chunk in chunks if chunk.data}
        for report in self._progress_reader.feed(media.pop("progress", b"")):
            self._progress = report
        self._hand_over(self._mixer.feed(media))

    def _hand_over(self, events: list[PackagerEvent | SlotReady]) -> None:
        for event in events:
            if isinstance(event, InitReady | PartReady | SlotReady):
                self._publisher.put(event, self._held_up)
                if isinstance(event, SlotReady):
                    self.slots += 1
                    self._registered_msn = event.msn
            elif isinstance(event, GopTooLong):
                self._cut_msn, self._cut_at = event.msn, time.monotonic()
            elif isinstance(event, Hole):
                log.info(
                    "live.hole",
                    rendition=event.rendition,
                    ticks=event.end_tick - event.start_tick,
                    dropped=event.dropped,
                )

    def _held_up(self) -> bool:
        """Asked while publishing waits: whether to give up; the desk is told what for."""
        now = time.monotonic()
        if now >= self._next_report and self._publisher.waiting_for is not None:
            self._next_report = now + LOOK_SECONDS
            self._report(RunStatus(0.0, 0.0, 0, self._publisher.waiting_for))
        return self._called_off()

    def _cut_done(self, now: float) -> bool:
        done = self._registered_msn is not None and self._registered_msn >= (self._cut_msn or 0)
        return done or now - self._cut_at > CUT_SECONDS

    def _look(self, watch: RunWatch, now: float) -> Outcome | None:
        """Once a second: news of the log, a reading for the desk, a verdict."""
        try:
            self._index = self._feed.index(self._arrivals.last_ms)
            self._arrivals.add([(ms, us) for ms, _, us in self._index.entries])
        except (FeedAway, FeedGone):
            # FFmpeg notices by itself; what it has read so far is still on its way out.
            return None
        reached = self._mixer.reached_ms
        lag = max(0, self._index.last_ms - int(reached or self._plan.start_ms))
        waiting_for = self._publisher.waiting_for
        self._report(RunStatus(self._progress.speed, self._progress.fps, lag, waiting_for))
        verdict = watch.note(now, reached, self._index.last_ms, waiting=waiting_for is not None)
        return None if verdict == "fine" else verdict

    def _ended(self, code: int, words: str) -> Outcome:
        """FFmpeg is gone by itself: with the take, or too early?"""
        if self._cut_msn is not None:
            return "gop_too_long"
        try:
            index = self._feed.index(self._arrivals.last_ms)
        except (FeedAway, FeedGone):
            return "exited"
        wanted = index.last_video_ms if self._plan.ladder.video else index.last_audio_ms
        reached = self._mixer.reached_ms
        if index.closed and reached is not None and reached >= (wanted or 0) - 1:
            return "complete"
        log.warning(
            "live.ffmpeg_exited",
            last_try=self._last_try,
            code=code,
            closed=index.closed,
            reached_ms=reached,
            wanted_ms=wanted,
            stderr=words[-2000:],
        )
        return "complete" if self._last_try and index.closed else "exited"

    def _wind_up(self, outcome: Outcome) -> Outcome:
        if outcome == "stopped":
            self._publisher.stop()
            return outcome
        self._hand_over(self._mixer.flush(end=outcome == "complete"))
        if not self._publisher.finish(self._called_off):
            return "stopped"
        return outcome
