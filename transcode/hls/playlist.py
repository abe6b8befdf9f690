"""Writing playlists (draft-pantos-hls-rfc8216bis): pure, and the same bytes for the same head.

Every revision of a playlist has to follow from the one before it, so nothing here depends on
anything but the head: what a segment's lines say is fixed once it is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from transcode.hls.head import TIMESCALE, AirHead, HeadPart, HeadRendition, HeadSegment
from transcode.hls.replay import Replay, ReplayRendition

HOLD_BACK_TARGETS = 3
"""4.4.3.8: HOLD-BACK at least three target durations; so many part targets for PART-HOLD-BACK
too (it must be two, should be three)."""

SKIP_TARGETS = 6
"""4.4.3.8: the skip boundary must be at least six target durations."""

START_HEIGHT = 480
"""The tallest rung a player should begin with; players that look take the first one listed."""

LL_VERSION = 9
"""4.4.1.2, section 8: EXT-X-SKIP needs 9."""
PLAIN_VERSION = 8
"""EXT-X-GAP needs 8."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_live(head: AirHead, rendition: HeadRendition, *, skip: bool = False) -> bytes:
    """The low-latency playlist of one rendition; ``skip`` asks for a delta update (6.2.5.1)."""
    target = head.target_duration
    control = ",".join(
        (
            "CAN-BLOCK-RELOAD=YES",
            f"CAN-SKIP-UNTIL={_seconds(target * SKIP_TARGETS * TIMESCALE)}",
            f"HOLD-BACK={_seconds(target * HOLD_BACK_TARGETS * TIMESCALE)}",
            f"PART-HOLD-BACK={_ceil5(head.part_target_us * HOLD_BACK_TARGETS)}",
        )
    )
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{LL_VERSION}",
        f"#EXT-X-TARGETDURATION:{target}",
        f"#EXT-X-SERVER-CONTROL:{control}",
        f"#EXT-X-PART-INF:PART-TARGET={_ceil5(head.part_target_us)}",
        f"#EXT-X-MEDIA-SEQUENCE:{head.media_sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{head.discontinuity_sequence}",
    ]
    skipped = skippable(head, rendition) if skip else 0
    init: int | None = None
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        init = rendition.segments[skipped - 1].init
    for segment in rendition.segments[skipped:]:
        init = _live_segment(lines, segment, init, with_parts=True)
    if rendition.parts:
        _begin(
            lines,
            rendition.open_discontinuity,
            rendition.open_init if rendition.open_init != init else None,
            rendition.open_pdt_us,
        )
        _parts(lines, rendition.next_msn, rendition.parts)
    if head.state == "ended":
        lines.append("#EXT-X-ENDLIST")
    else:
        hint = f"p{rendition.next_msn}.{len(rendition.parts)}.m4s"
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint}"')
        for other in head.renditions:
            if other.name != rendition.name and (last := last_available(other)) is not None:
                part = f",LAST-PART={last[1]}" if last[1] is not None else ""
                lines.append(
                    f'#EXT-X-RENDITION-REPORT:URI="../{other.name}/live.m3u8",'
                    f"LAST-MSN={last[0]}{part}"
                )
    lines.append("")
    return "\n".join(lines).encode()


def write_plain(head: AirHead, rendition: HeadRendition) -> bytes:
    """The same window without parts, for caches and old players."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{PLAIN_VERSION}",
        f"#EXT-X-TARGETDURATION:{head.target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{head.media_sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{head.discontinuity_sequence}",
    ]
    init: int | None = None
    for segment in rendition.segments:
        init = _live_segment(lines, segment, init, with_parts=False)
    if head.state == "ended":
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def write_replay(replay: Replay, rendition: ReplayRendition) -> bytes:
    """The playlist of a recording from its start."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{PLAIN_VERSION}",
        f"#EXT-X-TARGETDURATION:{replay.target_duration}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'EVENT' if replay.event or not replay.ended else 'VOD'}",
    ]
    file, init = rendition.file, None
    for segment in rendition.segments:
        new_map = None
        if segment.init != init:
            init = segment.init
            new_map = _map(init, rendition)
        _begin_with(lines, segment.disc, new_map, segment.pdt_us)
        if segment.gap:
            lines.append("#EXT-X-GAP")
        lines.append(f"#EXTINF:{_seconds(segment.dur)},")
        if file is not None and not segment.gap:
            lines.append(f"#EXT-X-BYTERANGE:{segment.size}@{segment.offset}")
            lines.append(file)
        else:
            lines.append(f"s{segment.msn}.m4s")
    if replay.ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode()


