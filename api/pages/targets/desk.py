"""What the pages of 指标 share: who asks and may they, one transaction a page, files handed in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.downloads import stored
from api.pages.backend import Person
from api.pages.library.desk import Desk, Notice, refusal, say, uploads
from api.pages.view import FormErrors, NotFound
from catalog.errors import Refused
from infra.storage import NotFound as NoObject
from infra.storage import Storage

T = TypeVar("T")

FILE_MAX: Final = 20 << 20
"""Bytes of one file handed in with a form."""
EVIDENCE_TYPES: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".zip": "application/zip",
}
_SHOWN_IN_PAGE: Final = ("image/", "application/pdf")
_LINK_SECONDS: Final = 300


DONE: Final = {
    "kept": "记下了。",
    "back": "撤回了；记录还在下面。",
    "loaded": "装好了。各馆已经按级别和名称放进了各组，请看一看对不对。",
    "saved": "改好了，方案记成了新的一版。",
    "gone": "这一项去掉了；填过的数都还在。",
    "units": "各组的单位改好了。",
    "withdrawn": "方案收起来了；填过的数和年报都还在。",
    "restored": "方案又回到表里了。",
    "frozen": "封存好了。这一版的数不会再变。",
    "export": "正在生成文件，好了会出现在下面；关掉这一页也会做完。",
    "nothing": "没有要改的地方。",
}
"""What `?done=` may make a page say: a fixed list, so that no link puts words on our pages."""


class Figures(Desk):
    """The desk of 指标: forms that come back with words, dates as people say them."""

    async def form(
        self, request: Request, work: Callable[[Session], T], fields: Mapping[str, str]
    ) -> T | FormErrors:
        """As ``run``; a refusal becomes words. ``fields``: code → the field it is about."""
        try:
            return await self.run(work)
        except Refused as error:
            return refused(error, request, fields)

    def show(
        self,
        request: Request,
        template: str,
        person: Person,
        data: Mapping[str, Any],
        status: int = 200,
    ) -> Response:
        """A page of 指标, with what was just done at its head."""
        code = request.query_params.get("done", "")
        told = Notice(say(request)(DONE[code])) if code in DONE else None
        shown = {"notice": told, "date": day_text, **data}
        return self.page(request, template, shown, person, status=status)


def refused(error: Refused, request: Request, fields: Mapping[str, str]) -> FormErrors:
    """A refusal as the form shows it: at its field, else above."""
    told = refusal(error, request)
    field = fields.get(error.code)
    return FormErrors({field: told}) if field else FormErrors(general=told)


def day_text(day: dt.date | None) -> str:
    """9月30日; empty for none."""
    return f"{day.month}月{day.day}日" if day else ""


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def see(path: str) -> RedirectResponse:
    """After a form was taken: the page that shows it."""
    return RedirectResponse(path, status_code=303)


async def taken(form: FormData, name: str, most: int = FILE_MAX) -> tuple[str, bytes] | None:
    """Name and bytes of a file of a form; None when none was chosen. Raises Refused."""
    chosen = uploads(form, name)
    if not chosen:
        return None
    name = PurePath((chosen[0].filename or "").replace("\\", "/")).name[:120]
    data = await chosen[0].read(most + 1)
    if len(data) > most:
        raise Refused("file_too_large", most=most >> 20)
    return name, data


def evidence_type(name: str) -> str:
    """The file's extension, if evidence may be such a file. Raises Refused."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in EVIDENCE_TYPES:
        raise Refused("file_kind", kinds="、".join(s.lstrip(".") for s in EVIDENCE_TYPES))
    return suffix


def hand_out(storage: Storage, key: str, name: str) -> Response:
    """A kept file under its own name; nothing a browser might run is opened in the page."""
    kind = EVIDENCE_TYPES.get(PurePath(key).suffix.lower(), "application/octet-stream")
    where = "inline" if kind.startswith(_SHOWN_IN_PAGE) else "attachment"
    headers = {
        "content-disposition": f"{where}; filename*=UTF-8''{quote(name or 'evidence')}",
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    try:
        return stored(storage, key, kind, headers, link_seconds=_LINK_SECONDS)
    except NoObject:
        raise NotFound from None
