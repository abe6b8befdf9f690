"""What a record's form is filled from, how its refusals are shown, and its files are taken in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from api.pages.backend import Person
from api.pages.library import data as listings
from api.pages.library.ask import Ask
from api.pages.library.desk import Desk, refusal
from api.pages.library.view import FormView
from api.parts import Parts
from catalog.errors import Refused
from catalog.records import files, kinds, service
from vod import record_files

_CHUNK: Final = 64 << 10

GLYPHS: Final = {
    "finished": "film",
    "raw": "film",
    "micro": "scissors",
    "image": "image",
    "audio": "music",
    "course": "book-open",
    "lesson": "list-video",
    "exhibition": "layout-grid",
    "document": "file-text",
    "news": "info",
}
HINTS: Final = {
    "finished": "以前录好的演出、讲座（直播的成片会自己登记）",
    "raw": "拍回来的原始素材",
    "micro": "给手机看的短片",
    "image": "照片、书画、剧照，可以一次选多张",
    "audio": "录音、音乐、广播",
    "course": "一门课，下面分章节",
    "lesson": "一门课里的一章",
    "exhibition": "把一组图片办成一个展",
    "document": "文献、论文、节目单（PDF）",
    "news": "活动信息、新闻",
}


async def form_data(desk: Desk, person: Person, form: FormView) -> dict[str, Any]:
    """What the form of a record is filled from."""
    actor = person.actor()

    def work(session: Session) -> dict[str, Any]:
        parent_kind = kinds.PARENT_OF.get(form.kind)
        asked = Ask(path="", kind=(parent_kind,), newest=True) if parent_kind else None
        parents = listings.parents(session, asked, actor) if asked else ()
        return {"words": listings.vocabulary(session, actor), "parents": parents}

    data = await desk.run(work)
    kept = files.KEPT.get(form.kind) if not form.record_id else None
    data["files"] = kept and {
        "label": "文件",
        "hint": f"{kept.words}，最大 {kept.most >> 20} MB。"
        + ("可以一次选多张，每张登记成一件。" if form.kind == "image" else ""),
        "accept": ",".join(kept.types),
        "many": form.kind == "image",
        "most": kept.most,
    }
    return data | {"form": form, "glyphs": GLYPHS, "hints": HINTS}


def blame(error: Refused, request: Request) -> tuple[dict[str, str], str | None]:
    """A refusal as the error of a field, or of the whole form."""
    if error.code == "resource_field":
        return {
            str(error.facts["field"]): f"{error.facts['label']}：{error.facts['reason']}。"
        }, None
    if error.code.startswith("record_file"):
        return {"files": refusal(error, request)}, None
    return {}, refusal(error, request)


async def keep(parts: Parts, kind: str, sent: UploadFile) -> service.Media:
    """An uploaded file checked and put in storage. Raises Refused."""

    def work() -> service.Media:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            with path.open("wb") as out:
                while piece := sent.file.read(_CHUNK):
                    out.write(piece)
            return record_files.keep(parts.storage, kind, path)

    return await to_thread.run_sync(work)
