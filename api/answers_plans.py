"""The shapes of plans, entries and their reports in answers, and how they are filled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from api.answers import Answer
from catalog.models import Centre, Entry, Plan
from catalog.plans.amounts import rate_text
from catalog.plans.matrix import Matrix, MatrixRow, Owed
from catalog.plans.service import target_fields
from catalog.plans.templates import Template


class TemplateAnswer(Answer):
    code: str
    title: str
    issuer: str
    document: str
    year: int
    targets: int


class PlanBrief(Answer):
    id: str
    code: str
    title: str
    issuer: str
    document: str
    issued_on: str
    year: int
    version: int
    owner_id: str
    withdrawn_at: dt.datetime | None


class PlanFull(PlanBrief):
    switches: dict[str, Any]
    milestones: list[dict[str, Any]]
    notes: list[str]
    targets: list[dict[str, Any]] = Field(description="In their order; values as exact text.")
    units: dict[str, list[str]] = Field(description="Group → names of its centres.")


class EntryAnswer(Answer):
    id: int
    centre_id: str
    code: str
    year: int
    period: str
    value: str
    evidence: list[dict[str, str]]
    entered_by: str
    entered_at: dt.datetime
    replaced_by: int | None
    withdrawn_at: dt.datetime | None


class MatrixCellAnswer(Answer):
    code: str
    status: str = Field(description="late, none, behind, met")
    word: str
    number: str
    percent: str
    target: str
    owed: str
    source: str


class MatrixRowAnswer(Answer):
    centre_id: str
    centre: str
    progress: str = Field(description="Mean of min(rate, 100), in percent.")
    worst: str
    late: int
    cells: list[MatrixCellAnswer | None]


class MatrixAnswer(Answer):
    milestone: dt.date | None
    formula: str
    columns: list[str]
    rows: list[MatrixRowAnswer]
    total: MatrixRowAnswer


class OwedAnswer(Answer):
    code: str
    indicator: str
    status: str
    text: str
    percent: str


class OwedList(Answer):
    text: str
    items: list[OwedAnswer]


def shipped(template: Template) -> TemplateAnswer:
    return TemplateAnswer(
        code=template.code,
        title=template.title,
        issuer=template.issuer,
        document=template.document,
        year=template.year,
        targets=len(template.targets),
    )


def brief(plan: Plan) -> PlanBrief:
    return PlanBrief(**_head(plan))


def full(plan: Plan, units: Mapping[str, Sequence[Centre]]) -> PlanFull:
    return PlanFull(
        **_head(plan),
        switches=plan.switches,
        milestones=plan.milestones,
        notes=plan.notes,
        targets=[target_fields(target) for target in plan.targets],
        units={who: [centre.name for centre in centres] for who, centres in units.items()},
    )


def _head(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in PlanBrief.model_fields}


def entry(kept: Entry) -> EntryAnswer:
    return EntryAnswer(
        id=kept.id,
        centre_id=kept.centre_id,
        code=kept.code,
        year=kept.year,
        period=kept.period,
        value=f"{kept.value.normalize():f}",
        evidence=kept.evidence,
        entered_by=kept.entered_name,
        entered_at=kept.entered_at,
        replaced_by=kept.replaced_by,
        withdrawn_at=kept.withdrawn_at,
    )


def table(found: Matrix) -> MatrixAnswer:
    return MatrixAnswer(
        milestone=found.milestone.by if found.milestone else None,
        formula=found.total.progress.formula,
        columns=[column.indicator for column in found.columns],
        rows=[_row(row) for row in found.rows],
        total=_row(found.total),
    )


def _row(row: MatrixRow) -> MatrixRowAnswer:
    names = MatrixCellAnswer.model_fields
    return MatrixRowAnswer(
        centre_id=row.centre_id,
        centre=row.centre_name,
        progress=rate_text(row.progress.mean_percent),
        worst=rate_text(row.progress.worst_percent),
        late=row.late,
        cells=[
            None
            if cell is None
            else MatrixCellAnswer(**{name: getattr(cell, name) for name in names})
            for cell in row.cells
        ],
    )


def owing(text: str, found: Sequence[Owed]) -> OwedList:
    names = OwedAnswer.model_fields
    items = [OwedAnswer(**{name: getattr(one, name) for name in names}) for one in found]
    return OwedList(text=text, items=items)
