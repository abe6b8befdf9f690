"""Local administration: what the command line does, straight on the instance's database."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import answers
from api.answers import Addresses
from api.sentences import sentence
from catalog.audit import Actor, note
from catalog.broadcasts import BroadcastError
from catalog.centres import find_or_add, get_centre, home_centre
from catalog.clock import china_date
from catalog.errors import Missing, Refused
from catalog.models import Broadcast
from infra.database import Database, DatabaseAway
from infra.ids import hash_secret
from infra.instance import http_url, load_instance, local_http_url, rtmp_url
from infra.settings import Settings

if TYPE_CHECKING:
    from api.answers import BroadcastBrief, BroadcastFull, BroadcastMade, ClipAnswer, Publish

_CLIP_POLL_SECONDS: Final = 0.2
_STAGES: Final = {"queued": "排队中", "running": "正在制作", "done": "做好了"}
"""Of a job that says nothing more by itself."""
_HERE: Final = Actor(user_id=None, name="命令行", role="admin", via="cli")
"""Whoever may run commands on the machine may do everything; the log says from where it came."""

MakeError = Callable[[str, str], Exception]


class Local:
    """One command's hold on an instance; use as a context manager.

    What the catalogue refuses leaves as the error ``fail(code, sentence)`` makes.
    """

    def __init__(self, settings: Settings, at: Addresses, fail: MakeError) -> None:
        self._settings = settings
        self._at = at
        self._fail = fail
        self._database = Database(settings.resolved_database_url, name="xitai-cli", pool_size=1)

    @classmethod
    def open(cls, settings: Settings, fail: MakeError) -> Self:
        """The instance on the settings' data folder, or the installation their URLs name."""
        instance = load_instance(settings)
        if instance is not None:
            return cls(settings, Addresses(instance.http_url, instance.rtmp_url), fail)
        if settings.embedded_database:
            raise fail("not_running", sentence("not_running", {}))
        return cls(settings, Addresses(http_url(settings), rtmp_url(settings)), fail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with self._database.transaction() as session:
                yield session
        except Refused as error:
            raise self._fail(error.code, sentence(error.code, error.facts)) from None
        except BroadcastError as error:
            raise self._fail(error.code, error.message) from None
        except DatabaseAway:
            raise self._fail("database_away", sentence("database_away", {})) from None

    def rebuild_search(self) -> dict[str, int]:
        from catalog.search import index

        with self._transaction() as session:
            return {"records": index.rebuild(session)}

    # --- broadcasts --------------------------------------------------------------------------

    def create(
        self,
        *,
        title: str,
        centre: str | None,
        mode: str,
        planned: dt.datetime | None,
        description: str,
        contract: str = "",
    ) -> BroadcastMade:
        from catalog.broadcasts import create_broadcast

        with self._transaction() as session:
            home = home_centre(session, centre)
            new = create_broadcast(
                session,
                title=title,
                centre_id=home.id,
                mode=mode,
                description=description,
                planned_at=planned,
                contract=contract,
            )
            _note(session, "broadcast.create", new.broadcast)
            return answers.made(new, self._at)

    def show(self, broadcast_id: str) -> BroadcastFull:
        with self._transaction() as session:
            return answers.full(session, self._find(session, broadcast_id), self._at)

    def listing(self, *, state: str | None, limit: int) -> list[BroadcastBrief]:
        with self._transaction() as session:
            found = answers.listed_broadcasts(session, state=state, limit=limit)
            return [answers.brief(broadcast, self._at) for broadcast in found]

    def end(self, broadcast_id: str) -> BroadcastFull:
        from api.present import tell_ingest
        from catalog.broadcasts import end_broadcast
        from infra.redis import connect

        with self._transaction() as session:
            broadcast = self._find(session, broadcast_id)
            end_broadcast(session, broadcast.id, dt.datetime.now(dt.UTC))
            _note(session, "broadcast.end", broadcast)
            found = answers.full(session, broadcast, self._at)
        client = connect(self._settings)
        try:
            tell_ingest(client, "end", broadcast_id)
        finally:
            client.close()
        return found

    def rotate_key(self, broadcast_id: str) -> Publish:
        from catalog.broadcasts import rotate_key

        with self._transaction() as session:
            broadcast = self._find(session, broadcast_id)
            key = rotate_key(session, broadcast.id)
            _note(session, "broadcast.key", broadcast)
        return answers.Publish(rtmp_url=self._at.rtmp, stream_key=key)

    def _find(self, session: Session, broadcast_id: str) -> Broadcast:
        found = answers.find_broadcast(session, broadcast_id)
        if found is None:
            raise Refused("broadcast_not_found")
        return found

    # --- clips -------------------------------------------------------------------------------

    def clip(
        self,
        pieces: Sequence[tuple[str, float, float]],
        title: str | None,
        progress: Callable[[float | None, str], None] | None,
        broadcasts: Collection[str] = (),
    ) -> ClipAnswer:
        """Ask for a clip of (broadcast or work id, in, out) in seconds, and wait for it;
        ``progress`` is told when something changes. Without one nothing is waited for.
        ``broadcasts`` are ids that must be those of broadcasts."""
        from catalog.minutes import TICKS_A_SECOND
        from catalog.programmes import find_programme
        from infra.queue import connect_queue
        from vod.clips import request_clip

        if not all(0 <= start < stop < 1e7 for _, start, stop in pieces):
            raise self._fail("clip_range", sentence("clip_range", {}))
        connect_queue(self._settings)
        with self._transaction() as session:
            for key in broadcasts:
                self._find(session, key)
            if title is None and pieces:
                title = f"{find_programme(session, _HERE, pieces[0][0]).title[:180]} 选段"
            work, job = request_clip(
                session,
                pieces=[
                    (key, round(start * TICKS_A_SECOND), round(stop * TICKS_A_SECOND))
                    for key, start, stop in pieces
                ],
                title=title or "",
                created_by=None,
                actor=_HERE,
            )
            note(session, _HERE, "clip.make", "work", work.id, centre_id=work.centre_id)
        if progress is not None:
            self._wait(job.id, progress)
        return self.show_clip(work.id)

    def show_clip(self, clip_id: str) -> ClipAnswer:
        from catalog.models import Work
        from vod.clips import job_of

        with self._transaction() as session:
            work = session.get(Work, clip_id)
            if work is None or work.kind != "clip":
                raise Missing("clip_not_found")
            return answers.clip(work, self._at, job=job_of(session, work))

    def _wait(self, job_id: int, progress: Callable[[float | None, str], None]) -> None:
        from infra.tables import Job

        said: tuple[Any, ...] | None = None
        while True:
            with self._transaction() as session:
                job = session.scalars(select(Job).where(Job.id == job_id)).one()
                told = answers.job(job)
            if (news := (told.state, told.progress, told.note)) != said:
                said = news
                progress(told.progress, told.note or _STAGES.get(told.state, ""))
            if told.state == "done":
                return
            if told.state in ("failed", "cancelled"):
                reason = told.error or told.state
                code = told.error_code or "clip_failed"
                raise self._fail(code, sentence("clip_failed", {"reason": reason}))
            time.sleep(_CLIP_POLL_SECONDS)

    # --- exports -----------------------------------------------------------------------------

    def roll_up_plays(self, since: dt.date | None, until: dt.date | None) -> int:
        """Bring the figures of plays up to date; how many rows changed."""
        from catalog.play_days import roll_up

        today = china_date(dt.datetime.now(dt.UTC))
        with self._transaction() as session:
            return roll_up(session, since, until or today)

    def export_minutes(self, year: int, out: Path, centre: str | None) -> int:
        """Write the workbook; the file is there whole or not at all."""
        from catalog.exports import write_minutes

        with self._whole_file(out) as file, self._transaction() as session:
            path = get_centre(session, centre).path if centre else None
            return write_minutes(
                session,
                file,
                year=year,
                now=dt.datetime.now(dt.UTC),
                base_url=self._at.http,
                centre_path=path,
            )

    @contextmanager
    def _whole_file(self, out: Path) -> Iterator[BinaryIO]:
        """A file to write; it takes its place when the block ends well, and else is gone."""
        handle = -1
        fresh = ""
        try:
            handle, fresh = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
            with os.fdopen(handle, "wb") as file:
                yield file
            # mkstemp makes it ours alone; a report is made to be handed on.
            Path(fresh).chmod(0o644)
            Path(fresh).replace(out)
        except OSError as error:
            words = sentence("out_unwritable", {"reason": error.strerror or str(error)})
            raise self._fail("out_unwritable", words) from None
        finally:
            if fresh:
                Path(fresh).unlink(missing_ok=True)

    # --- accounts ----------------------------------------------------------------------------

    def create_user(
        self,
        *,
        login: str,
        name: str,
        role: str,
        centre: str | None,
        password: str,
        contract: str = "",
    ) -> dict[str, Any]:
        from catalog.accounts import create_user

        with self._transaction() as session:
            home = find_or_add(session, centre) if centre else home_centre(session, None)
            user = create_user(
                session,
                login=login,
                name=name,
                role=role,
                centre=home,
                password=password,
                contract=contract,
            )
            note(session, _HERE, "user.create", "user", user.id, centre_id=home.id, role=role)
            return {
                "id": user.id,
                "login": user.login,
                "name": user.display_name,
                "role": user.role,
                "centre_id": home.id,
                "centre": home.name,
            }

    def token(
        self, *, role: str, centre: str | None, label: str, days: int, contract: str = ""
    ) -> dict[str, Any]:
        from catalog.accounts import HANDLE, issue_token

        now = dt.datetime.now(dt.UTC)
        with self._transaction() as session:
            reach = get_centre(session, centre) if centre else None
            token = issue_token(
                session,
                role=role,
                centre=reach,
                now=now,
                label=label,
                contract=contract,
                days=days,
            )
            handle = hash_secret(token)[:HANDLE]
            note(session, _HERE, "token.create", "token", handle, role=role, label=label)
            return {
                "token": token,
                "role": role,
                "centre_id": reach.id if reach else None,
                "expires_at": (now + dt.timedelta(days=days)).isoformat(),
            }

    @contextmanager
    def lent_token(self) -> Iterator[tuple[str, str]]:
        """(address of the web face on this machine, a token that opens it): revoked at the end.

        For what a command does through the web as everybody else, not straight on the rows.
        """
        from catalog.accounts import HANDLE, issue_token, revoke_token

        now = dt.datetime.now(dt.UTC)
        with self._transaction() as session:
            token = issue_token(session, role="admin", centre=None, now=now, label="命令行", days=1)
        instance = load_instance(self._settings)
        here = instance.http_url if instance and not self._settings.public_url else None
        try:
            yield here or local_http_url(self._settings), token
        finally:
            with self._transaction() as session:
                revoke_token(session, hash_secret(token)[:HANDLE])


def _note(session: Session, action: str, broadcast: Broadcast) -> None:
    note(session, _HERE, action, "broadcast", broadcast.id, centre_id=broadcast.centre_id)