def write_multivariant(
    renditions: Sequence[HeadRendition] | Sequence[ReplayRendition], playlist: str
) -> bytes:
    """The multivariant playlist; ``playlist`` is the file name in each rendition's folder.

    Video rungs have their sound in them; the audio-only rung is a variant like the others, for
    the worst networks and for pockets.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{PLAIN_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for rendition in sorted(renditions, key=_variant_order):
        attributes = [
            f"BANDWIDTH={rendition.bandwidth}",
            f"AVERAGE-BANDWIDTH={rendition.average_bandwidth}",
            f'CODECS="{rendition.codecs}"',
        ]
        if rendition.width and rendition.height:
            attributes.append(f"RESOLUTION={rendition.width}x{rendition.height}")
        if rendition.frame_rate:
            attributes.append(f"FRAME-RATE={rendition.frame_rate:.3f}")
        attributes.append("CLOSED-CAPTIONS=NONE")
        lines.append(f"#EXT-X-STREAM-INF:{','.join(attributes)}")
        lines.append(f"{rendition.name}/{playlist}")
    lines.append("")
    return "\n".join(lines).encode()


def last_available(rendition: HeadRendition) -> tuple[int, int | None] | None:
    """(msn, part) of the newest part, part None when the segment's parts are gone; None when
    there is nothing at all."""
    if rendition.parts:
        return rendition.next_msn, len(rendition.parts) - 1
    if rendition.segments:
        last = rendition.segments[-1]
        return last.msn, len(last.parts) - 1 if last.parts else None
    return None


def skippable(head: AirHead, rendition: HeadRendition) -> int:
    """How many of the oldest segments lie before the skip boundary."""
    boundary = head.target_duration * SKIP_TARGETS * TIMESCALE
    after = sum(part.dur for part in rendition.parts)
    count = len(rendition.segments)
    while count and after < boundary:
        count -= 1
        after += rendition.segments[count].dur
    return count


def _live_segment(
    lines: list[str], segment: HeadSegment, init: int | None, *, with_parts: bool
) -> int:
    _begin(lines, segment.disc, segment.init if segment.init != init else None, segment.pdt_us)
    if with_parts:
        _parts(lines, segment.msn, segment.parts)
    if segment.gap:
        lines.append("#EXT-X-GAP")
    lines.append(f"#EXTINF:{_seconds(segment.dur)},")
    lines.append(f"s{segment.msn}.m4s")
    return segment.init


def _begin(lines: list[str], disc: bool, init: int | None, pdt_us: int) -> None:
    _begin_with(lines, disc, None if init is None else f'URI="init{init}.mp4"', pdt_us)


def _begin_with(lines: list[str], disc: bool, new_map: str | None, pdt_us: int) -> None:
    """What stands before the first part of a segment (4.4.4.9, B.1)."""
    if disc:
        lines.append("#EXT-X-DISCONTINUITY")
    if new_map is not None:
        lines.append(f"#EXT-X-MAP:{new_map}")
    if pdt_us:
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(pdt_us)}")


def _parts(lines: list[str], msn: int, parts: Sequence[HeadPart]) -> None:
    for index, part in enumerate(parts):
        flags = ",INDEPENDENT=YES" if part.independent else ""
        if part.gap:
            flags += ",GAP=YES"
        lines.append(f'#EXT-X-PART:DURATION={_seconds(part.dur)},URI="p{msn}.{index}.m4s"{flags}')


def _map(init: int, rendition: ReplayRendition) -> str:
    place = rendition.inits.get(init)
    if rendition.file is None or place is None:
        return f'URI="init{init}.mp4"'
    return f'URI="{rendition.file}",BYTERANGE="{place.size}@{place.offset}"'


def _variant_order(rendition: HeadRendition | ReplayRendition) -> tuple[int, int]:
    """First the best rung not over START_HEIGHT, then the other video rungs from the best down,
    then audio."""
    if rendition.kind == "audio":
        return (2, -rendition.bandwidth)
    small = (rendition.height or 0) <= START_HEIGHT
    return (0 if small else 1, -rendition.bandwidth)


def _seconds(ticks: int) -> str:
    """Five decimals: what players agreed to read (gohlslib c737ce1)."""
    return f"{ticks / TIMESCALE:.5f}"


def _ceil5(microseconds: int) -> str:
    """Seconds with five decimals, rounded up, so that no part is over the target printed."""
    tens = -(-microseconds // 10)
    return f"{tens // 100_000}.{tens % 100_000:05d}"


def _date(microseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=microseconds // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
