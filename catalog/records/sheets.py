"""Records as a sheet: a template to fill in, the catalogue as a workbook, and bringing rows in.

A row with 编号 changes that record, a row without makes one. Reading the same file again changes
nothing: a record that already says what its row says is left alone, and a new row is known by the
hash of what it says. Good rows come in whole, bad ones are told with their number and the reason.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.centres import find_centre
from catalog.clock import china_date
from catalog.errors import Missing, Refused
from catalog.models import Centre, Genre, ImportedRow, Resource
from catalog.records import service, sheet_writing
from catalog.records.fields import FIELDS, canonical, clean, value_of
from catalog.records.reach import resources_of
from catalog.records.sheet_columns import CENTRE, COLUMNS, KEY, KIND, VERSION, shown
from catalog.records.sheet_reading import Bad, Row, Rows, read
from catalog.search.query import LIMIT_MOST, OFFSET_MOST, Query, ids_of

__all__ = ["Bad", "ImportResult", "Row", "Rows", "export", "ids_found", "import_sheet", "read",
           "template"]  # fmt: skip

EXPORT_MAX: Final = 20_000
"""Records in one workbook."""
_CHUNK: Final = 500


@dataclass(slots=True)
class ImportResult:
    """What became of a file."""

    made: int = 0
    changed: int = 0
    unchanged: int = 0
    bad: list[Bad] = field(default_factory=list)
    """By row number; at most so many as are told (sheet_reading.BAD_MAX)."""


class _Wrong(Exception):
    """A row whose fields do not hold."""

    def __init__(self, complaints: list[Bad]) -> None:
        super().__init__(len(complaints))
        self.complaints = complaints


class _Known(Exception):
    """Somebody is bringing the same row in at this moment; theirs stands."""


# --- out -------------------------------------------------------------------------------------


def template(session: Session, out: BinaryIO) -> None:
    """An empty sheet with its headings, choices and a page of explanations."""
    sheet_writing.template(out, list(_genres(session).values()))


def export(
    session: Session,
    ids: Sequence[str],
    out: BinaryIO,
    base_url: str,
    *,
    actor: Actor | None = None,
    files: Mapping[str, str] | None = None,
) -> int:
    """Write these records as a workbook, in this order; how many. Raises Refused for too many.

    With an ``actor`` only what they reach; ``files`` (id → path) fills the column 文件.
    """
    if len(ids) > EXPORT_MAX:
        raise Refused("sheet_export", most=EXPORT_MAX)
    names = _genres(session, retired=True)
    return sheet_writing.records(out, _chunks(session, ids, actor), names, base_url, files)


def ids_found(session: Session, query: Query, most: int) -> list[str]:
    """Ids a search finds, page after page: up to one more than ``most``."""
    found: dict[str, None] = {}
    for offset in range(0, min(most + 1, OFFSET_MOST), LIMIT_MOST):
        page = ids_of(session, replace(query, limit=LIMIT_MOST, offset=offset, order="newest"))
        found.update(dict.fromkeys(page))
        if len(page) < LIMIT_MOST:
            break
    return list(found)


def _chunks(
    session: Session, ids: Sequence[str], actor: Actor | None
) -> Iterator[tuple[Resource, Centre]]:
    for at in range(0, len(ids), _CHUNK):
        wanted = list(ids[at : at + _CHUNK])
        query = (
            select(Resource, Centre)
            .join(Centre, Centre.id == Resource.centre_id)
            .where(Resource.id.in_(wanted))
        )
        if actor is not None:
            query = query.where(resources_of(actor))
        rows = {row[0].id: row for row in session.execute(query)}
        yield from ((rows[key][0], rows[key][1]) for key in wanted if key in rows)


def _genres(session: Session, *, retired: bool = False) -> dict[str, str]:
    query = select(Genre.id, Genre.name).order_by(Genre.position, Genre.name)
    if not retired:
        query = query.where(Genre.retired_at.is_(None))
    return {row.id: row.name for row in session.execute(query)}


# --- in --------------------------------------------------------------------------------------


def import_sheet(
    session: Session,
    actor: Actor,
    file: BinaryIO,
    centre: Centre,
    *,
    now: dt.datetime | None = None,
) -> ImportResult:
    """Bring a workbook in; new rows that name no centre belong to ``centre``.

    All good rows are the caller's one transaction. Raises Refused when the file as a whole is
    not usable; then nothing has happened.
    """
    now = now or dt.datetime.now(dt.UTC)
    rows = read(file, _genres(session, retired=True))
    bringing = _Bringing(session, replace(actor, via="import"), centre, now)
    result = ImportResult(bad=rows.bad)
    for row in rows.good:
        bringing.bring(row, result)
    result.bad.sort()
    note(
        session, actor, "sheet.import", "centre", centre.id, centre_id=centre.id,
        made=result.made, changed=result.changed, bad=len({bad.row for bad in result.bad}),
    )  # fmt: skip
    return result


class _Bringing:
    """One import under way."""

    def __init__(self, session: Session, actor: Actor, centre: Centre, now: dt.datetime) -> None:
        self._session = session
        self._actor = actor
        self._centre = centre
        self._now = now
        self._today = china_date(now)
        self._genres = _genres(session, retired=True)
        self._centres: dict[str, Centre | None] = {}
        self._hashes: dict[tuple[str, str], int] = {}
        """(centre, hash) of new rows → number of the row."""

    def bring(self, row: Row, result: ImportResult) -> None:
        """Bring one row in, whole or not at all."""
        try:
            with self._session.begin_nested():
                outcome = self._change(row) if row.key else self._make(row)
        except _Wrong as wrong:
            result.bad += wrong.complaints
            return
        except Refused as refused:
            result.bad.append(_complaint(row, refused))
            return
        except _Known:
            outcome = "unchanged"
        setattr(result, outcome, getattr(result, outcome) + 1)

    def _make(self, row: Row) -> str:
        centre = self._centre_of(row)
        if row.kind is None:
            raise Refused("sheet_cell", column=KIND, reason="新记录要填类型")
        given = self._clean(row, self._given(row))
        said = canonical({"kind": row.kind, "fields": given})
        digest = hashlib.sha256(said.encode()).hexdigest()
        twin = self._hashes.setdefault((centre.id, digest), row.number)
        if twin != row.number:
            raise Refused("sheet_cell", column="", reason=f"和第 {twin} 行完全相同")
        if self._session.get(ImportedRow, (centre.id, digest)) is not None:
            return "unchanged"
        made = service.create(
            self._session, self._actor, kind=row.kind, centre=centre, fields=given, now=self._now
        )
        first = (
            insert(ImportedRow)
            .values(centre_id=centre.id, row_hash=digest, resource_id=made.id)
            .on_conflict_do_nothing()
            .returning(ImportedRow.resource_id)
        )
        if self._session.scalar(first) is None:
            raise _Known
        return "made"

    def _change(self, row: Row) -> str:
        resource = service.get(self._session, self._actor, row.key or "")
        if row.kind is not None and row.kind != resource.kind:
            raise Refused("sheet_cell", column=KIND, reason="已有记录的类型不能改")
        if row.centre is not None:
            home = self._session.get_one(Centre, resource.centre_id)
            if row.centre not in (home.id, home.name):
                raise Refused("sheet_cell", column=CENTRE, reason="已有记录不能换文化馆")
        changes = self._clean(row, self._differing(row, resource))
        different = {k: v for k, v in changes.items() if value_of(resource, k) != v}
        if not different:
            return "unchanged"
        if row.version is not None and row.version != resource.version:
            raise Refused(
                "sheet_cell", column=VERSION,
                reason=f"导出之后有人改过，现在是第 {resource.version} 版，请重新导出再改",
            )  # fmt: skip
        service.change(self._session, self._actor, resource.id, different, now=self._now)
        return "changed"

    def _differing(self, row: Row, resource: Resource) -> dict[str, Any]:
        """Cells that do not look as an export of the record would: a keyword with a comma in it
        comes back as it went out, though read by itself it would be two."""
        given = self._given(row)
        return {
            column.name: given[column.name]
            for column in COLUMNS
            if column.name in given
            and not _same(
                row.raw[column.name], shown(column, value_of(resource, column.name), self._genres)
            )
        }

    def _given(self, row: Row) -> dict[str, Any]:
        """The row's fields; an empty date of a new record is left to the catalogue."""
        return {k: v for k, v in row.fields.items() if not (k == "event_date" and v is None)}

    def _centre_of(self, row: Row) -> Centre:
        if row.centre is None:
            return self._centre
        if row.centre not in self._centres:
            found = find_centre(self._session, row.centre)
            reach = self._actor.centre_path
            if found is not None and reach is not None and not found.path.startswith(reach):
                found = None
            self._centres[row.centre] = found
        centre = self._centres[row.centre]
        if centre is None:
            raise Refused("sheet_cell", column=CENTRE, reason=f"没有找到“{row.centre[:40]}”")
        return centre

    def _clean(self, row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as they are kept; all that is wrong with them at once. Raises _Wrong."""
        cleaned: dict[str, Any] = {}
        complaints = []
        for name, value in fields.items():
            try:
                cleaned |= clean({name: value}, today=self._today)
            except Refused as refused:
                complaints.append(_complaint(row, refused))
        if complaints:
            raise _Wrong(complaints)
        return cleaned


def _complaint(row: Row, refused: Refused) -> Bad:
    facts = refused.facts
    if refused.code == "sheet_cell":
        return Bad(row.number, str(facts["column"]), str(facts["reason"]))
    if refused.code == "resource_field":
        label = FIELDS[str(facts["field"])].label if facts["field"] in FIELDS else ""
        return Bad(row.number, label, str(facts["reason"]))
    if isinstance(refused, Missing) and refused.code == "resource_unknown":
        return Bad(row.number, KEY, "没有这条记录")
    if refused.code == "contract_needed":
        return Bad(row.number, "", "您的账号没有签约项目，不能登记")
    return Bad(row.number, "", f"没有登记（{refused.code}）")


def _same(cell: Any, exported: Any) -> bool:
    if isinstance(cell, dt.datetime):
        cell = cell.date()
    return (cell if cell is not None else "") == (exported if exported is not None else "")
