"""Cuts a chunk out of an original: its coded pictures as they are, its sound as samples.

Packets are known again by what the scan noted of them. Where a file cannot be entered at the
right place it is read from its start, which is slow and never wrong.
"""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from typing import Any, Final

import av
import av.error
import msgspec
import numpy as np
from av.container import InputContainer, OutputContainer

from vod.originals.clock import TICKS
from vod.originals.original import BLOCK, Order, Original, packets, time_of
from vod.originals.table import Digest
from vod.originals.wanted import SOUND_FRAME, SOUND_RATE, PictureJob, SoundJob

TICK: Final = Fraction(1, TICKS)
SAMPLE_BYTES: Final = 8
"""Two channels of 32-bit float."""

_SELF_ALIGNING: Final = frozenset(("mpegts", "mpeg"))
"""Formats that can be read from any byte on, and have no index to find a time by."""
_MARGIN: Final = 4 << 20
_LATE_PACKETS: Final = 600
"""So many packets after the wanted one's time, it is not coming any more."""


class CutResult(msgspec.Struct):
    """What was read. ``samples`` at 48 kHz, two channels, 32-bit float."""

    pictures: int = 0
    samples: int = 0
    damaged_sound: int = 0


class Differs(Exception):
    """What was read is not what the scan read there."""


def cut(order: Order) -> bytes:
    """Write a chunk's pictures and samples. Raises Differs, FFmpegError."""
    source = Original(order)
    jobs = [(order.video_index, order.video), (order.audio_index, order.audio)]
    wanted = [(index, job) for index, job in jobs if job is not None]
    with source.open() as container:
        streamed = not _SELF_ALIGNING.isdisjoint(container.format.name.split(","))
    try:
        if streamed:
            # No index to trust: begin a little before, wherever that is in a packet.
            begin = max(0, min(job.at for _, job in wanted) - _MARGIN)
            with source.open(begin) as container:
                return _cut(container, order, from_start=begin == 0)
        with source.open() as container:
            _seek(container, wanted)
            return _cut(container, order, from_start=False)
    except (Differs, av.error.FFmpegError):
        with source.open() as container:
            return _cut(container, order, from_start=True)


def _seek(container: InputContainer, wanted: list[tuple[int, Any]]) -> None:
    index, _ = wanted[0]
    main = container.streams[index]
    times = [job.seek * (container.streams[i].time_base or 0) for i, job in wanted]
    assert main.time_base is not None
    container.seek(math.floor(min(times) / main.time_base), stream=main, backward=True)


class _Run:
    """The wanted packets of one stream: found by the first of them, counted, and compared."""

    def __init__(self, job: PictureJob | SoundJob, rows: int, *, from_start: bool) -> None:
        self._first = job.pts, job.size
        self._skip = job.row if from_start else None
        self._late = 0
        self._rows, self._digest, self._seen = rows, job.digest, Digest()
        self.taken = 0
        self.done = rows == 0

    def take(self, packet: av.Packet[Any]) -> bool:
        """Whether it is one of them. Raises Differs."""
        if self.done:
            return False
        key = time_of(packet.pts), packet.size
        if not self.taken and not self._begins(key):
            return False
        self._seen.add(*key)
        self.taken += 1
        if self.taken == self._rows:
            self.done = True
            if self._seen.text() != self._digest:
                raise Differs
        return True

    def _begins(self, key: tuple[int, int]) -> bool:
        if self._skip is not None:
            self._skip -= 1
            return self._skip < 0
        self._late += key[0] > self._first[0]
        if self._late > _LATE_PACKETS:
            raise Differs
        return key == self._first


def _cut(container: InputContainer, order: Order, *, from_start: bool) -> bytes:
    runs: dict[int, _Run] = {}
    sinks: dict[int, _Pictures | _Samples] = {}
    with contextlib.ExitStack() as stack:
        if order.video is not None:
            stream = container.streams[order.video_index]
            runs[stream.index] = _Run(order.video, len(order.video.clock), from_start=from_start)
            sinks[stream.index] = stack.enter_context(_Pictures(order, order.video, stream))
        if order.audio is not None:
            stream = container.streams[order.audio_index]
            runs[stream.index] = _Run(order.audio, order.audio.rows, from_start=from_start)
            sinks[stream.index] = stack.enter_context(_Samples(order, order.audio, stream))
        for packet in packets(container, runs):
            run = runs[packet.stream.index]
            if run.take(packet):
                sinks[packet.stream.index].add(packet)
            if all(r.done for r in runs.values()):
                break
        if not all(run.done for run in runs.values()):
            raise Differs
        result = CutResult()
        for sink in sinks.values():
            sink.finish(result)
    return msgspec.msgpack.encode(result)


class _Pictures:
    """Coded pictures, as they are, with the work's timestamps."""

    def __init__(self, order: Order, job: PictureJob, stream: Any) -> None:
        self._clock = job.clock
        room = min(job.clock)
        self._decode = [at - room for at in sorted(job.clock)]
        self._keep = range(order.keep[0] - job.zero, order.keep[1] - job.zero)
        self._at = 0
        self._out = _writer(order.pictures, {})
        self._stream = self._out.add_stream_from_template(stream, opaque=True)
        self._copy: OutputContainer | None = None
        if order.copied:
            flags = "empty_moov+default_base_moof+frag_keyframe+frag_discont+skip_trailer"
            self._copy = _writer(order.copied, {"movflags": flags, "use_editlist": "0"})
            self._copied = self._copy.add_stream_from_template(stream, opaque=True)
            self._copied.time_base = TICK

    def __enter__(self) -> _Pictures:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        if self._copy is not None:
            self._copy.close()

    def add(self, packet: av.Packet[Any]) -> None:
        shown, decoded = self._clock[self._at], self._decode[self._at]
        self._at += 1
        if self._copy is not None and shown in self._keep:
            twin = av.Packet(bytes(packet))
            twin.is_keyframe = packet.is_keyframe
            _mux(self._copy, self._copied, twin, shown, decoded)
        _mux(self._out, self._stream, packet, shown, decoded)

    def finish(self, result: CutResult) -> None:
        result.pictures = self._at


