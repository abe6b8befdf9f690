"""The door of uploads: who asks, which row it is about, and what of the request goes further in.

The library behind sees an upload's id, which is ours, and headers rebuilt from what we understood;
nothing else of the request. It never sees a request of somebody who has no business here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from anyio import to_thread
from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from api.auth import actor as actor_of
from api.auth import caller, own_centre
from api.parts import Parts
from api.rights import may
from api.sentences import Problem
from api.uploads import headers as tus
from api.uploads.disk import UploadDisk, asked
from api.uploads.library import PREFIX as INNER
from api.uploads.library import make_library
from api.uploads.names import PATCH_TYPE, PATH, VERSION, written_metadata
from api.uploads.patience import PatientBody
from api.uploads.room import bounds
from catalog import intakes, uploads
from catalog.accounts import Identity
from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Upload
from catalog.uploads import Wish
from infra.database import DatabaseAway
from infra.upload_folder import UploadFolder, is_upload_id

T = TypeVar("T")

TOUCH_EVERY: Final = dt.timedelta(minutes=10)
_BELOW: Final = re.compile(re.escape(PATH) + r"/?([^/]*)")
_LIBRARY_META: Final = written_metadata(
    {"filename": "upload", "filetype": "application/octet-stream"}
)
"""The library wants these two; what they really are is in our row."""


_KNOWN: Final[tuple[type[Exception], ...]] = (Problem, Refused, *DatabaseAway)


class UploadGate:
    """An ASGI application for everything under ``PATH``."""

    def __init__(self, parts: Parts) -> None:
        settings = parts.settings
        self._parts = parts
        self.disk = UploadDisk(UploadFolder(settings.uploads_dir), settings.disk_log_only_bytes)
        self._library = make_library(self.disk, settings.upload_max_bytes, self._finish)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        tell = _marked(send)
        try:
            await self._serve(request, tell)
        except _KNOWN as error:
            # Here and not further out, so that the protocol's header is on refusals too.
            answer = await _refusal(request, error)
            await answer(scope, receive, tell)

    async def _serve(self, request: Request, send: Send) -> None:
        found = _BELOW.fullmatch(request.url.path)
        if found is None:
            raise Problem("not_found")
        upload_id, method = found[1], request.method
        if method == "OPTIONS":
            await self._tell_abilities(request, send)
            return
        if method not in (("HEAD", "PATCH", "DELETE") if upload_id else ("POST",)):
            raise Problem("method_unknown")
        who = await self._caller(request)
        tus.check_version(request.headers)
        if method == "POST":
            await self._create(request, send, who)
            return
        if not is_upload_id(upload_id):
            raise Problem("upload_unknown")
        serve = {"HEAD": self._head, "PATCH": self._patch, "DELETE": self._delete}[method]
        await serve(request, send, actor_of(who, _via(request)), upload_id)

    async def _caller(self, request: Request) -> Identity:
        def work(session: Session) -> Identity:
            who = caller(request, session)
            if not may(who.role, "upload.make"):
                raise Problem("not_allowed")
            return who

        return await self._run(work)

    async def _run(self, work: Callable[[Session], T]) -> T:
        def run() -> T:
            with self._parts.database.transaction() as session:
                return work(session)

        return await to_thread.run_sync(run)

    # --- what may be asked -------------------------------------------------------------------

    async def _tell_abilities(self, request: Request, send: Send) -> None:
        told = {
            "tus-version": VERSION,
            "tus-extension": tus.EXTENSIONS,
            "tus-checksum-algorithm": tus.CHECKSUMS,
            "tus-max-size": str(self._parts.settings.upload_max_bytes),
        }
        await Response(status_code=204, headers=told)(request.scope, request.receive, send)

    async def _create(self, request: Request, send: Send, who: Identity) -> None:
        wanted = tus.creation(request.headers)
        meta = wanted.metadata
        wish = Wish(
            purpose=meta.get("purpose") or "recording",
            file_name=meta.get("filename", ""),
            size=wanted.size,
            title=meta.get("title", ""),
            sha256=meta.get("sha256") or None,
            broadcast_id=meta.get("broadcast") or None,
            parent_id=meta.get("exhibition") or None,
            insists=meta.get("insist") == "1",
        )
        actor = actor_of(who, _via(request))

        def work(session: Session) -> str:
            limits = bounds(session, self._parts, self.disk)
            centre = own_centre(session, who, meta.get("centre") or None)
            now = dt.datetime.now(dt.UTC)
            return uploads.begin(session, actor, centre, wish, limits, now).id

        upload_id = await self._run(work)
        given = {"upload-length": str(wanted.size), "upload-metadata": _LIBRARY_META}
        made = await self._inside(request, send, "POST", upload_id, given)
        if made != 201:
            await self._run(lambda session: self._drop(session, actor, upload_id))

    def _drop(self, session: Session, actor: Actor, upload_id: str) -> None:
        intakes.remove(session, actor, upload_id, dt.datetime.now(dt.UTC))

    async def _head(self, request: Request, send: Send, actor: Actor, upload_id: str) -> None:
        upload = await self._own(actor, upload_id)
        offset = upload.size_bytes
        if upload.state == "receiving":
            offset = await to_thread.run_sync(self.disk.folder.offset, upload_id)
            if offset >= upload.size_bytes:
                # All of it came, and then the row could not be told.
                await self._finish(upload_id)
            await to_thread.run_sync(self.disk.folder.ask_for, upload_id)
        told = {"upload-offset": str(offset), "upload-length": str(upload.size_bytes)}
        await Response(status_code=200, headers=told)(request.scope, request.receive, send)

    async def _patch(self, request: Request, send: Send, actor: Actor, upload_id: str) -> None:
        piece = tus.piece(request.headers)
        upload = await self._own(actor, upload_id)
        if upload.state != "receiving":
            raise Problem("tus_offset_other")
        if piece.offset + piece.length > upload.size_bytes:
            raise Problem("upload_over_length")
        asked.set(piece)
        given = {
            "upload-offset": str(piece.offset),
            "content-length": str(piece.length),
            "content-type": PATCH_TYPE,
        }
        await self._inside(request, send, "PATCH", upload_id, given)

    async def _delete(self, request: Request, send: Send, actor: Actor, upload_id: str) -> None:
        await self._own(actor, upload_id)
        await self._run(lambda session: self._drop(session, actor, upload_id))
        await to_thread.run_sync(self.disk.folder.forget, upload_id)
        await Response(status_code=204)(request.scope, request.receive, send)

    async def _own(self, actor: Actor, upload_id: str) -> Upload:
        def work(session: Session) -> Upload:
            upload = uploads.own(session, actor, upload_id)
            if upload.state in ("removed", "refused"):
                raise Problem("upload_gone")
            if upload.state == "receiving":
                intakes.touch(session, upload, dt.datetime.now(dt.UTC), TOUCH_EVERY)
            return upload

        return await self._run(work)

    async def _finish(self, upload_id: str) -> None:
        await self._run(lambda s: uploads.finish(s, upload_id, dt.datetime.now(dt.UTC)))

    # --- further in --------------------------------------------------------------------------

    async def _inside(
        self, request: Request, send: Send, method: str, upload_id: str, given: dict[str, str]
    ) -> int:
        """Let the library serve this; the status it answered."""
        path = INNER if method == "POST" else f"{INNER}/{upload_id}"
        told = {"host": "upload", "tus-resumable": VERSION, **given}
        scope = {
            "type": "http",
            "asgi": request.scope["asgi"],
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
            "client": request.scope.get("client"),
            "server": None,
            "state": {"upload_id": upload_id},
        }
        body = PatientBody(
            request.receive, lambda since: self.disk.folder.asked_for_since(upload_id, since)
        )
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                located = MutableHeaders(raw=list(message.get("headers", [])))
                if "location" in located:
                    located["location"] = f"{PATH}/{upload_id}"
                message = {**message, "headers": located.raw}
            await send(message)

        try:
            await self._library(scope, body, sent)
        finally:
            await body.close()
        return status


def _via(request: Request) -> str:
    return "api" if "authorization" in request.headers else "desk"


def _marked(send: Send) -> Send:
    """Every answer says which protocol it speaks."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = MutableHeaders(raw=list(message.get("headers", [])))
            found["tus-resumable"] = VERSION
            if message["status"] == 412:
                found["tus-version"] = VERSION
            found["cache-control"] = "no-store"
            message = {**message, "headers": found.raw}
        await send(message)

    return marked


async def _refusal(request: Request, error: Exception) -> Response:
    """The outer application's answer to it."""
    handlers: dict[Any, Any] = request.app.exception_handlers
    kind = next(kind for kind in type(error).__mro__ if kind in handlers)
    answer: Response = await handlers[kind](request, error)
    return answer
