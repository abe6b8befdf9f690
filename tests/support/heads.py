"""A made-up broadcast, head after head, for the tests of playlists and of the edge."""

from __future__ import annotations

import msgspec

from transcode.hls.head import TIMESCALE, AirHead, HeadPart, HeadRendition, HeadSegment, HeadState

START_US = 1_770_000_000_000_000
PART_TARGET_US = 504_000
PARTS_A_SEGMENT = 4
PART = TIMESCALE // 2
SEGMENT = PART * PARTS_A_SEGMENT
TARGET = 4
WINDOW = 30 * TIMESCALE
PARTS_KEPT = 4
RUN = 3


class FakeBroadcast:
    """Grows by one part of every rendition at a time; two-second segments, four parts each."""

    def __init__(self, token: str = "T" * 22, *, discontinuity_every: int = 0) -> None:
        self.head = AirHead(
            token=token,
            version=1,
            state="live",
            target_duration=TARGET,
            part_target_us=PART_TARGET_US,
            media_sequence=0,
            discontinuity_sequence=0,
            renditions=[
                HeadRendition(
                    "v480", "video", 900_000, 700_000, "avc1.42c01e,mp4a.40.2", 0,
                    width=854, height=480, frame_rate=25.0, open_pdt_us=START_US,
                ),
                HeadRendition(
                    "a", "audio", 70_000, 64_000, "mp4a.40.2", 0, open_pdt_us=START_US
                ),
            ],
        )  # fmt: skip
        self._every = discontinuity_every

    @property
    def now(self) -> float:
        """Seconds of media published."""
        video = self.head.renditions[0]
        return (video.next_msn * SEGMENT + len(video.parts) * PART) / TIMESCALE

    def add_part(self) -> AirHead:
        """Half a second more of everything."""
        grown = [self._grow(rendition) for rendition in self.head.renditions]
        shared = min(r.segments[0].msn for r in grown if r.segments) if grown[0].segments else 0
        gone = sum(
            1
            for segment in self.head.renditions[0].segments
            if segment.msn < shared and segment.disc
        )
        self.head = msgspec.structs.replace(
            self.head,
            version=self.head.version + 1,
            media_sequence=shared,
            discontinuity_sequence=self.head.discontinuity_sequence + gone,
            renditions=grown,
            server_us=START_US + int(self.now * 1_000_000),
        )
        return self.head

    def set_state(self, state: HeadState) -> AirHead:
        self.head = msgspec.structs.replace(self.head, version=self.head.version + 1, state=state)
        return self.head

    def _grow(self, rendition: HeadRendition) -> HeadRendition:
        video = rendition.kind == "video"
        index = len(rendition.parts)
        size = 1000 if video else 100
        part = HeadPart(PART, size, index * size, independent=not video or index == 0)
        parts = [*rendition.parts, part]
        if len(parts) < PARTS_A_SEGMENT:
            return msgspec.structs.replace(rendition, parts=parts)
        disc, init = rendition.open_discontinuity, rendition.open_init
        done = HeadSegment(
            rendition.next_msn, SEGMENT, rendition.open_pdt_us, init, disc, parts=parts, run=RUN
        )
        segments = [*rendition.segments, done]
        while sum(segment.dur for segment in segments) > WINDOW:
            segments.pop(0)
        old = len(segments) - PARTS_KEPT - 3
        segments = [
            msgspec.structs.replace(segment, parts=[]) if place < old else segment
            for place, segment in enumerate(segments)
        ]
        msn = rendition.next_msn + 1
        breaks = bool(self._every) and msn % self._every == 0
        return msgspec.structs.replace(
            rendition,
            segments=segments,
            parts=[],
            next_msn=msn,
            open_pdt_us=rendition.open_pdt_us + SEGMENT * 1_000_000 // TIMESCALE,
            open_init=init + breaks,
            open_discontinuity=breaks,
        )
