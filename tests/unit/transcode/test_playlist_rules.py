"""The checker of playlists can fail: each rule is broken once on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.heads import FakeBroadcast
from tests.support.playlist_rules import PlaylistHistory
from transcode.hls.playlist import write_live, write_multivariant, write_plain

URL = "https://stage.example/hls/token/v480/live.m3u8"
Edit = Callable[[str], str]


def revision(parts: int, every: int = 0, skip: bool = False) -> str:
    broadcast = FakeBroadcast(discontinuity_every=every)
    for _ in range(parts):
        broadcast.add_part()
    return write_live(broadcast.head, broadcast.head.renditions[0], skip=skip).decode()


def sub(pattern: str, to: str, count: int = 1) -> Edit:
    def edit(text: str) -> str:
        changed, times = re.subn(pattern, to, text, count=count, flags=re.M)
        assert times, pattern
        return changed

    return edit


def end_of(text: str) -> str:
    return text + "#EXT-X-ENDLIST\n"


ALONE: list[tuple[str, Edit]] = [
    ("extm3u", sub("#EXTM3U", "#EXTM3U8")),
    ("syntax", lambda text: text.rstrip("\n")),
    ("syntax", sub("\n", "\r\n")),
    ("syntax", sub('URI="p0.0.m4s"', "URI=p0.0.m4s")),
    ("syntax", sub("TYPE=PART", 'TYPE="PART"')),
    ("syntax", sub(r"TIME:2026-02-02T02:40:00.000Z", "TIME:2026-02-02 02:40")),
    ("syntax", sub(r"(EXTINF:[\d.]+),", r"\1")),
    ("unknown-tag", sub("#EXT-X-GAP|#EXT-X-VERSION:9", "#EXT-X-VERSION:9\n#EXT-X-FOO")),
    ("once", sub("#EXT-X-TARGETDURATION:4", "#EXT-X-TARGETDURATION:4\n#EXT-X-TARGETDURATION:4")),
    ("required", sub("#EXT-X-MEDIA-SEQUENCE:0\n", "")),
    ("version", sub("VERSION:9", "VERSION:5")),
    ("five-decimals", sub("EXTINF:2.00000", "EXTINF:2.0")),
    ("five-decimals", sub("DURATION=0.50000", "DURATION=0.5")),
    ("target", sub("EXTINF:2.00000", "EXTINF:4.50000")),
    ("target", sub("EXTINF:2.00000", "EXTINF:0.00000")),
    ("parts-sum", sub("EXTINF:2.00000", "EXTINF:3.00000")),
    ("part-max", sub("DURATION=0.50000", "DURATION=0.50500")),
    ("part-min", sub(r'DURATION=0.50000,URI="p0.1', 'DURATION=0.40000,URI="p0.1')),
    ("hold-back", sub(",HOLD-BACK=12.00000", ",HOLD-BACK=11.00000")),
    ("part-hold-back", sub("PART-HOLD-BACK=1.51200", "PART-HOLD-BACK=1.26000")),
    ("block-reload", sub("CAN-BLOCK-RELOAD=YES,", "")),
    ("skip-until", sub("CAN-SKIP-UNTIL=24.00000", "CAN-SKIP-UNTIL=20.00000")),
    ("part-inf", sub("#EXT-X-PART-INF.*\n", "")),
    ("map-first", sub("#EXT-X-MAP.*\n", "")),
    ("before-first-part", sub(r"(#EXT-X-MAP.*\n)(#EXT-X-PRO.*\n)(#EXT-X-PART:.*\n)", r"\1\3\2")),
    ("header-first", lambda text: text + "#EXT-X-DISCONTINUITY-SEQUENCE:0\n"),
    ("name", sub(r"^s0\.m4s", "s0.bin")),
    ("extinf", sub(r"#EXTINF.*\n", "")),
    ("dangling", lambda text: sub(r"(?s)s0\.m4s\n.*", "s0.m4s\n#EXT-X-DISCONTINUITY\n")(text)),
    ("pdt-order", sub(r"02:40:02.000", "02:39:50.000")),
    ("pdt-step", sub(r"02:40:02.000", "02:40:02.400")),
    ("hint", end_of),
    ("hint", sub(r'PART,URI="p1.2.m4s"', 'PART,URI="p1.1.m4s"')),
    ("hint", sub("TYPE=PART", "TYPE=MAP")),
    ("report", sub(",LAST-PART=1", "")),
    ("report", sub("LAST-MSN=1,", "")),
    ("ended-is-final", sub("#EXT-X-PRELOAD", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD")),
    ("vod-ended", sub("#EXT-X-VERSION:9", "#EXT-X-VERSION:9\n#EXT-X-PLAYLIST-TYPE:VOD")),
    ("skip-asked", sub("(#EXT-X-MAP)", r"#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n\1")),
]


@pytest.mark.parametrize(("rule", "edit"), ALONE, ids=[rule for rule, _ in ALONE])
def test_one_revision_alone(rule: str, edit: Edit) -> None:
    text = revision(6)
    assert PlaylistHistory().add(URL, text, 0) == []
    assert rule in {violation.rule for violation in PlaylistHistory().add(URL, edit(text), 0)}


def same(text: str) -> str:
    return text


AFTER: list[tuple[str, int, int, Edit]] = [
    ("target-constant", 6, 7, sub("TARGETDURATION:4", "TARGETDURATION:3")),
    ("part-target-constant", 6, 7, sub("PART-TARGET=0.50400", "PART-TARGET=0.50300")),
    ("control-constant", 6, 7, sub(",HOLD-BACK=12.00000", ",HOLD-BACK=13.00000")),
    ("type-constant", 6, 7, sub("VERSION:9", "VERSION:9\n#EXT-X-PLAYLIST-TYPE:EVENT")),
    ("sequence", 90, 70, same),
    ("vanished", 9, 7, same),
    ("immutable", 7, 5, same),
    ("immutable", 6, 7, sub("s0.m4s", "t0.m4s")),
    ("immutable", 6, 7, sub("EXTINF:2.00000", "EXTINF:2.00001")),
    ("immutable", 6, 7, sub("#EXTINF", "#EXT-X-GAP\n#EXTINF")),
    ("immutable", 6, 7, sub('URI="p0.1.m4s"', 'URI="p0.1.m4s",INDEPENDENT=YES')),
    ("immutable", 6, 7, sub('MAP:URI="init0', 'MAP:URI="init1')),
    ("immutable", 6, 7, sub("(#EXT-X-PROGRAM.*02.000Z)", r"#EXT-X-DISCONTINUITY\n\1")),
    ("immutable", 6, 6, sub("#EXT-X-PART:.*p1.1.*\n", "")),
    ("parts-removed-early", 6, 7, sub("(#EXT-X-PART:.*p0.*\n){4}", "")),
    ("pdt-constant", 6, 7, sub("02:40:02.000", "02:40:02.100")),
    ("disc-sequence", 90, 92, sub("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1")),
    ("removed-early", 6, 6, sub(r"(?s)SEQUENCE:0(.*?)#EXT-X-PROG.*s0.m4s\n", r"SEQUENCE:1\1")),
]


@pytest.mark.parametrize(("rule", "first", "second", "edit"), AFTER, ids=[row[0] for row in AFTER])
def test_one_revision_after_another(rule: str, first: int, second: int, edit: Edit) -> None:
    history = PlaylistHistory()
    history.add(URL, revision(first), 0)
    assert rule in {violation.rule for violation in history.add(URL, edit(revision(second)), 1)}


def test_a_discontinuity_that_leaves_uncounted() -> None:
    history = PlaylistHistory()
    before, after = revision(60, every=3), revision(76, every=3)
    assert history.add(URL, before, 0) == []
    wrong = sub(r"DISCONTINUITY-SEQUENCE:\d+", "DISCONTINUITY-SEQUENCE:0")(after)
    rules = {violation.rule for violation in history.add(URL, wrong, 8)}
    assert "disc-sequence" in rules


def test_an_end_is_final() -> None:
    history = PlaylistHistory()
    ended = sub("(?s)#EXT-X-PRELOAD.*", "#EXT-X-ENDLIST\n")(revision(6))
    assert history.add(URL, ended, 0) == []
    assert history.add(URL, ended, 1) == []
    assert "ended-is-final" in {v.rule for v in history.add(URL, revision(7), 2)}


def test_an_event_only_appends() -> None:
    history = PlaylistHistory()
    event = sub("VERSION:9", "VERSION:9\n#EXT-X-PLAYLIST-TYPE:EVENT")
    history.add(URL, event(revision(60)), 0)
    assert "event-appends" in {v.rule for v in history.add(URL, event(revision(76)), 8)}


def test_delta_updates() -> None:
    history = PlaylistHistory()
    asked = URL + "?_HLS_skip=YES"
    delta = revision(60, skip=True)
    assert "skip-asked" in {v.rule for v in PlaylistHistory().add(asked, delta, 0)}
    history.add(URL, revision(58), 0)
    assert history.add(asked, delta, 1) == []
    assert "skip-asked" in {v.rule for v in history.add(URL, revision(61, skip=True), 2)}
    greedy = sub(
        r"(?s)SKIPPED-SEGMENTS=\d+.*?(#EXT-X-PROG[^\n]*\n#EXT-X-PART)", r"SKIPPED-SEGMENTS=5\n\1"
    )
    rules = {v.rule for v in history.add(asked, greedy(revision(62, skip=True)), 3)}
    assert "skip-boundary" in rules
    gone = PlaylistHistory()
    gone.add(URL, revision(8), 0)
    assert "skip-known" in {v.rule for v in gone.add(asked, revision(90, skip=True), 40)}


def test_time_runs_forward_and_playlists_keep_pace() -> None:
    history = PlaylistHistory(pace=True)
    text = revision(6)
    history.add(URL, text, 10)
    assert "order" in {v.rule for v in history.add(URL, text, 9)}
    assert history.add(URL, text, 15) == []
    assert "stale" in {v.rule for v in history.add(URL, text, 16.5)}


def test_renditions_agree() -> None:
    other = URL.replace("v480", "v360")
    history = PlaylistHistory()
    history.add(URL, revision(60, every=3), 0)
    slow = sub("TARGETDURATION:4", "TARGETDURATION:5")(revision(60, every=3))
    assert "target-equal" in {v.rule for v in history.add(other, slow, 0)}
    assert "disc-aligned" in {v.rule for v in history.add(other, revision(60), 0)}


MULTI: list[tuple[str, Edit]] = [
    ("extm3u", sub("#EXTM3U", "#EXT")),
    ("independent", sub("#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
    ("variant", sub(",RESOLUTION=854x480", "")),
    ("variant", sub(",FRAME-RATE=25.000", "")),
    ("variant", sub(',CODECS="mp4a.40.2"', "")),
    ("variant", sub("BANDWIDTH=900000,AVERAGE", "BANDWIDTH=600000,AVERAGE")),
    ("variant", sub("v480/live.m3u8\n", "")),
    ("variant", sub("^a/live", "v480/live")),
    ("variant", sub('(CODECS="mp4a.40.2")', r"\1,RESOLUTION=2x2")),
    ("mixed", lambda text: text + "#EXTINF:2.00000,\n"),
]


@pytest.mark.parametrize(("rule", "edit"), MULTI, ids=[rule for rule, _ in MULTI])
def test_multivariant(rule: str, edit: Edit) -> None:
    text = write_multivariant(FakeBroadcast().head.renditions, "live.m3u8").decode()
    url = "https://stage.example/hls/token/main.m3u8"
    assert PlaylistHistory().add(url, text, 0) == []
    assert rule in {violation.rule for violation in PlaylistHistory().add(url, edit(text), 0)}


def test_plain_playlists_pass() -> None:
    broadcast = FakeBroadcast()
    for _ in range(20):
        broadcast.add_part()
    text = write_plain(broadcast.head, broadcast.head.renditions[0]).decode()
    assert PlaylistHistory().add(URL, text, 0) == []
