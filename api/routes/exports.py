"""Exports over the API: the minutes of a year as a workbook."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.auth import Db, OurParts, require
from api.downloads import XLSX, attachment, written
from catalog.accounts import Identity
from catalog.exports import write_minutes

router = APIRouter(tags=["exports"])

Exports = Annotated[Identity, Depends(require("minutes.export"))]


@router.get("/exports/minutes.xlsx", response_class=StreamingResponse)
def minutes(
    who: Exports,
    session: Db,
    parts: OurParts,
    year: Annotated[int, Query(ge=2000, le=2200)],
) -> StreamingResponse:
    """Finished and raw minutes of the caller's centres, with the rows behind them."""

    def write(out: BinaryIO) -> None:
        write_minutes(
            session,
            out,
            year=year,
            now=dt.datetime.now(dt.UTC),
            base_url=parts.addresses().http,
            centre_path=who.centre_path,
        )

    headers = {"content-disposition": attachment(f"minutes-{year}.xlsx")}
    return written(write, XLSX, headers)
