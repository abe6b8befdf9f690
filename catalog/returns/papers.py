"""From a plan, or from a frozen return, to a file: the one way every face takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import BinaryIO, Final

from sqlalchemy.orm import Session

from catalog.errors import Refused
from catalog.models import Centre, Plan, Return
from catalog.plans.compute import report_of
from catalog.returns.csv_json import write_csv, write_json
from catalog.returns.docx import write_docx
from catalog.returns.freeze import corrections, names_in, report_in, stamp_of
from catalog.returns.names import names_of
from catalog.returns.shown import FORMATS, NO_WORDS, Format, Paper, Words
from catalog.returns.xlsx import write_xlsx

YEARS_MAX: Final = 20
Beat = Callable[[float], None]


def draft(
    session: Session,
    plan: Plan,
    centre: Centre,
    years: tuple[int, int],
    *,
    base_url: str,
    now: dt.datetime,
    words: Words = NO_WORDS,
    beat: Beat = lambda _: None,
) -> Paper:
    """The numbers as they are now, of the years from first to last."""
    first, last = years
    if not first <= last < first + YEARS_MAX:
        raise Refused("return_years", most=YEARS_MAX)
    reports = []
    for number, year in enumerate(range(first, last + 1)):
        reports.append(report_of(session, plan, centre, year, cut_off=now))
        beat((number + 1) / (last - first + 1))
    return Paper(tuple(reports), base_url, names_of(plan), words=words)


def frozen(session: Session, kept: Return, *, base_url: str, words: Words = NO_WORDS) -> Paper:
    """What a return froze, with its corrections."""
    return Paper(
        (report_in(kept),),
        base_url,
        names_in(kept),
        stamp_of(kept),
        words,
        corrections(session, kept),
        kept.numbers["built_on"],
    )


def write(paper: Paper, form: Format, out: BinaryIO, beat: Beat = lambda _: None) -> None:
    """Write the file."""
    if form == "xlsx":
        write_xlsx(paper, out, beat)
    elif form == "docx":
        write_docx(paper, out, beat)
    elif form == "csv":
        write_csv(paper, out)
    else:
        write_json(paper, out)
    beat(1.0)


def file_name(paper: Paper, form: Format) -> str:
    """What the file is called when it is handed on."""
    kind = "自查报告" if form == "docx" else "自查明细表"
    mark = f"第{paper.stamp.revision}版" if paper.stamp else "草稿"
    root = "".join(c for c in paper.reports[-1].root_name if c.isalnum())[:60]
    return f"{root}{paper.years}年{kind}（{mark}）.{form}"


assert set(FORMATS) == {"xlsx", "docx", "csv", "json"}
