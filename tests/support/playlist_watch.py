"""Every playlist of a broadcast read all the time, each revision held against the rules.

The low-latency playlists are followed by blocking reloads, once whole and once by delta updates,
the others are asked for again and again, the way players do.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urljoin

import httpx

from bench.hls_client import MediaPlaylist, parse_media
from tests.support.playlist_rules import PlaylistHistory, Violation

POLL_SECONDS = 0.7
AGAIN_SECONDS = 0.25
MULTIVARIANTS = ("main", "plain", "replay")


class PlaylistWatch:
    """Collects while its block runs. Threads, so that nothing of the test can hold it up."""

    def __init__(self, hls_url: str) -> None:
        self.revisions: Counter[str] = Counter()
        """Different texts seen, by file name ("live+skip": delta updates)."""
        self.refusals: Counter[tuple[str, int]] = Counter()
        """Answers other than 200, by file name; status 0: no answer."""
        self.last: dict[str, str] = {}
        """The newest text of every address."""
        self.inits: dict[str, set[str]] = {}
        """Init sections each media playlist has named."""
        self._hls_url = hls_url
        self._whole = PlaylistHistory()
        self._deltas = PlaylistHistory()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._followed: set[tuple[str, str]] = set()

    @property
    def violations(self) -> list[Violation]:
        return self._whole.violations + self._deltas.violations

    def __enter__(self) -> PlaylistWatch:
        for name in MULTIVARIANTS:
            self._start(self._multivariant, name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def wait_ended(self, seconds: float) -> bool:
        """Whether a low-latency playlist has come to its ENDLIST within ``seconds``."""
        return self._ended.wait(seconds)

    def playlist(self, ending: str) -> MediaPlaylist:
        """The newest revision of a media playlist, by the end of its address."""
        url = next(url for url in self.last if url.endswith(ending))
        return parse_media(url, self.last[url])

    def _start(self, target: object, *arguments: str) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _multivariant(self, name: str) -> None:
        url = self._hls_url.replace("main.m3u8", f"{name}.m3u8")
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not self._over.is_set():
                text = self._get(client, url, "", f"{name} multivariant", self._whole)
                for line in (text or "").splitlines():
                    if line and not line.startswith("#"):
                        self._follow_also(urljoin(url, line))
                self._over.wait(POLL_SECONDS)

    def _follow_also(self, url: str) -> None:
        kinds = ("whole", "deltas") if url.endswith("/live.m3u8") else ("polled",)
        with self._lock:
            fresh = [kind for kind in kinds if (url, kind) not in self._followed]
            self._followed.update((url, kind) for kind in fresh)
        for kind in fresh:
            self._start(self._polled if kind == "polled" else self._blocking, url, kind)

    def _polled(self, url: str, _kind: str) -> None:
        name = url.rpartition("/")[2].removesuffix(".m3u8")
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not self._over.is_set():
                text = self._get(client, url, "", name, self._whole)
                # What has ended is not asked for again: compaction may write it anew, once.
                if text is not None and parse_media(url, text).ended:
                    return
                self._over.wait(POLL_SECONDS)

    def _blocking(self, url: str, kind: str) -> None:
        deltas = kind == "deltas"
        history = self._deltas if deltas else self._whole
        name = "live+skip" if deltas else "live"
        query, known = "", 0
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._over.is_set():
                text = self._get(client, url, query, name, history)
                if text is None:
                    # As a player would after an error: the whole list, now.
                    query = ""
                    self._over.wait(AGAIN_SECONDS)
                    continue
                playlist = parse_media(url, text)
                if playlist.ended:
                    self._ended.set()
                    return
                query = f"?_HLS_msn={_open_msn(text, playlist)}&_HLS_part={playlist.open_parts}"
                if deltas and known:
                    query += "&_HLS_skip=YES"
                known += 1

    def _get(
        self, client: httpx.Client, url: str, query: str, name: str, history: PlaylistHistory
    ) -> str | None:
        try:
            answer = client.get(url + query)
        except httpx.HTTPError:
            with self._lock:
                self.refusals[name, 0] += 1
            return None
        with self._lock:
            if answer.status_code != 200:
                self.refusals[name, answer.status_code] += 1
                return None
            text = answer.text
            history.add(url + query, text, time.monotonic())
            key = url + ("+skip" if history is self._deltas else "")
            if self.last.get(key) != text:
                self.revisions[name] += 1
                self.last[key] = text
            if "#EXTINF" in text:
                media = parse_media(url, text)
                named = {m.init for m in (*media.segments, *media.parts) if m.init}
                self.inits.setdefault(url, set()).update(named)
        return text


def _open_msn(text: str, playlist: MediaPlaylist) -> int:
    """The segment in progress, also of a delta update, which leaves segments out."""
    skipped = text.partition("#EXT-X-SKIP:SKIPPED-SEGMENTS=")[2].partition("\n")[0]
    return playlist.open_msn + int(skipped or 0)
