"""PostgreSQL through SQLAlchemy: one engine a process, one transaction a request or a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

DatabaseAway: Final[tuple[type[Exception], ...]] = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
"""What a lost, restarting or overloaded server (or a broken deadlock) raises: worth a retry."""

CONNECT_TIMEOUT_SECONDS: Final = 3
POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 5
POOL_WAIT_SECONDS: Final = 10
STATEMENT_TIMEOUT_MS: Final = 30_000
IDLE_TRANSACTION_TIMEOUT_MS: Final = 60_000

_BEFORE_COMMIT: Final = "xitai.before_commit"
_AFTER_COMMIT: Final = "xitai.after_commit"


class Database:
    """The database of one process.

    ``url`` is an SQLAlchemy URL; ``name`` shows up in ``pg_stat_activity``. Connections are made
    when first used and tested before each use, so a server that restarted costs no error to a
    transaction that begins afterwards.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "xitai",
        pool_size: int = POOL_SIZE,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        self.url = url
        options = (
            f"-c statement_timeout={statement_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_MS}"
        )
        self.engine = sa.create_engine(
            url,
            pool_pre_ping=True,
            pool_size=pool_size,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": name,
                "options": options,
                # A server machine that vanished is noticed in about 10 s instead of 2 h.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises.

        Rows stay readable after the commit (nothing is expired). Callbacks given to
        :func:`before_commit` run here last of all within the transaction, those given to
        :func:`after_commit` once, after the commit and only after it.
        """
        with self._sessions() as session:
            with session.begin():
                yield session
                for last in session.info.pop(_BEFORE_COMMIT, []):
                    last()
            callbacks: list[Callable[[], None]] = session.info.pop(_AFTER_COMMIT, [])
        # The connection is back in the pool by now: a callback may open its own transaction.
        for callback in callbacks:
            callback()

    def ping(self) -> None:
        """Raise one of :data:`DatabaseAway` unless the server answers."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def wait_ready(self, seconds: float) -> None:
        """Return when the server answers; raise its last error after ``seconds``. Blocks."""
        deadline = time.monotonic() + seconds
        pause = 0.05
        while True:
            try:
                self.ping()
            except DatabaseAway:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(pause * 1.5, 1.0)
            else:
                return

    def close(self) -> None:
        """Close idle connections; those in use close when they come back."""
        self.engine.dispose()


def before_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run ``callback`` at the end of the transaction ``session`` belongs to, within it: what
    takes locks that others want too is then held for a moment only, however long it lasts."""
    session.info.setdefault(_BEFORE_COMMIT, []).append(callback)


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run ``callback`` once, after the transaction that ``session`` belongs to has committed.

    It must not raise: the transaction is done by then, and its owner could not undo it.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(callback)
