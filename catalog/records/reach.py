"""Which rows somebody reaches: a centre's subtree, and for a studio its one contract in it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, false, func
from sqlalchemy.orm import InstrumentedAttribute

from catalog.audit import Actor
from catalog.centres import within
from catalog.models import Broadcast, Resource, Upload, Work


def resources_of(actor: Actor) -> ColumnElement[bool]:
    """Condition on ``Resource`` joined with its ``Centre``."""
    return _reach(actor.centre_path, contract_of(actor.role, actor.contract), Resource.contract)


def broadcasts_of(actor: Actor) -> ColumnElement[bool]:
    """Condition on ``Broadcast`` joined with its ``Centre``."""
    return broadcasts_within(actor.centre_path, contract_of(actor.role, actor.contract))


def works_of(actor: Actor) -> ColumnElement[bool]:
    """Condition on ``Work`` joined with its ``Centre`` and, if it has one, its ``Broadcast``."""
    # A clip of a broadcast is of its contract; an uploaded work says its own.
    return _reach(
        actor.centre_path,
        contract_of(actor.role, actor.contract),
        func.coalesce(Broadcast.contract, Work.contract),
    )


def uploads_of(actor: Actor) -> ColumnElement[bool]:
    """Condition on ``Upload`` joined with its ``Centre``."""
    return _reach(actor.centre_path, contract_of(actor.role, actor.contract), Upload.contract)


def broadcasts_within(path: str | None, contract: str | None) -> ColumnElement[bool]:
    """Condition on ``Broadcast`` joined with its ``Centre``; see ``contract_of``."""
    return _reach(path, contract, Broadcast.contract)


def contract_of(role: str, contract: str) -> str | None:
    """The contract somebody is bound to: "" for a studio without one, None for everybody else."""
    return contract if role == "studio" else None


def _reach(
    path: str | None, contract: str | None, column: ColumnElement[str] | InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    if contract is None:
        return within(path)
    if not contract:
        # A row without a contract is the centre's own, and no studio's.
        return false()
    return and_(within(path), column == contract)
