"""What the catalogue is told of takes, in order, whether or not the database is there just now.

The log comes first: a take has its id and its bytes before it has a row. `TakeBook` follows with
the rows, waits out a database that is away, and writes on each take's meta file how far it came,
so that the next start can finish what this one could not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from catalog import broadcasts
from catalog.clock import from_us
from catalog.models import Broadcast, Feed, Take
from infra.database import Database, DatabaseAway
from infra.ids import hash_secret
from ingest.log import LogMeta, LogShelf, TakeFiles, write_meta

RETRY_FIRST_SECONDS: Final = 0.2
RETRY_MOST_SECONDS: Final = 2.0
GRANTS_KEPT: Final = 1_000
"""Keys that were good once and may come back while the database is away."""

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to publish."""

    feed_id: str
    broadcast_id: str
    key_hash: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave, and why. ``description`` is shown by the encoder."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A feed as the catalogue has it now."""

    broadcast_state: str
    key_hash: str
    open_seq: int = 0
    """Number of its newest open take, on whatever node; 0 for none."""


class TakeRefused(Exception):
    """The catalogue will never take this take: its broadcast has ended, or its feed is gone."""


class LedgerAway(Exception):
    """The database does not answer; it may later."""


class LedgerFailed(LedgerAway):
    """The database answers, and says no to this. Asking again at once would not help."""


class Ledger(Protocol):
    """The catalogue as ingest needs it. Methods block, and raise `LedgerAway`."""

    def admit(self, key_hash: str) -> Grant | Refusal | None:
        """Who a stream key belongs to; None for nobody."""

    def open(self, meta: LogMeta) -> int:
        """Make the row, or find it made; the take's number. Raises `TakeRefused`."""

    def close(self, meta: LogMeta) -> None:
        """Close the row, making it first if it never was. Raises `TakeRefused`."""

    def standings(self, feed_ids: Iterable[str]) -> dict[str, Standing]: ...

    def settle_in(self, take_ids: Iterable[str]) -> None:
        """At start: these takes' logs are read here; ours without a log can't be read any more."""

    def shipped(self, take_ids: Iterable[str], before_us: int) -> dict[str, int]:
        """Those of the takes that were over, on air and in storage before that time, with what
        storage holds of each in bytes."""


