"""Exports over the API: the minutes of a year as a workbook."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.auth import Db, OurParts, require
from catalog.accounts import Identity
from catalog.exports import write_minutes

router = APIRouter(tags=["exports"])

Exports = Annotated[Identity, Depends(require("minutes.export"))]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_IN_MEMORY = 4 << 20
_CHUNK = 64 << 10


@router.get("/exports/minutes.xlsx", response_class=StreamingResponse)
def minutes(
    who: Exports,
    session: Db,
    parts: OurParts,
    year: Annotated[int, Query(ge=2000, le=2200)],
) -> StreamingResponse:
    """Finished and raw minutes of the caller's centres, with the rows behind them."""
    out = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by pieces)
    write_minutes(
        session,
        out,  # type: ignore[arg-type]
        year=year,
        now=dt.datetime.now(dt.UTC),
        base_url=parts.addresses().http,
        centre_path=who.centre_path,
    )
    out.seek(0)
    headers = {"content-disposition": f'attachment; filename="minutes-{year}.xlsx"'}
    return StreamingResponse(pieces(out), media_type=XLSX, headers=headers)  # type: ignore[arg-type]


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """A file for a streamed answer, closed behind it."""
    with file:
        while piece := file.read(_CHUNK):
            yield piece
