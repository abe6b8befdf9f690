"""How a feed is doing, once a second: what the desk shows a technician, and what it warns of."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from ingest.disk import DiskLevel
from ingest.publisher import Recorder

HISTORY_SECONDS: Final = 120
KEY_INTERVAL_WARN_MS: Final = 4_000
"""Above this no rung can be copied (the design's rule), and joining takes long."""
LATE_WARN_MS: Final = 2_000
SILENT_SECONDS: Final = 5.0
UNSTABLE_SECONDS: Final = 30
_BIN: Final = 5
_BASE_SECONDS: Final = 60

_DISK_WARNINGS: Final = {
    DiskLevel.LOW: "disk_low",
    DiskLevel.LOG_ONLY: "disk_log_only",
    DiskLevel.FULL: "disk_full",
}


class Meter:
    """Turns the counters of one recorder into rates. Pure but for reading the recorder."""

    def __init__(self, recorder: Recorder, now: float) -> None:
        self._recorder = recorder
        self._at = now
        self._video_bytes = self._audio_bytes = 0
        self._video_frames = self._audio_frames = 0
        self.last = (0, 0, 0)
        """Bytes, picture and sound frames of the last sample."""
        self._media_ms = 0
        self._take_id = ""
        self._video_at = self._audio_at = now
        self._base: deque[int] = deque(maxlen=_BASE_SECONDS)
        self._fps: deque[float] = deque(maxlen=UNSTABLE_SECONDS)
        self._frame_debt = 0.0
        self.dropped = 0
        self.history: deque[tuple[int, int, float]] = deque(maxlen=HISTORY_SECONDS)
        """(unix second, bits per second, frames per second)"""

    def sample(
        self, now: float, at_us: int, *, disk: DiskLevel, free_bytes: int, rtt_ms: float | None
    ) -> dict[str, Any]:
        """The feed's state as JSON-able values; call about once a second."""
        recorder = self._recorder
        seconds = max(now - self._at, 0.001)
        video = recorder.video_bytes - self._video_bytes
        audio = recorder.audio_bytes - self._audio_bytes
        frames = recorder.video_frames - self._video_frames
        self._at = now
        self._video_bytes, self._audio_bytes = recorder.video_bytes, recorder.audio_bytes
        self.last = (video + audio, frames, recorder.audio_frames - self._audio_frames)
        self._video_frames, self._audio_frames = recorder.video_frames, recorder.audio_frames
        if video:
            self._video_at = now
        if audio:
            self._audio_at = now
        bitrate = int((video + audio) * 8 / seconds)
        fps = round(frames / seconds, 2)
        self.history.append((at_us // 1_000_000, bitrate, fps))
        late_ms = self._lateness()
        self._guess_dropped(frames)
        log = recorder.log
        state = "receiving" if log is not None else "waiting"
        if log is None and recorder.failure:
            state = "unrecorded"
        return {
            "state": state,
            "take_id": log.take_id if log is not None else None,
            "bitrate_bps": bitrate,
            "fps": fps,
            "audio_bps": int(audio * 8 / seconds),
            "width": recorder.width or None,
            "height": recorder.height or None,
            "video_codec": recorder.video_codec or None,
            "audio_codec": recorder.audio_codec or None,
            "encoder": recorder.encoder,
            "rtt_ms": rtt_ms,
            "dropped": self.dropped,
            "gop_ms": recorder.key_interval_ms,
            "key_interval_ms": recorder.key_interval_ms,
            "late_ms": late_ms,
            "log_bytes": log.flushed.size if log is not None else 0,
            "disk_free_bytes": free_bytes,
            "derived_media_paused": disk >= DiskLevel.LOG_ONLY,
            "warnings": self._warnings(now, late_ms, disk),
            "at_us": at_us,
            "history": list(self.history),
        }

    def _lateness(self) -> int:
        """How far the media lies behind the best of the last minute: an uplink that stalls.

        An encoder that falls behind for good becomes the new best a minute later.
        """
        recorder = self._recorder
        take_id = recorder.log.take_id if recorder.log is not None else ""
        low, high = recorder.lag_low, recorder.lag_high
        recorder.lag_low = recorder.lag_high = 0
        if take_id != self._take_id:
            self._take_id = take_id
            self._base.clear()
            self._media_ms = recorder.media_ms
            self._frame_debt = 0.0
            return 0
        if not low:
            return 0
        self._base.append(low)
        return max(0, high - min(self._base))

    def _guess_dropped(self, frames: int) -> None:
        """Frames the encoder left out: media time that passed with too few frames in it."""
        passed = self._recorder.media_ms - self._media_ms
        self._media_ms = self._recorder.media_ms
        if passed <= 0 or passed > 10_000 or not self._recorder.video_codec:
            return
        rate = frames * 1000 / passed
        usual = self._recorder.declared_fps
        if not usual and len(self._fps) >= 5:
            usual = statistics.median(self._fps)
        self._fps.append(rate)
        if not usual:
            return
        # One read may end between a sound frame and its picture: only a debt that lasts counts.
        self._frame_debt = max(0.0, self._frame_debt + usual * passed / 1000 - frames)
        if self._frame_debt > max(3.0, usual * 0.1):
            self.dropped += int(self._frame_debt)
            self._frame_debt = 0.0

    def _warnings(self, now: float, late_ms: int, disk: DiskLevel) -> list[str]:
        recorder = self._recorder
        found: list[str] = []
        has_video = bool(recorder.video_codec)
        since_key = (now - recorder.key_at) * 1000 if recorder.key_at else 0.0
        if (
            has_video
            and recorder.log is not None
            and (
                recorder.key_interval_ms > KEY_INTERVAL_WARN_MS
                or since_key > KEY_INTERVAL_WARN_MS * 1.5
            )
        ):
            found.append("keyframe_interval_long")
        if has_video and recorder.log is None and now - recorder.started > SILENT_SECONDS:
            found.append("waiting_keyframe")
        if late_ms > LATE_WARN_MS:
            found.append("uplink_late")
        if unstable([bitrate for _, bitrate, _ in self.history]):
            found.append("bitrate_unstable")
        if now - self._audio_at > SILENT_SECONDS:
            found.append("no_audio")
        if now - self._video_at > SILENT_SECONDS:
            found.append("no_video")
        if self.dropped:
            found.append("dropped_frames")
        if recorder.flapping:
            found.append("headers_flapping")
        if disk in _DISK_WARNINGS:
            found.append(_DISK_WARNINGS[disk])
        if recorder.failure and recorder.failure not in found:
            found.append(recorder.failure)
        return found


def unstable(bitrates: Sequence[int]) -> bool:
    """Did five seconds of the last thirty carry less than half of what is usual?

    Single seconds say nothing: with a keyframe every few seconds they differ by nature.
    """
    recent = list(bitrates)[-UNSTABLE_SECONDS:]
    if len(recent) < UNSTABLE_SECONDS:
        return False
    sums = [sum(recent[i : i + _BIN]) for i in range(0, UNSTABLE_SECONDS, _BIN)]
    return min(sums) < 0.5 * statistics.median(sums)