def _writer(path: str, options: dict[str, str]) -> OutputContainer:
    names = {"nut": "nut", "mov": "mov", "mp4": "mp4"}
    if path.endswith(("mov", "mp4")):
        options = {"video_track_timescale": str(TICKS), **options}
    return av.open(
        path, "w", format=names[path.rpartition(".")[2]],
        container_options={"avoid_negative_ts": "disabled", **options},
    )  # fmt: skip


def _mux(
    out: OutputContainer, stream: Any, packet: av.Packet[Any], shown: int, decoded: int
) -> None:
    packet.time_base = TICK
    # Nothing counts on the length; in MOV a last packet of none would be outside the edit list.
    packet.pts, packet.dts, packet.duration = shown, decoded, 1
    packet.stream = stream
    out.mux(packet)


class _Samples:
    """Sound, decoded and brought to 48 kHz stereo, each sample in its place: holes are silence,
    what overlaps is left out."""

    def __init__(self, order: Order, job: SoundJob, stream: Any) -> None:
        self._anchors = dict(job.anchors)
        self._anchor: tuple[int, int] | None = None
        self._step = job.step
        self._rate = int(stream.codec_context.sample_rate)
        self._row = 0
        self._at: int | None = None
        """Where the next decoded sample lies."""
        self._first = self._next = job.first
        """The next one to be handed on."""
        self._wanted = (job.after_frame - job.first_frame) * SOUND_FRAME * SAMPLE_BYTES
        self._resampler = self._fresh()
        self._out = open(order.samples, "wb")  # noqa: SIM115 - closed on exit
        self._written = 0
        self._damaged = 0

    def __enter__(self) -> _Samples:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    @staticmethod
    def _fresh() -> av.AudioResampler:
        return av.AudioResampler("flt", "stereo", SOUND_RATE)

    def add(self, packet: av.Packet[Any]) -> None:
        row = self._row
        self._row += 1
        if row in self._anchors:
            self._anchor = row, self._anchors[row]
            self._at = self._anchors[row]
        elif self._step and self._anchor is not None:
            # Counted by packets, so that one that cannot be decoded moves nothing after it.
            self._at = self._anchor[1] + (row - self._anchor[0]) * self._step
        try:
            frames: list[Any] = list(packet.decode())
        except av.error.FFmpegError:
            self._damaged += 1
            return
        for frame in frames:
            self._place(frame, packet)

    def _place(self, frame: av.AudioFrame, packet: av.Packet[Any]) -> None:
        """Hand on what of a frame is new, after silence for what is missing before it."""
        scale = Fraction(frame.sample_rate, self._rate)
        at = round((self._at or 0) * scale)
        if frame.pts is not None and packet.pts is not None and packet.time_base is not None:
            # A decoder that begins leaves out its run-up, and says so in the time.
            late = (frame.pts - packet.pts) * packet.time_base * frame.sample_rate
            at += max(0, round(late)) if late < frame.sample_rate else 0
        self._at = round((at + frame.samples) / scale)
        due = round(self._next * scale)
        if at + frame.samples <= due:
            return
        while at > due:
            count = min(at - due, frame.sample_rate)
            self._feed(_like(frame, count))
            due += count
        self._feed(frame if at == due else _tail(frame, due - at))
        self._next = round((at + frame.samples) / scale)

    def _feed(self, frame: av.AudioFrame | None) -> None:
        if frame is not None:
            frame.pts = None
        try:
            made = self._resampler.resample(frame)
        except ValueError:
            # Other channels or another rate from here on.
            made = self._resampler.resample(None)
            self._resampler = self._fresh()
            made += self._resampler.resample(frame)
        for part in made:
            self._write(part.to_ndarray().astype("<f4", copy=False).tobytes())

    def _write(self, data: bytes) -> None:
        data = data[: self._wanted - self._written]
        self._out.write(data)
        self._written += len(data)

    def finish(self, result: CutResult) -> None:
        if self._next > self._first:
            self._feed(None)
        while self._written < self._wanted:
            self._write(bytes(min(BLOCK, self._wanted - self._written)))
        result.samples = self._written // SAMPLE_BYTES
        result.damaged_sound = self._damaged


def _like(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    """Silence in the shape of a frame."""
    data = frame.to_ndarray()
    rows = (data.shape[0], samples * data.shape[1] // frame.samples)
    quiet = 128 if frame.format.name.startswith("u8") else 0
    return _made(np.full(rows, quiet, data.dtype), frame)


def _tail(frame: av.AudioFrame, skip: int) -> av.AudioFrame:
    data = frame.to_ndarray()
    return _made(np.ascontiguousarray(data[:, skip * data.shape[1] // frame.samples :]), frame)


def _made(data: Any, like: av.AudioFrame) -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(data, format=like.format.name, layout=like.layout.name)
    made.sample_rate = like.sample_rate
    return made
