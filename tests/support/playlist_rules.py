"""An independent checker of HLS playlists: every rule of draft-pantos-hls-rfc8216bis we rely on,
for each revision by itself and for each revision after the one before.

It shares no code with the writer. Give it every playlist text a client would have seen, in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from urllib.parse import urlsplit

ONCE = {
    "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF",
    "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE", "EXT-X-PLAYLIST-TYPE",
    "EXT-X-ENDLIST", "EXT-X-SKIP", "EXT-X-INDEPENDENT-SEGMENTS",
}  # fmt: skip
MEDIA_TAGS = ONCE | {
    "EXTM3U", "EXTINF", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP", "EXT-X-BYTERANGE", "EXT-X-PART", "EXT-X-PRELOAD-HINT", "EXT-X-RENDITION-REPORT",
}  # fmt: skip
VERSION_NEEDED = {"EXT-X-BYTERANGE": 4, "EXT-X-MAP": 6, "EXT-X-GAP": 8, "EXT-X-SKIP": 9}
MEDIA_NAMES = (".m4s", ".mp4", ".ts", ".aac")
FIVE_DECIMALS = re.compile(r"\d+\.\d{5}")
ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s][^",]*)(?:,|$)')

PARTS_VS_SEGMENT = Decimal("0.2")
"""How far the parts of a segment may be from its EXTINF: frame durations that were predicted."""
PDT_SLACK = 0.25
"""Seconds by which EXT-X-PROGRAM-DATE-TIME may differ from what EXTINF adds up to."""


@dataclass(frozen=True)
class Violation:
    """A rule broken: where, which, and how."""

    url: str
    rule: str
    detail: str


@dataclass(frozen=True)
class Part:
    duration: Decimal
    uri: str
    independent: bool
    gap: bool


@dataclass(frozen=True)
class Segment:
    """``uri`` is empty for the segment in progress. ``disc_number``: its Discontinuity Sequence
    Number (4.4.4.3)."""

    msn: int
    uri: str
    duration: Decimal
    disc: bool
    disc_number: int
    gap: bool
    map: str
    pdt: datetime | None
    byterange: str
    parts: tuple[Part, ...]


@dataclass
class Playlist:
    """One parsed media playlist."""

    tags: dict[str, str] = field(default_factory=dict)
    version: int = 1
    target: int = 0
    control: dict[str, str] = field(default_factory=dict)
    part_target: Decimal | None = None
    media_sequence: int = 0
    disc_sequence: int = 0
    kind: str = ""
    skipped: int = 0
    segments: list[Segment] = field(default_factory=list)
    open: Segment | None = None
    hint: dict[str, str] | None = None
    reports: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False

    @property
    def duration(self) -> Decimal:
        parts = sum((p.duration for p in self.open.parts), Decimal()) if self.open else Decimal()
        return sum((s.duration for s in self.segments), parts)

    @property
    def all(self) -> list[Segment]:
        return [*self.segments, self.open] if self.open else self.segments


class PlaylistHistory:
    """Playlists as they were fetched, and every rule they broke."""

    def __init__(self, *, pace: bool = False) -> None:
        """``pace``: also demand that live playlists change in time (6.2.2)."""
        self.violations: list[Violation] = []
        self._pace = pace
        self._last: dict[str, tuple[Playlist, str, float]] = {}
        self._changed: dict[str, float] = {}
        self._targets: dict[str, tuple[int, str]] = {}

    def add(self, url: str, text: str, at: float) -> list[Violation]:
        """A revision fetched from ``url`` (query included or not) at ``at`` seconds. Returns what
        it broke."""
        parts = urlsplit(url)
        delta = "_HLS_skip=" in parts.query
        url = parts._replace(query="").geturl()
        check = _Check(url)
        if "#EXT-X-STREAM-INF" in text:
            _check_multivariant(check, text)
        else:
            playlist = _parse(check, text)
            _check_revision(check, playlist)
            before = self._last.get(url)
            if playlist.skipped:
                playlist = _merge(check, before[0] if before else None, playlist, delta)
            _check_whole(check, playlist)
            if before is not None:
                _check_succession(check, before[0], playlist)
                check(before[2] <= at, "order", "revisions must be added in order of time")
                if before[0].ended:
                    check(before[1] == text or delta, "ended-is-final", "changed after ENDLIST")
                same = before[1] == text
            else:
                same = False
            self._check_pace(check, url, playlist, same, at)
            self._check_siblings(check, url, playlist)
            self._last[url] = (playlist, text, at)
        self.violations += check.found
        return check.found

    def _check_pace(
        self, check: _Check, url: str, playlist: Playlist, same: bool, at: float
    ) -> None:
        if not same or url not in self._changed:
            self._changed[url] = at
        quiet = at - self._changed[url]
        if self._pace and not playlist.ended:
            check(
                quiet <= 1.5 * playlist.target,
                "stale",
                f"unchanged for {quiet:.1f} s with target {playlist.target}",
            )

    def _check_siblings(self, check: _Check, url: str, playlist: Playlist) -> None:
        """6.2.4: equal target durations; matching discontinuity numbers at matching segments."""
        folder, _, name = url.rpartition("/")
        group = f"{folder.rpartition('/')[0]}|{name}"
        known = self._targets.setdefault(group, (playlist.target, url))
        check(
            known[0] == playlist.target,
            "target-equal",
            f"{playlist.target} here, {known[0]} in {known[1]}",
        )
        mine = {segment.msn: segment for segment in playlist.segments}
        for other_url, (other, _, _) in self._last.items():
            other_folder, _, other_name = other_url.rpartition("/")
            if f"{other_folder.rpartition('/')[0]}|{other_name}" != group or other_url == url:
                continue
            for segment in other.segments:
                twin = mine.get(segment.msn)
                if twin is not None:
                    check(
                        twin.disc_number == segment.disc_number,
                        "disc-aligned",
                        f"segment {segment.msn}: {twin.disc_number} here, "
                        f"{segment.disc_number} in {other_url}",
                    )


class _Check:
    def __init__(self, url: str) -> None:
        self.url = url
        self.found: list[Violation] = []

    def __call__(self, holds: bool, rule: str, detail: str) -> bool:
        if not holds:
            self.found.append(Violation(self.url, rule, detail))
        return holds


def _attributes(check: _Check, tag: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = ATTRIBUTE.match(text, at)
        if match is None:
            check(False, "syntax", f"{tag}: attribute list {text!r}")
            break
        check(match[1] not in found, "syntax", f"{tag}: {match[1]} twice")
        found[match[1]] = match[2].strip('"')
        quoted = match[2].startswith('"')
        if match[1] in ("URI", "CODECS", "BYTERANGE"):
            check(quoted, "syntax", f"{tag}: {match[1]} must be quoted")
        elif match[1] in ("TYPE", "GAP", "INDEPENDENT", "CAN-BLOCK-RELOAD"):
            check(not quoted, "syntax", f"{tag}: {match[1]} must not be quoted")
        at = match.end()
    return found


def _number(check: _Check, what: str, text: str | None) -> Decimal:
    """A decimal of five places (iOS: gohlslib c737ce1)."""
    if text is None or not FIVE_DECIMALS.fullmatch(text):
        check(False, "five-decimals", f"{what}={text}")
        return Decimal(re.sub(r"[^\d.]", "", text or "") or 0)
    return Decimal(text)


def _whole(check: _Check, what: str, text: str) -> int:
    if not text.isdigit():
        check(False, "syntax", f"{what}:{text} is no whole number")
        return 0
    return int(text)


def _parse(check: _Check, text: str) -> Playlist:
    playlist = Playlist()
    lines = text.split("\n")
    check(lines[0] == "#EXTM3U", "extm3u", f"first line is {lines[0]!r}")
    check("\r" not in text and text.endswith("\n"), "syntax", "lines end with LF, the last too")
    reader = _Reader(check, playlist)
    for line in lines[1:]:
        if line.startswith("#EXT"):
            tag, _, value = line[1:].partition(":")
            if not check(tag in MEDIA_TAGS, "unknown-tag", tag):
                continue
            if tag in ONCE:
                check(tag not in playlist.tags, "once", f"{tag} twice")
            check(not playlist.ended, "ended-is-final", f"{tag} after ENDLIST")
            playlist.tags.setdefault(tag, value)
            reader.tag(tag, value)
        elif line and not line.startswith("#"):
            reader.uri(line)
    reader.finish()
    return playlist


class _Reader:
    """Collects tags until the URI they belong to."""

    def __init__(self, check: _Check, playlist: Playlist) -> None:
        self.check = check
        self.playlist = playlist
        self.map = ""
        self.discs = 0
        self.count = 0
        self.clear()

    def clear(self) -> None:
        self.duration: Decimal | None = None
        self.disc = False
        self.gap = False
        self.pdt: datetime | None = None
        self.byterange = ""
        self.parts: list[Part] = []

    def tag(self, tag: str, value: str) -> None:
        check, playlist = self.check, self.playlist
        if tag in ("EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-DISCONTINUITY"):
            check(not self.parts, "before-first-part", f"{tag} after a part of the same segment")
        if tag in ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"):
            check(not self.count and not self.parts, "header-first", f"{tag} after a segment")
            check(not self.disc, "header-first", f"{tag} after EXT-X-DISCONTINUITY")
        match tag:
            case "EXT-X-VERSION":
                playlist.version = _whole(check, tag, value)
            case "EXT-X-TARGETDURATION":
                playlist.target = _whole(check, tag, value)
            case "EXT-X-MEDIA-SEQUENCE":
                playlist.media_sequence = _whole(check, tag, value)
            case "EXT-X-DISCONTINUITY-SEQUENCE":
                playlist.disc_sequence = _whole(check, tag, value)
            case "EXT-X-PLAYLIST-TYPE":
                playlist.kind = value
                check(value in ("EVENT", "VOD"), "syntax", f"{tag}:{value}")
            case "EXT-X-SERVER-CONTROL":
                playlist.control = _attributes(check, tag, value)
            case "EXT-X-PART-INF":
                given = _attributes(check, tag, value).get("PART-TARGET")
                playlist.part_target = _number(check, "PART-TARGET", given)
            case "EXT-X-SKIP":
                given = _attributes(check, tag, value).get("SKIPPED-SEGMENTS", "")
                playlist.skipped = _whole(check, "SKIPPED-SEGMENTS", given)
                check(not self.count, "header-first", "EXT-X-SKIP after a segment")
            case "EXTINF":
                self.duration = _number(check, tag, value.partition(",")[0])
                check("," in value, "syntax", "EXTINF needs a comma")
            case "EXT-X-DISCONTINUITY":
                self.disc = True
            case "EXT-X-GAP":
                self.gap = True
            case "EXT-X-BYTERANGE":
                self.byterange = value
                check(bool(re.fullmatch(r"\d+@\d+", value)), "syntax", f"{tag}:{value}")
            case "EXT-X-MAP":
                given_map = _attributes(check, tag, value)
                self.map = given_map.get("URI", "") + "@" + given_map.get("BYTERANGE", "")
                self._name(given_map.get("URI", ""))
            case "EXT-X-PROGRAM-DATE-TIME":
                self._pdt(value)
            case "EXT-X-PART":
                self._part(_attributes(check, tag, value))
            case "EXT-X-PRELOAD-HINT":
                playlist.hint = _attributes(check, tag, value)
            case "EXT-X-RENDITION-REPORT":
                playlist.reports.append(_attributes(check, tag, value))
            case "EXT-X-ENDLIST":
                playlist.ended = True

    def _name(self, uri: str) -> None:
        path = urlsplit(uri).path
        self.check(path.endswith(MEDIA_NAMES), "name", f"{uri!r} has no media extension")

    def _pdt(self, value: str) -> None:
        well = (
            re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)", value)
            is not None
        )
        if self.check(well, "syntax", f"EXT-X-PROGRAM-DATE-TIME:{value}"):
            self.pdt = datetime.fromisoformat(value)

    def _part(self, given: dict[str, str]) -> None:
        duration = _number(self.check, "PART DURATION", given.get("DURATION"))
        uri = given.get("URI", "")
        self._name(uri)
        self.check(bool(self.map) or bool(self.playlist.skipped), "map-first", f"{uri}: no MAP")
        self.parts.append(
            Part(duration, uri, given.get("INDEPENDENT") == "YES", given.get("GAP") == "YES")
        )

    def uri(self, line: str) -> None:
        check, playlist = self.check, self.playlist
        if check(self.duration is not None, "extinf", f"{line} has no EXTINF"):
            self._name(line)
            check(bool(self.map) or bool(playlist.skipped), "map-first", f"{line}: no MAP before")
            playlist.segments.append(self._segment(line, self.duration or Decimal()))
        self.count += 1
        self.clear()

    def _segment(self, uri: str, duration: Decimal) -> Segment:
        playlist = self.playlist
        self.discs += self.disc
        return Segment(
            playlist.media_sequence + playlist.skipped + self.count,
            uri,
            duration,
            self.disc,
            playlist.disc_sequence + self.discs,
            self.gap,
            self.map,
            self.pdt,
            self.byterange,
            tuple(self.parts),
        )

    def finish(self) -> None:
        loose = self.disc or self.gap or self.duration is not None or self.pdt is not None
        if self.parts:
            self.check(self.duration is None, "extinf", "EXTINF without a URI at the end")
            self.playlist.open = self._segment("", Decimal())
        else:
            self.check(not loose, "dangling", "tags that belong to no segment at the end")


def _check_revision(check: _Check, playlist: Playlist) -> None:
    """Rules that need no other revision, for the lines as they stand."""
    for tag in ("EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE"):
        check(tag in playlist.tags, "required", f"no {tag}")
    for tag, version in VERSION_NEEDED.items():
        if tag in playlist.tags:
            check(
                playlist.version >= version, "version", f"{tag} needs {version}: {playlist.version}"
            )
    control, target = playlist.control, Decimal(playlist.target)
    if "HOLD-BACK" in control:
        hold = _number(check, "HOLD-BACK", control["HOLD-BACK"])
        check(hold >= 3 * target, "hold-back", f"{hold} for target {target}")
    if "CAN-SKIP-UNTIL" in control:
        boundary = _number(check, "CAN-SKIP-UNTIL", control["CAN-SKIP-UNTIL"])
        check(boundary >= 6 * target, "skip-until", f"{boundary} for target {target}")
    if playlist.part_target is not None:
        hold = _number(check, "PART-HOLD-BACK", control.get("PART-HOLD-BACK"))
        least = 3 * playlist.part_target
        check(hold >= least, "part-hold-back", f"{hold}, {least} wanted")
        check(control.get("CAN-BLOCK-RELOAD") == "YES", "block-reload", "parts without blocking")
    parts_listed = any(segment.parts for segment in playlist.all)
    if parts_listed:
        check(playlist.part_target is not None, "part-inf", "parts without EXT-X-PART-INF")
    if playlist.skipped:
        check("CAN-SKIP-UNTIL" in control, "skip-until", "EXT-X-SKIP without CAN-SKIP-UNTIL")
    for report in playlist.reports:
        check({"URI", "LAST-MSN"} <= report.keys(), "report", f"{report}")
        if playlist.part_target is not None:
            check("LAST-PART" in report, "report", f"no LAST-PART: {report}")
    if playlist.kind == "VOD":
        check(playlist.ended, "vod-ended", "VOD without ENDLIST")


def _check_whole(check: _Check, playlist: Playlist) -> None:
    """Rules over all segments of a revision."""
    for segment in playlist.segments:
        rounded = segment.duration.quantize(Decimal(1), ROUND_HALF_UP)
        check(
            rounded <= playlist.target,
            "target",
            f"segment {segment.msn}: {segment.duration} over {playlist.target}",
        )
        check(segment.duration > 0, "target", f"segment {segment.msn} has no duration")
        if segment.parts:
            total = sum((part.duration for part in segment.parts), Decimal())
            check(
                abs(total - segment.duration) <= PARTS_VS_SEGMENT,
                "parts-sum",
                f"segment {segment.msn}: parts {total}, EXTINF {segment.duration}",
            )
    for segment in playlist.all:
        _check_parts(check, playlist, segment)
    for one, other in pairwise(playlist.all):
        if one.pdt is None or other.pdt is None:
            continue
        step = (other.pdt - one.pdt).total_seconds()
        check(step > 0, "pdt-order", f"segment {other.msn} is not after {one.msn}")
        if not other.disc:
            check(
                abs(step - float(one.duration)) <= PDT_SLACK,
                "pdt-step",
                f"segment {other.msn}: {step} s after one of {one.duration} s",
            )
    if playlist.hint is not None:
        check(not playlist.ended, "hint", "PRELOAD-HINT in an ended playlist")
        check(playlist.hint.get("TYPE") == "PART", "hint", f"{playlist.hint}")
        listed = {part.uri for segment in playlist.all for part in segment.parts}
        check(playlist.hint.get("URI", "") not in listed, "hint", f"listed: {playlist.hint}")


def _check_parts(check: _Check, playlist: Playlist, segment: Segment) -> None:
    if playlist.part_target is None:
        return
    least = playlist.part_target * 85 / 100
    for index, part in enumerate(segment.parts):
        where = f"part {index} of segment {segment.msn}: {part.duration}"
        check(part.duration <= playlist.part_target, "part-max", where)
        check(part.duration > 0, "part-min", where)
        last = index == len(segment.parts) - 1
        if not (last or part.independent or part.gap):
            check(part.duration >= least, "part-min", f"{where}, target {playlist.part_target}")


def _merge(check: _Check, before: Playlist | None, delta: Playlist, asked: bool) -> Playlist:
    """6.3.7: put back what EXT-X-SKIP left out."""
    check(asked, "skip-asked", "a delta update nobody asked for")
    if not check(before is not None, "skip-asked", "a delta update without a playlist before"):
        return delta
    assert before is not None
    known = {segment.msn: segment for segment in before.segments}
    wanted = range(delta.media_sequence, delta.media_sequence + delta.skipped)
    missing = [msn for msn in wanted if msn not in known]
    check(not missing, "skip-known", f"skipped {missing}, never listed before")
    head = [known[msn] for msn in wanted if msn in known]
    discs = sum(segment.disc for segment in head)
    last_map = head[-1].map if head else ""
    tail = []
    for segment in delta.all:
        last_map = segment.map or last_map
        tail.append(replace(segment, map=last_map, disc_number=segment.disc_number + discs))
    after = sum((s.duration for s in delta.segments), Decimal())
    after += sum((p.duration for p in delta.open.parts), Decimal()) if delta.open else 0
    boundary = Decimal(delta.control.get("CAN-SKIP-UNTIL", "0"))
    check(after >= boundary, "skip-boundary", f"only {after} s kept, boundary {boundary}")
    if delta.open:
        return replace(delta, segments=head + tail[:-1], open=tail[-1], skipped=0)
    return replace(delta, segments=head + tail, skipped=0)


def _check_succession(check: _Check, old: Playlist, new: Playlist) -> None:
    """6.2.1, 6.2.2: what may change from one revision to the next."""
    check(old.target == new.target, "target-constant", f"{old.target} became {new.target}")
    check(old.part_target == new.part_target, "part-target-constant", f"{new.part_target}")
    check(old.control == new.control, "control-constant", f"{old.control} became {new.control}")
    check(old.kind == new.kind, "type-constant", f"{old.kind!r} became {new.kind!r}")
    moved = new.media_sequence - old.media_sequence
    check(moved >= 0, "sequence", f"{old.media_sequence} became {new.media_sequence}")
    if old.kind:
        check(moved == 0, "event-appends", "segments removed from an EVENT or VOD playlist")
    check(not old.ended or new.ended, "ended-is-final", "ENDLIST went away")
    check(
        new.disc_sequence >= old.disc_sequence, "disc-sequence", "EXT-X-DISCONTINUITY-SEQUENCE fell"
    )
    latest = {segment.msn: segment for segment in new.all}
    for segment in old.all:
        if segment.msn < new.media_sequence:
            continue
        twin = latest.get(segment.msn)
        if check(twin is not None, "vanished", f"segment {segment.msn}") and twin is not None:
            _check_twin(check, new, segment, twin)
    if moved > 0:
        check(
            new.duration >= 3 * new.target,
            "removed-early",
            f"{moved} segments removed, {new.duration} s left for target {new.target}",
        )


def _check_twin(check: _Check, new: Playlist, old: Segment, now: Segment) -> None:
    where = f"segment {old.msn}"
    if old.uri:
        check(now.uri == old.uri, "immutable", f"{where}: {old.uri} became {now.uri or 'open'}")
        check(now.duration == old.duration, "immutable", f"{where}: EXTINF changed")
        check(now.gap == old.gap, "immutable", f"{where}: GAP changed")
        check(now.byterange == old.byterange, "immutable", f"{where}: BYTERANGE changed")
    check(now.disc == old.disc, "immutable", f"{where}: DISCONTINUITY changed")
    check(
        now.disc_number == old.disc_number,
        "disc-sequence",
        f"{where}: discontinuity number {old.disc_number} became {now.disc_number}",
    )
    check(now.map == old.map, "immutable", f"{where}: MAP {old.map} became {now.map}")
    if old.pdt is not None and now.pdt is not None:
        check(now.pdt == old.pdt, "pdt-constant", f"{where}: {old.pdt} became {now.pdt}")
    if not old.parts:
        return
    if not now.parts:
        after = sum((s.duration for s in new.segments if s.msn > old.msn), Decimal())
        check(bool(now.uri), "immutable", f"{where}: parts vanished while it was open")
        check(after >= 3 * new.target, "parts-removed-early", f"{where}: {after} s from the end")
        return
    kept = now.parts[: len(old.parts)]
    check(kept == old.parts, "immutable", f"{where}: parts {old.parts} became {kept}")
    if old.uri:
        check(len(now.parts) == len(old.parts), "immutable", f"{where}: parts after its end")


def _check_multivariant(check: _Check, text: str) -> None:
    lines = text.split("\n")
    check(lines[0] == "#EXTM3U", "extm3u", f"first line is {lines[0]!r}")
    check("#EXT-X-INDEPENDENT-SEGMENTS" in lines, "independent", "no INDEPENDENT-SEGMENTS")
    check(not any(line.startswith("#EXTINF") for line in lines), "mixed", "segments in it")
    seen: set[str] = set()
    for line, following in pairwise(lines):
        if not line.startswith("#EXT-X-STREAM-INF:"):
            continue
        given = _attributes(check, "EXT-X-STREAM-INF", line.partition(":")[2])
        for name in ("BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"):
            check(name in given, "variant", f"no {name} in {line}")
        peak = _whole(check, "BANDWIDTH", given.get("BANDWIDTH", ""))
        average = _whole(check, "AVERAGE-BANDWIDTH", given.get("AVERAGE-BANDWIDTH", ""))
        check(peak >= average > 0, "variant", f"BANDWIDTH {peak}, average {average}")
        codecs = given.get("CODECS", "")
        if re.search(r"avc|hvc|hev|av01|vp09", codecs):
            check("RESOLUTION" in given, "variant", f"no RESOLUTION in {line}")
            check("FRAME-RATE" in given, "variant", f"no FRAME-RATE in {line}")
        else:
            check("RESOLUTION" not in given, "variant", f"RESOLUTION of sound: {line}")
        check(bool(following) and not following.startswith("#"), "variant", f"no URI after {line}")
        check(following not in seen, "variant", f"{following} twice")
        seen.add(following)
    check(bool(seen), "variant", "no variant")
