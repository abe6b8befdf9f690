"""The picture of a cut, planned: which stream is host, what is copied, what must be encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from catalog.models import TIMESCALE
from transcode.fmp4.boxes import Fmp4Error
from transcode.fmp4.model import Track
from vod.reordering import Ints
from vod.smartcut.avc_host import AvcHost, own_encoder
from vod.smartcut.avc_slice import HEADER_BYTES
from vod.smartcut.bits import BitsError
from vod.smartcut.encode import Look, Picture, Workshop
from vod.smartcut.gather import Gathered, Strand
from vod.smartcut.hevc_host import HevcHost
from vod.smartcut.host import PEEK_BYTES, Approach, Entry, Host
from vod.smartcut.plan import Ask, Encode, Plan, encode_all, plan_stretch
from vod.smartcut.tables import Table


@dataclass(frozen=True, slots=True)
class Stretch:
    """A strand as planned, with what is encoded for it."""

    strand: Strand
    plan: Plan
    head: Picture | None
    tail: Picture | None


class PicturePlan:
    """Plans the strands one after the other; why anything is encoded that need not be goes into
    ``gathered.reasons``. Raises StorageError, OSError."""

    def __init__(self, shop: Workshop, gathered: Gathered, *, copying: bool = True) -> None:
        self._shop = shop
        self._gathered = gathered
        chosen = self._choose_host() if copying else None
        self.host: Host | None = chosen[0] if chosen else None
        """None: what our encoder makes is all there is."""
        self.template = chosen[1] if chosen else None
        """A track of the host's."""
        self.stretches: list[Stretch] = []
        self.works: list[Picture] = []
        for strand in gathered.strands:
            for part in self._enterable(strand):
                self._add(part)

    def _choose_host(self) -> tuple[Host, Track] | None:
        """Of the streams that can be copied the one shown longest, or one of a larger picture that
        is shown half as long; none if no stream can be copied."""
        hosts: list[tuple[Host, Track]] = []
        shown: list[int] = []
        for strand in self._gathered.strands:
            ticks = strand.table.ticks
            count = int(((ticks >= strand.start) & (ticks < strand.stop)).sum())
            entry = strand.table.track.entry
            for index, (host, _) in enumerate(hosts):
                if _fits(host, entry):
                    shown[index] += count
                    break
            else:
                opened, refused = _open_host(entry)
                if opened is None:
                    self._gathered.reasons.add(refused)
                else:
                    hosts.append((opened, strand.table.track))
                    shown.append(count)
        if not hosts:
            return None
        long = [pair for pair, count in zip(hosts, shown, strict=True) if 2 * count >= max(shown)]
        long.sort(key=lambda pair: -shown[hosts.index(pair)])
        return max(long, key=lambda pair: pair[0].width * pair[0].height)

    def _add(self, strand: Strand) -> None:
        table = strand.table
        ticks, keys = table.ticks, np.flatnonzero(table.key)
        plan = None
        if _fits(self.host, table.track.entry):
            plan = plan_stretch(ticks, keys, strand.start, strand.stop, self._ask(strand))
            if plan is not None and not self._sound_within(table, plan.copied):
                self._gathered.reasons.add("parameter_sets")
                plan = None
            elif plan is not None:
                self._gathered.reasons.update(plan.refused)
        elif self.host is not None:
            self._gathered.reasons.add("other_format")
        if plan is None:
            plan = encode_all(ticks, keys, strand.start, strand.stop)
        assert plan is not None
        number = len(self.stretches)
        head = self._work(table, plan, plan.head, f"v{number}h")
        tail = self._work(table, plan, plan.tail, f"v{number}t")
        self.stretches.append(Stretch(strand, plan, head, tail))

    def _enterable(self, strand: Strand) -> Iterator[Strand]:
        """The strand, cut anew wherever players could not enter it for too long: pictures of ours
        before an open group are an entrance to it."""
        host, table = self.host, strand.table
        if host is None or host.entrances is None or not _fits(host, table.track.entry):
            yield strand
            return
        ticks = table.ticks
        shown = np.sort(ticks[(ticks >= strand.start) & (ticks < strand.stop)])
        keys = [k for k in np.flatnonzero(table.key).tolist() if shown[0] < ticks[k] <= shown[-1]]
        start, last = strand.start, int(shown[0])
        for key in keys:
            if self._closed(table, key):
                last = int(ticks[key])
                continue
            before = int(np.searchsorted(shown, ticks[key])) - host.entrances.pictures
            if before > 0 and int(ticks[key]) - last >= host.entrances.ticks:
                last = int(shown[before])
                yield replace(strand, start=start, stop=last)
                start = last
                self._gathered.reasons.add("open_gop_entrances")
        yield replace(strand, start=start)

    def _closed(self, table: Table, key: int) -> bool:
        assert self.host is not None
        try:
            return self.host.look(table.peek(self._shop.files, key, PEEK_BYTES)).closed
        except BitsError:
            return True

    def _ask(self, strand: Strand) -> Ask:
        host, table, files = self.host, strand.table, self._shop.files
        first = not self.stretches

        def ask(key: int, before: int, behind: Ints) -> Approach:
            assert host is not None

            def peeks() -> Iterable[bytes]:
                return (table.peek(files, int(index), HEADER_BYTES) for index in behind)

            try:
                entry = host.look(table.peek(files, key, PEEK_BYTES))
                return host.approach(entry, before, first and before == 0, peeks)
            except BitsError:
                return Approach(Entry(False, False), "parameter_sets")

        return ask

    def _sound_within(self, table: Table, copied: Ints) -> bool:
        """Whether no key picture in a copied stretch brings other parameter sets."""
        assert self.host is not None
        try:
            for index in copied[table.key[copied]].tolist():
                entry = self.host.look(table.peek(self._shop.files, index, PEEK_BYTES))
                if not self.host.knows(entry.own_sets):
                    return False
        except BitsError:
            return False
        return True

    def _work(self, table: Table, plan: Plan, encode: Encode | None, name: str) -> Picture | None:
        if encode is None:
            return None
        if self.host is not None:
            options = self.host.encoder()
            look = Look(self.host.width, self.host.height, self.host.depth > 8)
        else:
            options, look = own_encoder(self._rate()), self._largest()
        as_it_is = _fits(self.host, table.track.entry)
        alone = not len(plan.copied)
        intra = plan.approach.intra if plan.approach and encode is plan.head else None
        work = Picture(table, encode, options, None if as_it_is else look, alone, intra, name)
        self.works.append(work)
        return work

    def _rate(self) -> Fraction:
        frames = sum(
            int(((s.table.ticks >= s.start) & (s.table.ticks < s.stop)).sum())
            for s in self._gathered.strands
        )
        return Fraction(frames * TIMESCALE, max(1, self._gathered.duration))

    def _largest(self) -> Look:
        tracks = [strand.table.track for strand in self._gathered.strands]
        largest = max(tracks, key=lambda track: track.width * track.height)
        return Look(largest.width & ~1, largest.height & ~1)


_KINDS: dict[bytes, type[AvcHost] | type[HevcHost]] = {
    b"avc1": AvcHost,
    b"avc3": AvcHost,
    b"hvc1": HevcHost,
    b"hev1": HevcHost,
}


def _fits(host: Host | None, entry: bytes) -> bool:
    """Whether samples of this sample entry are samples of the host's stream."""
    if host is None or not isinstance(host, _KINDS.get(entry[4:8], ())):
        return False
    try:
        return host.same_stream(entry)
    except (BitsError, Fmp4Error):
        return False


def _open_host(entry: bytes) -> tuple[Host | None, str]:
    """A host, or the code of why this stream can be none."""
    kind = _KINDS.get(entry[4:8])
    if kind is None:
        return None, "codec"
    try:
        host = kind(entry)
        refused = host.refuses()
    except (BitsError, Fmp4Error, IndexError):
        return None, "parameter_sets"
    return (host, "") if refused is None else (None, refused)