class CatalogLedger:
    """The ledger in PostgreSQL."""

    def __init__(self, database: Database, node_url: str, node_id: str) -> None:
        self._database = database
        self._node_url = node_url
        self._node_id = node_id

    def admit(self, key_hash: str) -> Grant | Refusal | None:
        with _asking(), self._database.transaction() as session:
            feed = session.scalars(select(Feed).where(Feed.key_hash == key_hash)).one_or_none()
            if feed is None:
                return None
            state = feed.broadcast.state
            if state in ("ended", "cancelled"):
                return Refusal("broadcast_over", f"This broadcast is {state}.")
            return Grant(feed.id, feed.broadcast_id, feed.key_hash)

    def open(self, meta: LogMeta) -> int:
        with _asking(), self._database.transaction() as session:
            return self._found_or_made(session, meta).seq

    def close(self, meta: LogMeta) -> None:
        counts = meta.counts
        with _asking(), self._database.transaction() as session:
            take = self._found_or_made(session, meta)
            broadcasts.close_take(
                session,
                meta.take_id,
                ended_by=meta.ended_by or "unknown",
                last_arrival_us=counts.last_arrival_us,
                first_ms=counts.first_ms,
                last_video_ms=counts.last_video_ms if counts.last_video_ms >= 0 else None,
                last_audio_ms=counts.last_audio_ms if counts.last_audio_ms >= 0 else None,
                end_ms=counts.end_ms,
                video_frames=counts.video_frames,
                size_bytes=counts.size,
            )
            if meta.drop:
                # The row's broadcast: a meta file made anew from the log does not know its own.
                broadcasts.mark_interrupted(
                    session, take.broadcast_id, from_us(counts.last_arrival_us)
                )

    def _found_or_made(self, session: Session, meta: LogMeta) -> Take:
        take = session.get(Take, meta.take_id)
        if take is not None:
            return take
        return broadcasts.open_take(
            session,
            take_id=meta.take_id,
            feed_id=meta.feed_id,
            node_url=self._node_url,
            node_id=self._node_id,
            first_arrival_us=meta.first_arrival_us,
            codecs=meta.codecs,
        )

    def standings(self, feed_ids: Iterable[str]) -> dict[str, Standing]:
        with _asking(), self._database.transaction() as session:
            open_seq = (
                select(func.max(Take.seq))
                .where(Take.feed_id == Feed.id, Take.state == "open")
                .scalar_subquery()
            )
            rows = session.execute(
                select(Feed.id, Feed.key_hash, Broadcast.state, open_seq)
                .join(Broadcast, Broadcast.id == Feed.broadcast_id)
                .where(Feed.id.in_(list(feed_ids)))
            )
            return {
                feed_id: Standing(state, key_hash, seq or 0)
                for feed_id, key_hash, state, seq in rows
            }

    def settle_in(self, take_ids: Iterable[str]) -> None:
        here = list(take_ids)
        with _asking(), self._database.transaction() as session:
            session.execute(
                update(Take)
                .where(
                    Take.id.in_(here),
                    or_(Take.node_url != self._node_url, Take.node_id != self._node_id),
                )
                .values(node_url=self._node_url, node_id=self._node_id)
            )
            lost = session.scalars(
                select(Take).where(
                    Take.state == "open",
                    Take.node_id == self._node_id,
                    Take.id.not_in(here),
                )
            ).all()
            for take in lost:
                _log.error("an open take has no log on this node", take_id=take.id)
                broadcasts.close_take(
                    session,
                    take.id,
                    ended_by="log_missing",
                    last_arrival_us=take.first_arrival_us,
                    first_ms=0,
                    last_video_ms=None,
                    last_audio_ms=None,
                    end_ms=0,
                    video_frames=0,
                    size_bytes=0,
                )
                broadcasts.mark_interrupted(
                    session, take.broadcast_id, from_us(take.first_arrival_us)
                )

    def shipped(self, take_ids: Iterable[str], before_us: int) -> dict[str, int]:
        with _asking(), self._database.transaction() as session:
            rows = session.execute(
                select(Take.id, Take.size_bytes).where(
                    Take.id.in_(list(take_ids)),
                    Take.state == "closed",
                    # Both are set together, after the bytes were counted and stored.
                    Take.storage_key.is_not(None),
                    Take.sha256.is_not(None),
                    Take.last_arrival_us < before_us,
                    Take.aired_at < from_us(before_us),
                )
            )
            return {row.id: row.size_bytes for row in rows}


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """The catalogue's errors as the ledger's."""
    try:
        yield
    except DatabaseAway as error:
        raise LedgerAway(type(error).__name__) from error
    except SQLAlchemyError as error:
        raise LedgerFailed(f"{type(error).__name__}: {error}"[:300]) from error
    except broadcasts.BroadcastError as error:
        raise TakeRefused(error.code) from error


@dataclass(frozen=True, slots=True)
class _Entry:
    what: str  # open or close
    meta: LogMeta
    ready: Awaitable[None] | None


