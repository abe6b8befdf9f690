"""Records as workbooks over the API: the template, exporting, importing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, BinaryIO, Final, Literal

from fastapi import APIRouter, Depends, Form, Query, UploadFile
from fastapi.responses import StreamingResponse

from api import answers
from api.auth import Db, OurParts, actor, own_centre, require
from api.downloads import XLSX, attachment, written
from catalog.accounts import Identity
from catalog.records import sheets
from catalog.search.query import query_for

router = APIRouter(tags=["sheets"])

Sees = Annotated[Identity, Depends(require("resource.see"))]
Changes = Annotated[Identity, Depends(require("resource.change"))]
Kind = Literal[
    "finished", "raw", "micro", "image", "audio", "course", "lesson", "exhibition", "document",
    "news",
]  # fmt: skip
State = Literal["draft", "review_1", "review_2", "review_3", "published", "withdrawn"]

IDS_MAX: Final = 500


class BadRow(answers.Answer):
    """``row`` is numbered as the spreadsheet does; ``column`` empty: the row as a whole."""

    row: int
    column: str
    reason: str


class Imported(answers.Answer):
    made: int
    changed: int
    unchanged: int
    bad: list[BadRow]


@router.get("/sheets/template.xlsx", response_class=StreamingResponse)
def template(who: Sees, session: Db) -> StreamingResponse:
    """An empty sheet of records, with explanations."""
    return workbook("resources-template", lambda out: sheets.template(session, out))


@router.get("/sheets/resources.xlsx", response_class=StreamingResponse)
def export(
    who: Sees,
    session: Db,
    parts: OurParts,
    resource_id: Annotated[list[str] | None, Query(alias="id", max_length=IDS_MAX)] = None,
    q: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[list[Kind] | None, Query()] = None,
    state: Annotated[list[State] | None, Query()] = None,
    year: Annotated[list[int] | None, Query(max_length=50)] = None,
    genre: Annotated[list[str] | None, Query(max_length=50)] = None,
    language: Annotated[list[str] | None, Query(max_length=50)] = None,
    centre: Annotated[str | None, Query(max_length=200)] = None,
) -> StreamingResponse:
    """Records of the caller's centres as a workbook: those named, or those a search finds."""
    person = actor(who)
    ids = resource_id
    if ids is None:
        query = query_for(
            person,
            words=q,
            kinds=tuple(kind or ()),
            states=tuple(state or ()),
            years=tuple(year or ()),
            genres=tuple(genre or ()),
            languages=tuple(language or ()),
            centre_id=own_centre(session, who, centre).id if centre else None,
        )
        ids = sheets.ids_found(session, query, sheets.EXPORT_MAX)

    def write(out: BinaryIO) -> None:
        sheets.export(session, ids, out, parts.addresses().http, actor=person)

    return workbook("resources", write)


@router.post("/sheets/resources")
def bring_in(
    file: UploadFile,
    who: Changes,
    session: Db,
    centre: Annotated[str | None, Form(max_length=200)] = None,
) -> Imported:
    """Bring a workbook in; bad rows are told, good ones kept."""
    home = own_centre(session, who, centre)
    found = sheets.import_sheet(session, actor(who), file.file, home)
    return Imported(
        made=found.made,
        changed=found.changed,
        unchanged=found.unchanged,
        bad=[BadRow(row=bad.row, column=bad.column, reason=bad.reason) for bad in found.bad],
    )


def workbook(name: str, write: Callable[[BinaryIO], None]) -> StreamingResponse:
    """What ``write`` writes, as a download."""
    return written(write, XLSX, {"content-disposition": attachment(f"{name}.xlsx")})
