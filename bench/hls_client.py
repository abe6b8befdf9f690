"""A small low-latency HLS client for demo and benches: follows a live playlist by blocking
reloads and tells when each part could be had, as a player on a good network would."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


class PlaylistError(Exception):
    """A playlist that is not there, or not what it should be."""


@dataclass(slots=True)
class Media:
    """One part or segment in a playlist. Seconds; ``pdt`` is its PROGRAM-DATE-TIME, epoch s."""

    msn: int
    part: int | None
    uri: str
    seconds: float
    pdt: float
    init: str
    discontinuity: bool
    byte_range: tuple[int, int] | None = None


@dataclass(slots=True)
class MediaPlaylist:
    """A media playlist as read."""

    url: str
    first_msn: int = 0
    ended: bool = False
    target: float = 0.0
    segments: list[Media] = field(default_factory=list)
    parts: list[Media] = field(default_factory=list)
    """Of every segment that still lists them, the open one included."""
    open_msn: int = 0
    open_parts: int = 0
    discontinuities: int = 0


def _attributes(line: str) -> dict[str, str]:
    return {k: v.strip('"') for k, v in _ATTRIBUTE.findall(line.partition(":")[2])}


def _byte_range(text: str, after: int) -> tuple[int, int]:
    length, _, start = text.partition("@")
    begin = int(start) if start else after
    return begin, begin + int(length)


def parse_media(url: str, text: str) -> MediaPlaylist:
    """Read a media playlist. Raises PlaylistError."""
    if not text.startswith("#EXTM3U"):
        raise PlaylistError(f"{url}: not a playlist")
    playlist = MediaPlaylist(url)
    msn, part, init = 0, 0, ""
    pdt, seconds, discontinuity = 0.0, 0.0, False
    part_pdt = 0.0
    span: tuple[int, int] | None = None
    last_end = 0
    for line in text.splitlines():
        name = line.partition(":")[0]
        value = line.partition(":")[2]
        if name == "#EXT-X-MEDIA-SEQUENCE":
            msn = playlist.first_msn = int(value)
        elif name == "#EXT-X-TARGETDURATION":
            playlist.target = float(value)
        elif name == "#EXT-X-MAP":
            attributes = _attributes(line)
            init = urljoin(url, attributes["URI"])
            if "BYTERANGE" in attributes:
                init += "#" + attributes["BYTERANGE"]
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            pdt = part_pdt = dt.datetime.fromisoformat(value).timestamp()
        elif name == "#EXT-X-DISCONTINUITY":
            discontinuity = True
            playlist.discontinuities += 1
        elif name == "#EXT-X-BYTERANGE":
            span = _byte_range(value, last_end)
            last_end = span[1]
        elif name == "#EXT-X-PART":
            attributes = _attributes(line)
            length = float(attributes["DURATION"])
            playlist.parts.append(
                Media(msn, part, urljoin(url, attributes["URI"]), length, part_pdt, init,
                      discontinuity and part == 0)
            )  # fmt: skip
            part += 1
            part_pdt += length
        elif name == "#EXTINF":
            seconds = float(value.rstrip(",").split(",")[0])
        elif name == "#EXT-X-ENDLIST":
            playlist.ended = True
        elif line and not line.startswith("#"):
            playlist.segments.append(
                Media(msn, None, urljoin(url, line), seconds, pdt, init, discontinuity, span)
            )
            pdt += seconds
            part_pdt = pdt
            msn, part, discontinuity, span = msn + 1, 0, False, None
    playlist.open_msn, playlist.open_parts = msn, part
    return playlist


class HlsClient:
    """Reads playlists and media of one broadcast."""

    def __init__(self, timeout: float = 20.0) -> None:
        self._http = httpx.Client(timeout=timeout, trust_env=False)
        self._inits: dict[str, bytes] = {}

    def text(self, url: str) -> str:
        answer = self._http.get(url)
        if answer.status_code != 200:
            raise PlaylistError(f"{url} answers {answer.status_code}")
        return answer.text

    def variants(self, url: str) -> list[tuple[dict[str, str], str]]:
        """(attributes, media playlist URL) of a multivariant playlist."""
        found: list[tuple[dict[str, str], str]] = []
        attributes: dict[str, str] = {}
        for line in self.text(url).splitlines():
            if line.startswith("#EXT-X-STREAM-INF"):
                attributes = _attributes(line)
            elif line and not line.startswith("#"):
                found.append((attributes, urljoin(url, line)))
        return found

    def media(self, url: str) -> MediaPlaylist:
        return parse_media(url, self.text(url))

    def init(self, uri: str) -> bytes:
        """An init section, kept."""
        if uri not in self._inits:
            address, _, span = uri.partition("#")
            self._inits[uri] = self._get(address, _byte_range(span, 0) if span else None)
        return self._inits[uri]

    def fetch(self, media: Media) -> bytes:
        """The bytes of a part or segment."""
        return self._get(media.uri, media.byte_range)

    def _get(self, uri: str, span: tuple[int, int] | None) -> bytes:
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        answer = self._http.get(uri, headers=headers)
        if answer.status_code not in (200, 206):
            raise PlaylistError(f"{uri} answers {answer.status_code}")
        return answer.content

    def follow(self, url: str, until: float) -> Iterator[Media]:
        """New parts as they are announced, by blocking reloads, until monotonic ``until``.

        A server that restarts or a feed that pauses is waited for, as players do.
        """
        seen = (-1, -1)
        query = ""
        while time.monotonic() < until:
            try:
                playlist = parse_media(url, self.text(url + query))
            except (PlaylistError, httpx.HTTPError):
                query = ""
                time.sleep(0.3)
                continue
            for part in playlist.parts:
                place = (part.msn, part.part or 0)
                if place > seen:
                    seen = place
                    yield part
            if playlist.ended:
                return
            query = f"?_HLS_msn={playlist.open_msn}&_HLS_part={playlist.open_parts}"

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> HlsClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
