"""Requests held for the next part or segment (blocking playlist reload, rfc8216bis 6.2.5.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from api.edge.http import Reply, Send

HOLD_TARGETS: Final = 3
"""A blocking reload is held for this many target durations, then 503 (6.2.5.2)."""
MAX_HELD: Final = 20_000
"""Requests held at once in one process."""


class Overloaded(Exception):
    """A named limit is reached: answer 503."""


class Sent(NamedTuple):
    """An answer already handed to the server; what its sends returned is still to be awaited."""

    reply: Reply
    start: Awaitable[None]
    body: Awaitable[None]


class _Waiter(NamedTuple):
    """A held request. With ``send``, the playlist (``form``) is sent as soon as it is there."""

    deadline: float
    future: asyncio.Future[bool | Sent]
    send: Send | None
    form: str


class Group:
    """Requests that wait for the same part (or segment) of one rendition."""

    __slots__ = ("deadline", "waiters")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.waiters: list[_Waiter] = []


Groups = dict[tuple[str, int, int | None], Group]
"""Of one stream: (rendition, msn, part or None) → who waits for it."""


class Waiting:
    """All held requests of a process; their number is bounded."""

    def __init__(self) -> None:
        self.held = 0
        self.closing = False
        """Nothing is held from now on."""

    def hold(
        self,
        groups: Groups,
        key: tuple[str, int, int | None],
        deadline: float,
        send: Send | None,
        form: str,
    ) -> asyncio.Future[bool | Sent]:
        """A future: False when it is time to give up; otherwise the part is there.

        With ``send`` the playlist may have been sent by then, and the result is ``Sent``: when
        two thousand wait for one part, their answers go out in one loop, before any of their
        coroutines runs again. Raises Overloaded.
        """
        if self.held >= MAX_HELD or self.closing:
            raise Overloaded(f"{self.held} requests held, limit {MAX_HELD}")
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(deadline)
        future: asyncio.Future[bool | Sent] = asyncio.get_running_loop().create_future()
        group.waiters.append(_Waiter(deadline, future, send, form))
        self.held += 1
        return future

    def send_all(self, group: Group, playlist: Callable[[str], Reply | None]) -> None:
        """Send the new playlist to all who wait for it.

        A server may act on ``send`` when it is called (Granian does) or when the result is
        awaited; the request's own coroutine awaits both in order, so either is right.
        """
        sent: list[tuple[asyncio.Future[bool | Sent], Sent]] = []
        rest: list[_Waiter] = []
        replies: dict[str, Reply | None] = {}
        for waiter in group.waiters:
            send, form = waiter.send, waiter.form
            if form not in replies:
                replies[form] = playlist(form)
            reply = replies[form]
            if send is None or reply is None or waiter.future.done():
                rest.append(waiter)
                continue
            try:
                sent.append((waiter.future, Sent(reply, send(reply.start), send(reply.body))))
            except (OSError, RuntimeError) as error:
                waiter.future.set_exception(error)  # its client is gone
                rest.append(waiter)
        for future, result in sent:
            future.set_result(result)
        self.held -= len(sent)
        group.waiters = rest

    def release(self, group: Group, *, answer: bool) -> None:
        """Wake all of a group; ``answer`` as of ``hold``."""
        self.held -= len(group.waiters)
        for waiter in group.waiters:
            if not waiter.future.done():
                waiter.future.set_result(answer)
        group.waiters = []

    def release_all(self, groups: Groups, *, answer: bool) -> None:
        """Wake everybody of a stream."""
        for group in groups.values():
            self.release(group, answer=answer)
        groups.clear()

    def sweep(self, groups: Groups, now: float) -> None:
        """Give up those whose time is over."""
        for key, group in list(groups.items()):
            if group.deadline > now:
                continue
            late = 0
            for waiter in group.waiters:
                if waiter.deadline > now:
                    break
                late += 1
                if not waiter.future.done():
                    waiter.future.set_result(False)
            self.held -= late
            del group.waiters[:late]
            if group.waiters:
                group.deadline = group.waiters[0].deadline
            else:
                del groups[key]
