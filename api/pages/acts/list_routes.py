"""The programme list's page (节目单): pasted or sent, looked over as rows, then saved."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from api.pages.acts import data
from api.pages.acts.forms import LIST_FIELDS_MAX, lines_of, rows_of
from api.pages.acts.view import ListView
from api.pages.backend import Person
from api.pages.library.desk import (
    Desk,
    Notice,
    files_of,
    form_of,
    refusal,
    say,
    text,
    uploads,
    with_done,
)
from catalog import acts as catalog_acts
from catalog.acts import find_programme
from catalog.errors import Refused
from catalog.programmes import LINES_MAX
from vod.acts.programme import FILE_MAX, TEXT_MAX, Listing, read_pdf, read_text, read_xlsx

_LIST: Final = "/desk/programmes/{programme_id}/list"
_READERS: Final[dict[str, Callable[[Path], Listing]]] = {
    ".xlsx": read_xlsx,
    ".pdf": read_pdf,
}


def list_routes(router: APIRouter, desk: Desk) -> None:
    """Looking, reading what was handed in, saving."""

    async def kept(person: Person, programme_id: str) -> ListView:
        actor = person.actor()

        def work(session: Session) -> ListView:
            return data.list_view(session, find_programme(session, actor, programme_id))

        return await desk.run(work)

    async def page(
        request: Request, person: Person, view: ListView, *, status: int = 200, **more: Any
    ) -> Response:
        return desk.page(request, "acts/list.html", {"v": view, **more}, person, status=status)

    @router.get(_LIST)
    async def show(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        return await page(request, person, await kept(person, programme_id))

    @router.post(_LIST + "/read")
    async def read(request: Request, programme_id: str) -> Response:
        """Nothing is kept yet: what was understood is shown to be looked over."""
        person = await desk.person(request, "act.change")
        view = await kept(person, programme_id)
        # However much was pasted, it is told how much it was.
        async with files_of(request, part_bytes=FILE_MAX) as form:
            sent = form.get("pasted")
            # Not trimmed: the first cell of a table may be an empty one.
            pasted = sent if isinstance(sent, str) else ""
            try:
                listing = await _read(form, pasted)
            except Refused as error:
                shown = pasted if len(pasted) <= TEXT_MAX else ""
                view = replace(view, pasted=shown, read_error=refusal(error, request))
                return await page(request, person, view, status=422)
        left_out = tuple(listing.left_out[:LINES_MAX])
        view = replace(view, rows=rows_of(listing.lines), left_out=left_out, fresh=True)
        return await page(request, person, view)

    @router.post(_LIST)
    async def save(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        form = await form_of(request, LIST_FIELDS_MAX)
        actor = person.actor()
        typed = lines_of(form, say(request))

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            catalog_acts.set_programme(
                session, actor, found.token, typed.wishes, expect=text(form, "version", 32)
            )

        errors, general, status = dict(typed.errors), "", 422
        if not errors:
            try:
                await desk.run(work)
            except Refused as error:
                line = error.facts.get("line")
                told = refusal(error, request)
                status = 409 if error.code == "programme_changed" else 422
                if isinstance(line, int):
                    errors[line] = told
                else:
                    general = told
            else:
                return RedirectResponse(
                    with_done(f"/desk/programmes/{programme_id}/list", "list"), status_code=303
                )
        view = replace(await kept(person, programme_id), rows=typed.rows, fresh=True, errors=errors)
        more = {"notice": Notice(general, bad=True)} if general else {}
        return await page(request, person, view, status=status, **more)


async def _read(form: FormData, pasted: str) -> Listing:
    """The list in the file that was sent, else of what was pasted. Raises Refused."""
    sent = uploads(form, "file")
    if not sent:
        if not pasted.strip():
            raise Refused("programme_nothing")
        return await to_thread.run_sync(read_text, pasted)
    return await _read_file(sent[0])


async def _read_file(sent: UploadFile) -> Listing:
    suffix = Path(sent.filename or "").suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise Refused("file_kind", kinds="XLSX 表格、PDF 文件")
    if (sent.size or 0) > FILE_MAX:
        raise Refused("file_too_large", most=FILE_MAX >> 20)

    def work() -> Listing:
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            shutil.copyfileobj(sent.file, file)
            file.flush()
            return reader(Path(file.name))

    return await to_thread.run_sync(work)
