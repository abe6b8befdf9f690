"""What the commands about plans and returns do, straight on the instance's database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from api.local import Local
from catalog.audit import Actor
from catalog.centres import add_centre, find_centre, get_centre, home_centre
from catalog.clock import china_date
from catalog.errors import Missing
from catalog.models import Centre, Plan

if TYPE_CHECKING:
    from api.answers_returns import BroughtInAnswer, ReturnBrief, ReturnFull
    from catalog.returns.shown import Format, Words

CLI = Actor(user_id=None, name="命令行", role="admin", via="cli")


class LocalReturns(Local):
    """One command's hold on an instance's plans and returns."""

    # --- plans -------------------------------------------------------------------------------

    def load_plan(self, name: str, centre: str | None, level: str | None) -> dict[str, Any]:
        """A shipped plan, kept by ``centre``; the first centre of all is made for it."""
        from catalog.plans.service import load_template

        with self._transaction() as session:
            owner = self._owner(session, centre, level)
            return _plan(session, load_template(session, CLI, name, owner))

    def _owner(self, session: Session, centre: str | None, level: str | None) -> Centre:
        if centre and level and find_centre(session, centre) is None:
            return add_centre(session, centre, level=level)
        return home_centre(session, centre)

    def plans(self) -> dict[str, Any]:
        """Plans kept here, and those that can be loaded."""
        from catalog.plans.service import plans_seen
        from catalog.plans.templates import templates

        with self._transaction() as session:
            kept = [_plan(session, plan) for plan in plans_seen(session, None)]
        shipped = [
            {"name": one.code, "title": one.title, "year": one.year, "issuer": one.issuer}
            for one in templates().values()
        ]
        return {"items": kept, "templates": shipped}

    # --- reports -----------------------------------------------------------------------------

    def export_report(
        self,
        *,
        plan: str,
        centre: str | None,
        years: tuple[int, int],
        form: Format,
        out: Path,
        revision: int | None,
        words: Words,
        beat: Callable[[float], None],
    ) -> dict[str, Any]:
        """Write the file; it is there whole or not at all."""
        from catalog.returns import freeze, papers

        with self._whole_file(out) as file:
            with self._transaction() as session:
                chosen, root = self._both(session, plan, centre)
                if revision is None:
                    paper = papers.draft(
                        session, chosen, root, years, base_url=self._at.http,
                        now=dt.datetime.now(dt.UTC), words=words,
                        beat=lambda share: beat(share / 2),
                    )  # fmt: skip
                else:
                    kept = freeze.revision(session, CLI, chosen, root, years[0], revision)
                    paper = papers.frozen(session, kept, base_url=self._at.http, words=words)
                code, name = chosen.code, root.name
            papers.write(paper, form, file, lambda share: beat(0.5 + share / 2))
        return {
            "plan": code,
            "centre": name,
            "year": years[0],
            "until": years[1],
            "format": form,
            "return": revision,
            "units": len(paper.reports[-1].units),
            "out": str(out),
        }

    # --- returns -----------------------------------------------------------------------------

    def freeze(
        self, *, plan: str, centre: str | None, year: int, cut_off: dt.datetime | None, why: str
    ) -> ReturnFull:
        from api import answers_returns
        from catalog.returns.freeze import freeze

        now = dt.datetime.now(dt.UTC)
        with self._transaction() as session:
            chosen, root = self._both(session, plan, centre)
            kept = freeze(session, CLI, chosen, root, year, cut_off or now, why, now=now)
            return answers_returns.full(session, kept, root, chosen)

    def returns(self, plan: str | None, year: int | None) -> list[ReturnBrief]:
        from api import answers_returns
        from catalog.plans.service import get_plan
        from catalog.returns.freeze import listed

        with self._transaction() as session:
            plan_id = get_plan(session, CLI, plan).id if plan else None
            found = listed(session, None, plan_id=plan_id, year=year)
            return [answers_returns.brief(*row) for row in found]

    def bring_in(
        self, file: Path, *, plan: str, year: int, create_centres: bool
    ) -> BroughtInAnswer:
        """Bring an old year in. On a machine that knows neither the plan nor its centres yet, a
        shipped plan is loaded for it, and its centres are made."""
        from api import answers_returns
        from catalog.plans.service import get_plan
        from catalog.plans.templates import templates
        from catalog.returns.bring_in import bring_in, plan_for
        from catalog.returns.past_file import read_past

        data = file.read_bytes()
        now = dt.datetime.now(dt.UTC)
        with self._transaction() as session:
            try:
                chosen = get_plan(session, CLI, plan)
            except Missing:
                if plan not in templates():
                    raise
                past = read_past(data, year, china_date(now))
                chosen, create_centres = plan_for(session, CLI, plan, past), True
            made = bring_in(
                session, CLI, data, chosen, year, create_centres=create_centres, now=now
            )
            return answers_returns.brought_in(made)

    def _both(self, session: Session, plan: str, centre: str | None) -> tuple[Plan, Centre]:
        """The plan, and the centre that is named or keeps it."""
        from catalog.plans.service import get_plan

        chosen = get_plan(session, CLI, plan)
        return chosen, get_centre(session, centre or chosen.owner_id)


def _plan(session: Session, plan: Plan) -> dict[str, Any]:
    owner = session.get_one(Centre, plan.owner_id)
    return {
        "id": plan.id,
        "code": plan.code,
        "title": plan.title,
        "year": plan.year,
        "centre": owner.name,
        "targets": len(plan.targets),
        "units": len({unit.centre_id for unit in plan.units}),
    }
