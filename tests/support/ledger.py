"""A ledger in memory: what ingest tells the catalogue, for tests and measurements without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from infra.ids import hash_secret, public_id, secret_token
from ingest.book import Grant, LedgerAway, Refusal, Standing, TakeRefused
from ingest.log import LogMeta


@dataclass
class MemoryLedger:
    """Feeds by key hash, and the takes as they were told."""

    away: bool = False
    grants: dict[str, Grant] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    """broadcast id: state"""
    opened: list[str] = field(default_factory=list)
    closed: list[LogMeta] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    """take id: size, of takes in storage"""
    lookups: int = 0

    def feed(self) -> tuple[str, Grant]:
        """A new broadcast with one feed: its stream key and its grant."""
        key = secret_token()
        grant = Grant(public_id(), public_id(), hash_secret(key))
        self.grants[grant.key_hash] = grant
        self.states[grant.broadcast_id] = "ready"
        return key, grant

    def _check(self) -> None:
        if self.away:
            raise LedgerAway("as the test wants")

    def admit(self, key_hash: str) -> Grant | Refusal | None:
        self._check()
        self.lookups += 1
        grant = self.grants.get(key_hash)
        if grant is None:
            return None
        state = self.states[grant.broadcast_id]
        return Refusal("broadcast_over", f"{state}") if state in ("ended", "cancelled") else grant

    def open(self, meta: LogMeta) -> int:
        self._check()
        if self.states[meta.broadcast_id] in ("ended", "cancelled"):
            raise TakeRefused("broadcast_ended")
        self.states[meta.broadcast_id] = "live"
        if meta.take_id not in self.opened:
            self.opened.append(meta.take_id)
        return self.opened.index(meta.take_id) + 1

    def close(self, meta: LogMeta) -> None:
        self._check()
        if meta.take_id not in self.opened:
            self.opened.append(meta.take_id)
        self.closed.append(msgspec.structs.replace(meta))
        if meta.drop and self.states.get(meta.broadcast_id) == "live":
            self.states[meta.broadcast_id] = "interrupted"

    def standings(self, feed_ids: Iterable[str]) -> dict[str, Standing]:
        self._check()
        wanted = set(feed_ids)
        return {
            grant.feed_id: Standing(self.states[grant.broadcast_id], key_hash)
            for key_hash, grant in self.grants.items()
            if grant.feed_id in wanted
        }

    def settle_in(self, take_ids: Iterable[str]) -> None:
        self._check()
        self.settled = list(take_ids)

    def shipped(self, take_ids: Iterable[str], before_us: int) -> dict[str, int]:
        self._check()
        over = {m.take_id for m in self.closed if m.counts.last_arrival_us < before_us}
        wanted = over & set(take_ids)
        return {take_id: size for take_id, size in self.stored.items() if take_id in wanted}
