"""What is done with a live publisher's tags: which take they go to, and when one begins and ends.

A take begins at a keyframe whose decoder configuration is known, never before; all that is kept
of earlier tags are headers. It ends with the publish, at a takeover, when the file system refuses
it, or when the encoder changes a codec or its configuration: then the next keyframe begins
another take. Plain synchronous code with time as an argument; the owner does the rest.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Any, Final, NamedTuple, Protocol

from infra.ids import public_id
from ingest import avc, flv
from ingest.log import LogFailed, LogMeta, LogShelf, LogWriter, preamble
from ingest.rtmp import amf0
from ingest.rtmp.errors import AmfError
from ingest.rtmp.events import MediaTag
from ingest.timeline import TimestampNormalizer

SETTLE_SECONDS: Final = 1.0
"""How long a first keyframe waits for a sound header that may still come."""
AUDIO_ONLY_SECONDS: Final = 2.0
"""Sound alone for this long is a feed without picture."""
HOLD_BYTES: Final = 4 * 2**20
"""What may wait in memory for a take to begin."""
EARLY_MAX: Final = 64
"""Sound frames that came before the keyframe they play with: interleaving is never exact."""
HEADERS_MAX: Final = 16
"""Decoder configurations (tracks) of one publish."""
CUTS_MAX: Final = 6
"""Takes begun by changed headers within `CUTS_SECONDS`; more changes stay inside the take."""
CUTS_SECONDS: Final = 60.0
TIMELINE_MAX_MS: Final = 2**31 - 3_600_000
"""FFmpeg reads FLV time as signed: a take of 24 days is cut before that."""
RETRY_SECONDS: Final = 1.0
"""From a failed log to the next try."""

_VIDEO_NEEDS_HEADER: Final = frozenset({"h264", "hevc", "vvc", "av1"})
_AUDIO_NEEDS_HEADER: Final = frozenset({"aac", "opus", "flac"})
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_AVC_INTER: Final = 0x27
_AAC: Final = 10


class Owner(Protocol):
    """Who keeps a recorder: told of takes in order."""

    def may_record(self) -> bool:
        """Is there room for a new take?"""

    def take_begins(self, recorder: Recorder) -> None:
        """Last call before a take: whoever else records this feed must stop now."""

    def take_opened(self, recorder: Recorder, log: LogWriter) -> None: ...

    def take_closed(self, recorder: Recorder, log: LogWriter) -> None: ...


class _Held(NamedTuple):
    kind: int
    raw_ms: int
    payload: bytes
    now: float
    key: bool


class Recorder:
    """One publish of one feed, as takes on the shelf."""

    def __init__(
        self,
        *,
        owner: Owner,
        shelf: LogShelf,
        feed_id: str,
        broadcast_id: str,
        encoder: str,
        now: float,
        wall_us: int,
    ) -> None:
        self.feed_id = feed_id
        self.broadcast_id = broadcast_id
        self.encoder = encoder
        self.stopped = False
        self.log: LogWriter | None = None
        self._owner = owner
        self._shelf = shelf
        # Arrival is told by one monotonic clock a publish: a step of the wall clock in the
        # middle of a show must not move PROGRAM-DATE-TIME.
        self._epoch_us = wall_us - int(now * 1e6)
        self._arrival_us = wall_us
        self._timeline = TimestampNormalizer()
        self._headers: dict[tuple[int, int], bytes] = {}
        self._metadata: bytes | None = None
        self._held: list[_Held] = []
        self._held_bytes = 0
        self._early: deque[_Held] = deque(maxlen=EARLY_MAX)
        self._need_key = False
        self._steady = False
        """A take with a picture is open and nothing is to change: frames just go in."""
        self._cut: str | None = None
        self._cuts: deque[float] = deque(maxlen=CUTS_MAX)
        self._retry_at = now
        # Read by the health meter, written here because it costs nothing here.
        self.started = now
        self.video_bytes = self.audio_bytes = 0
        self.video_frames = self.audio_frames = 0
        self.unkeyed_frames = 0
        self.video_codec = self.audio_codec = ""
        self.width = self.height = 0
        self.declared_fps = 0.0
        self.declared: dict[str, Any] = {}
        self.media_ms = 0
        self.lag_low = self.lag_high = 0
        """Least and most of arrival minus media time (ms, any zero) since the meter looked."""
        self.key_at = 0.0
        self.key_interval_ms = 0
        self._key_raw_ms = 0
        self.failure: str | None = None
        self.flapping = False

    # -- tags

    def on_tag(self, tag: MediaTag, now: float) -> None:
        """Take one tag as it came."""
        payload = tag.payload
        if not payload or self.stopped:
            return  # an empty message carries nothing, and readers stumble over an empty tag
        kind = tag.kind
        self._arrival_us = self._epoch_us + int(now * 1e6)
        try:
            if self._steady and payload[1:2] == b"\x01":
                # Nearly every tag there is: an AVC frame that is no keyframe, an AAC frame.
                if kind == flv.VIDEO and payload[0] == _AVC_INTER:
                    self.video_bytes += len(payload)
                    self.video_frames += 1
                    self._append(kind, tag.timestamp_ms, payload, now, False)
                    return
                if kind == flv.AUDIO and payload[0] >> 4 == _AAC:
                    self.audio_bytes += len(payload)
                    self.audio_frames += 1
                    self._append(kind, tag.timestamp_ms, payload, now, False)
                    return
            if kind == flv.VIDEO:
                self._on_video(tag.timestamp_ms, payload, now)
            elif kind == flv.AUDIO:
                self._on_audio(tag.timestamp_ms, payload, now)
            else:
                self._on_script(tag.timestamp_ms, payload, now)
        except LogFailed as error:
            self.log_failed(error, now)

    def batch_end(self, now: float) -> None:
        """All tags of one read are in: readers that follow the tail get them at once."""
        log = self.log
        if log is None:
            return
        lag = int(now * 1000) - self.media_ms
        if lag > self.lag_high:
            self.lag_high = lag
        if lag < self.lag_low or not self.lag_low:
            self.lag_low = lag
        if log.watchers:
            try:
                log.flush()
            except LogFailed as error:
                self.log_failed(error, now)

    def _on_video(self, raw_ms: int, payload: bytes, now: float) -> None:
        self.video_bytes += len(payload)
        info = flv.classify(flv.VIDEO, payload)
        if info.is_sequence_header:
            self._on_header(flv.VIDEO, info, payload, raw_ms, now)
            return
        if not info.is_coded:
            self._on_aside(flv.VIDEO, info, payload, raw_ms, now)
            return
        key = info.is_keyframe
        self.video_codec = info.codec
        if key:
            self._on_key(raw_ms, now)
            if self.log is not None and "video" not in self.log.meta.codecs:
                self._cut_at_key("codec_change")  # a picture joins a take of sound alone
        self.video_frames += 1
        if self.log is None or self._need_key or (key and self._cut):
            self._hold(_Held(flv.VIDEO, raw_ms, payload, now, key), now)
        else:
            self._append(flv.VIDEO, raw_ms, payload, now, key)

    def _on_audio(self, raw_ms: int, payload: bytes, now: float) -> None:
        self.audio_bytes += len(payload)
        info = flv.classify(flv.AUDIO, payload)
        if info.is_sequence_header:
            self._on_header(flv.AUDIO, info, payload, raw_ms, now)
            return
        if not info.is_coded:
            self._on_aside(flv.AUDIO, info, payload, raw_ms, now)
            return
        self.audio_codec = info.codec
        self.audio_frames += 1
        if self.log is None or (self._cut and not self.video_codec):
            self._hold(_Held(flv.AUDIO, raw_ms, payload, now, False), now)
        else:
            self._append(flv.AUDIO, raw_ms, payload, now, False)

    def _on_script(self, raw_ms: int, payload: bytes, now: float) -> None:
        if not flv.classify(flv.SCRIPT, payload).is_metadata:
            self._append_aside(flv.SCRIPT, raw_ms, payload, now)
        elif payload != self._metadata:
            self._metadata = payload
            self._read_metadata(payload)
            if self.log is not None:
                # Time 0, as encoders send it: FFmpeg makes a subtitle stream of any later one.
                self.log.append_aside(flv.SCRIPT, 0, payload)

    def _on_aside(
        self, kind: int, info: flv.TagInfo, payload: bytes, raw_ms: int, now: float
    ) -> None:
        """Neither frame nor header: an end of sequence, HDR metadata, a channel layout."""
        if info.is_metadata:
            self._headers[kind, -1] = payload
        self._append_aside(kind, raw_ms, payload, now)

    def _on_header(
        self, kind: int, info: flv.TagInfo, payload: bytes, raw_ms: int, now: float
    ) -> None:
        """A decoder configuration. The same again means nothing: DJI repeats it all the time."""
        place = (kind, info.track_id)
        if self._headers.get(place) == payload:
            return
        if place not in self._headers and len(self._headers) >= HEADERS_MAX:
            return
        self._headers[place] = payload
        if kind == flv.VIDEO:
            self.video_codec = info.codec
            self._read_size(info, payload)
        else:
            self.audio_codec = info.codec
        if self.log is None:
            return
        if len(self._cuts) == CUTS_MAX and now - self._cuts[0] < CUTS_SECONDS:
            # One that changes its mind at every keyframe keeps one take: nothing is lost, and
            # nobody has to start FFmpeg every two seconds.
            self.flapping = True
            self._append_aside(kind, raw_ms, payload, now)
            return
        self._cut_at_key("codec_change")
        if kind == flv.VIDEO:
            self._need_key = True  # until then the frames belong to nothing that can be decoded
        elif self.video_codec:
            # Sound goes on in the old take until the picture has a keyframe to cut at.
            self._append_aside(kind, raw_ms, payload, now)

    def _cut_at_key(self, ended_by: str) -> None:
        """The next keyframe (or sound frame, without a picture) begins another take."""
        self._cut = ended_by
        self._steady = False

    def _on_key(self, raw_ms: int, now: float) -> None:
        step = (raw_ms - self._key_raw_ms) & 0xFFFFFFFF
        if self.key_at and step < 2**31:
            self.key_interval_ms = step
        self.key_at = now
        self._key_raw_ms = raw_ms

    def _append(self, kind: int, raw_ms: int, payload: bytes, now: float, key: bool) -> None:
        log = self.log
        assert log is not None
        stamp = self._timeline.push(kind, raw_ms, now)
        ts_ms = stamp.ts_ms
        if stamp.discontinuity:
            log.discontinuity(ts_ms)
        self.media_ms = ts_ms
        # Without a picture a reader may begin at any sound frame; the log thins the index out.
        indexed = key or (kind == flv.AUDIO and not self.video_codec)
        log.append(kind, ts_ms, payload, self._arrival_us, key=indexed)
        if key and ts_ms > TIMELINE_MAX_MS:
            self._cut_at_key("timeline_full")

    def _append_aside(self, kind: int, raw_ms: int, payload: bytes, now: float) -> None:
        """What is no frame has no say in the timeline either."""
        if self.log is not None:
            ts_ms = self._timeline.push(flv.SCRIPT, raw_ms, now).ts_ms
            self.log.append_aside(kind, ts_ms, payload)

    @property
    def followed(self) -> bool:
        """Does somebody wait for the next frame? Before a take, everybody does."""
        log = self.log
        return log is None or bool(log.watchers)

    # -- takes

    def _hold(self, tag: _Held, now: float) -> None:
        """A frame that no open take can have: keep it if a take may begin with it."""
        if self._held and self._held[0].key:
            self._held.append(tag)
        elif tag.key:
            before = [*self._held, *self._early]
            early = [
                sound
                for sound in before
                if sound.kind == flv.AUDIO and _not_before(sound.raw_ms, tag.raw_ms)
            ]
            self._drop_held()
            if self._need_header(tag) or now < self._retry_at or not self._owner.may_record():
                self.unkeyed_frames += 1
                return
            self._held += [tag, *early]
        elif self.video_codec:
            # Sound before the first picture, or pictures nobody can decode.
            if self._held:
                self._early.extend(self._held)
                self._held.clear()
                self._held_bytes = 0
            if tag.kind == flv.AUDIO:
                self._early.append(tag)
            else:
                self.unkeyed_frames += 1
            return
        elif now < self._retry_at or not self._owner.may_record():
            return
        else:
            self._held.append(tag)
        self._held_bytes += len(tag.payload)
        if self._ready(now):
            self._begin(now)

    def _drop_held(self) -> None:
        self._held.clear()
        self._early.clear()
        self._held_bytes = 0

    def _need_header(self, tag: _Held) -> bool:
        if self.video_codec not in _VIDEO_NEEDS_HEADER:
            return False
        track = flv.classify(flv.VIDEO, tag.payload).track_id
        return (flv.VIDEO, track) not in self._headers

    def _ready(self, now: float) -> bool:
        if self._held_bytes > HOLD_BYTES or self._cut:
            return True
        waited = now - self._held[0].now
        if not self._held[0].key:
            return waited >= AUDIO_ONLY_SECONDS
        if (flv.AUDIO, 0) in self._headers:
            return True
        if self.audio_codec and self.audio_codec not in _AUDIO_NEEDS_HEADER:
            return True
        says_no_sound = "videocodecid" in self.declared and "audiocodecid" not in self.declared
        return says_no_sound or waited >= SETTLE_SECONDS

    def _begin(self, now: float) -> None:
        """Open a take with what was held, closing the one it follows. Raises `LogFailed`."""
        held = list(self._held)
        first_us = self._epoch_us + int(held[0].now * 1e6)
        head = self._preamble(video=held[0].key)
        meta = LogMeta.begin(
            take_id=public_id(16),
            feed_id=self.feed_id,
            broadcast_id=self.broadcast_id,
            first_arrival_us=first_us,
            codecs=self.codecs(),
            preamble_size=len(head),
        )
        # Before anything ends: where no log can be made, nothing takes over, and a take that
        # ends all the same (`log_failed`) ends as an interruption.
        log = self._shelf.create(meta, head)
        if self.log is not None:
            self._cuts.append(now)
            self._close(self._cut or "codec_change", drop=False)
        self._owner.take_begins(self)
        self._drop_held()
        self._cut = None
        self._need_key = False
        self._timeline = TimestampNormalizer()
        self.log = log
        self.failure = None
        self._steady = bool(self.video_codec)
        self._owner.take_opened(self, log)
        for tag in held:
            self._arrival_us = self._epoch_us + int(tag.now * 1e6)
            self._append(tag.kind, tag.raw_ms, tag.payload, tag.now, tag.key)

    def _preamble(self, *, video: bool) -> bytes:
        headers = [(kind, payload) for (kind, _), payload in self._headers.items()]
        headers.sort(key=lambda header: header[0] != flv.VIDEO)
        if self._metadata is not None:
            headers.insert(0, (flv.SCRIPT, self._metadata))
        return preamble(headers, audio=bool(self.audio_codec), video=video)

    def _close(self, ended_by: str, *, drop: bool) -> None:
        log = self.log
        if log is None:
            return
        self.log = None
        self._steady = False
        failed = log.finish(ended_by, drop=drop)
        if failed is not None:
            self.failure = _failure_code(failed)
        self._owner.take_closed(self, log)

    def stop(self, ended_by: str, *, drop: bool) -> None:
        """The publish is over. ``drop``: the feed is gone, not replaced or ended by staff."""
        if self.stopped:
            return
        self.stopped = True
        self._drop_held()
        self._close(ended_by, drop=drop)

    def log_failed(self, error: LogFailed, now: float) -> None:
        """The disk refused. The publisher stays; recording resumes in a new take when it can."""
        self.failure = _failure_code(error)
        self._retry_at = now + RETRY_SECONDS
        self._need_key = True
        self._cut = None
        self._drop_held()
        self._close(self.failure, drop=True)

    # -- what the headers say

    def codecs(self) -> dict[str, Any]:
        """What the take holds, for its row."""
        found: dict[str, Any] = {"encoder": self.encoder}
        if self.video_codec:
            found["video"] = self.video_codec
            found["width"], found["height"] = self.width, self.height
            found["fps"] = self.declared_fps
        if self.audio_codec:
            found["audio"] = self.audio_codec
        return found

    def _read_size(self, info: flv.TagInfo, payload: bytes) -> None:
        if info.codec == "h264":
            config = avc.parse_config(payload[info.data_offset :])
            if config is not None and config.width:
                self.width, self.height = config.width, config.height

    def _read_metadata(self, payload: bytes) -> None:
        try:
            values = amf0.decode_all(payload)
        except AmfError:
            return  # it is kept as it came; nothing of ours depends on it
        declared = values[1] if len(values) > 1 else None
        if not isinstance(declared, dict):
            return
        self.declared = declared
        if not self.width:
            self.width = _whole(declared.get("width"))
            self.height = _whole(declared.get("height"))
        self.declared_fps = _number(declared.get("framerate"))
        encoder = declared.get("encoder")
        if isinstance(encoder, str) and encoder:
            self.encoder = "".join(c if c.isprintable() else "?" for c in encoder[:80])


def _not_before(raw_ms: int, mark_ms: int) -> bool:
    """Is a 32-bit timestamp at or after ``mark_ms``?"""
    return (raw_ms - mark_ms) & 0xFFFFFFFF < 2**31


def _number(value: object) -> float:
    """A number out of metadata; 0 for anything that is none, or absurd."""
    return float(value) if isinstance(value, float) and 0 < value < 100_000 else 0.0


def _whole(value: object) -> int:
    return int(_number(value))


def _failure_code(error: LogFailed) -> str:
    return "disk_full" if error.errno in _DISK_FULL else "disk_error"