class TakeBook:
    """Writes takes into the ledger one after the other, from one asyncio task."""

    def __init__(
        self,
        ledger: Ledger,
        shelf: LogShelf,
        on_refused: Callable[[LogMeta], None],
        on_numbered: Callable[[LogMeta], None] = lambda _meta: None,
    ) -> None:
        """``on_numbered`` is told of each take that has just got its number."""
        self._ledger = ledger
        self._shelf = shelf
        self._on_refused = on_refused
        self._on_numbered = on_numbered
        self._entries: asyncio.Queue[_Entry] = asyncio.Queue()
        # Own threads: a database that hangs must not hold up reads from disk.
        self._threads = ThreadPoolExecutor(4, "ledger")
        self._grants: OrderedDict[str, Grant] = OrderedDict()

    async def _call(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- asking

    def known(self, key: str) -> bool:
        """Was this key good before? Then asking again costs no patience."""
        return hash_secret(key) in self._grants

    async def admit(self, key: str) -> Grant | Refusal | None:
        """Who may publish with ``key``. While the database is away, who could last time.

        Raises `LedgerAway` for a key that was never seen good.
        """
        key_hash = hash_secret(key)
        try:
            verdict = await self._call(lambda: self._ledger.admit(key_hash))
        except LedgerAway:
            if key_hash in self._grants:
                return self._grants[key_hash]
            raise
        self._grants.pop(key_hash, None)
        if isinstance(verdict, Grant):
            self._grants[key_hash] = verdict
            if len(self._grants) > GRANTS_KEPT:
                self._grants.popitem(last=False)
        return verdict

    async def standings(self, feed_ids: list[str]) -> dict[str, Standing]:
        """Feeds as the catalogue has them now. Raises `LedgerAway`."""
        return await self._call(lambda: self._ledger.standings(feed_ids))

    async def shipped(self, take_ids: list[str], before_us: int) -> dict[str, int]:
        """What storage holds of those takes that no one reads here any more. Raises
        `LedgerAway`."""
        return await self._call(lambda: self._ledger.shipped(take_ids, before_us))

    # -- telling

    def opened(self, meta: LogMeta) -> None:
        self._entries.put_nowait(_Entry("open", meta, None))

    def closed(self, meta: LogMeta, ready: Awaitable[None] | None = None) -> None:
        """The take is over; its row follows once ``ready`` (the log's last sync) is done."""
        self._entries.put_nowait(_Entry("close", meta, ready))

    async def run(self) -> None:
        """Write entries until cancelled."""
        here = await self._call(lambda: list(self._shelf.readable()))
        try:
            await self._patiently(lambda: self._ledger.settle_in(here))
        except LedgerFailed as error:
            _log.error("the catalogue did not take this node's logs", error=str(error))
        while True:
            entry = await self._entries.get()
            if entry.ready is not None:
                await entry.ready
            await self._write(entry)
            self._entries.task_done()

    async def settled(self) -> None:
        """Wait until everything told so far is written."""
        await self._entries.join()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _write(self, entry: _Entry) -> None:
        meta = entry.meta
        if meta.booked == "refused":
            return
        try:
            if entry.what == "open":
                meta.seq = await self._patiently(lambda: self._ledger.open(meta))
                meta.booked = "open"
                self._on_numbered(meta)
            else:
                await self._patiently(lambda: self._ledger.close(meta))
                meta.booked = "closed"
        except TakeRefused as error:
            # The footage stays on disk; only its broadcast will not have it.
            _log.warning("take refused by the catalogue", take_id=meta.take_id, why=str(error))
            meta.booked = "refused"
            self._on_refused(meta)
        except LedgerFailed as error:
            # One take the catalogue chokes on must not stop the others; the next start tries it
            # again.
            _log.error("take not booked", take_id=meta.take_id, error=str(error))
            return
        if meta.state == "closed" and entry.what == "close":
            await self._call(lambda: self._note(meta))

    def _note(self, meta: LogMeta) -> None:
        try:
            write_meta(TakeFiles(self._shelf.folder, meta.take_id).meta, meta)
        except OSError as error:
            # A full disk: the next start asks the ledger again, which changes nothing.
            _log.warning("meta file not written", take_id=meta.take_id, error=error.strerror)

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        pause = RETRY_FIRST_SECONDS
        told = False
        while True:
            try:
                return await self._call(work)
            except LedgerFailed:
                raise
            except LedgerAway:
                if not told:
                    _log.warning("the database is away; takes are recorded and booked later")
                    told = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST_SECONDS)
