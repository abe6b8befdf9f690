"""The shapes of returns in answers, and how they are filled; shared by the API and the commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from api.answers import Answer
from api.sentences import sentence
from catalog.models import Centre, Plan, Return
from catalog.returns.bring_in import BroughtIn
from catalog.returns.csv_json import rows_of
from catalog.returns.differences import Difference
from catalog.returns.freeze import intact
from catalog.returns.papers import frozen


class ReturnBrief(Answer):
    id: str
    plan_id: str
    plan: str = Field(description="The plan's code.")
    plan_title: str
    centre_id: str
    centre: str
    year: int
    revision: int
    cut_off: dt.datetime
    frozen_at: dt.datetime
    frozen_by: str
    rule_version: str
    plan_version: int
    sha256: str
    why: str = Field(description="Why there is another revision; empty of the first.")


class DifferenceAnswer(Answer):
    centre_id: str
    centre: str
    what: str = Field(description="target, actual, evidence, line or broadcast")
    code: str
    name: str
    old: str
    new: str


class ReturnFull(ReturnBrief):
    intact: bool = Field(description="Whether the numbers still have the hash they were given.")
    rows: list[dict[str, Any]]
    sentences: dict[str, Any]
    corrections: list[DifferenceAnswer] = Field(description="Against the revision before.")
    built_on: list[dict[str, Any]] = Field(description="Returns of units below, compared.")


class ReturnList(Answer):
    items: list[ReturnBrief]


class BadRow(Answer):
    where: str
    code: str
    message: str


class UnlikeRow(Answer):
    where: str
    what: str
    printed: str
    ours: str


class BroughtInAnswer(Answer):
    entries: int = Field(description="Values new or changed.")
    broadcasts: int = Field(description="Past broadcasts new or changed.")
    unchanged: int
    centres_made: list[str]
    bad: list[BadRow] = Field(description="Rows that were not taken; the others were.")
    unlike: list[UnlikeRow] = Field(description="What the file prints otherwise than we reckon.")


def brief(kept: Return, centre: Centre, plan: Plan) -> ReturnBrief:
    return ReturnBrief(**_brief(kept, centre, plan))


def full(session: Session, kept: Return, centre: Centre, plan: Plan) -> ReturnFull:
    paper = frozen(session, kept, base_url="")
    return ReturnFull(
        **_brief(kept, centre, plan),
        intact=intact(kept),
        rows=rows_of(paper),
        sentences=kept.numbers["sentences"],
        corrections=differences(paper.corrections),
        built_on=kept.numbers["built_on"],
    )


def differences(found: Sequence[Difference]) -> list[DifferenceAnswer]:
    return [
        DifferenceAnswer(
            centre_id=d.centre_id,
            centre=d.centre_name,
            what=d.what,
            code=d.code,
            name=d.name,
            old=d.old,
            new=d.new,
        )
        for d in found
    ]


def brought_in(made: BroughtIn) -> BroughtInAnswer:
    return BroughtInAnswer(
        entries=made.entries,
        broadcasts=made.broadcasts,
        unchanged=made.unchanged,
        centres_made=made.centres_made,
        bad=[
            BadRow(where=bad.where, code=bad.code, message=sentence(bad.code, bad.facts))
            for bad in made.bad
        ],
        unlike=[
            UnlikeRow(where=found.where, what=found.what, printed=found.printed, ours=found.ours)
            for found in made.unlike
        ],
    )


def _brief(kept: Return, centre: Centre, plan: Plan) -> dict[str, Any]:
    return {
        "id": kept.id,
        "plan_id": plan.id,
        "plan": plan.code,
        "plan_title": plan.title,
        "centre_id": centre.id,
        "centre": centre.name,
        "year": kept.year,
        "revision": kept.revision,
        "cut_off": kept.cut_off,
        "frozen_at": kept.frozen_at,
        "frozen_by": kept.frozen_name,
        "rule_version": kept.rule_version,
        "plan_version": kept.plan_version,
        "sha256": kept.sha256,
        "why": kept.why,
    }
