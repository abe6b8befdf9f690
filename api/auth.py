"""Who is asking: a bearer token or a signed-in browser, checked in one place for every route."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from api.answers import find_broadcast
from api.pages.guard import SESSION_COOKIE, ForeignPost, same_origin
from api.parts import Parts, parts_of
from api.rights import Action, covers, may
from api.sentences import Problem
from api.sight import tell_edges
from catalog.accounts import Identity, identity_of
from catalog.audit import Actor
from catalog.centres import get_centre, home_centre
from catalog.models import Broadcast, Centre
from catalog.records.reach import contract_of

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="xitai"'}

OurParts = Annotated[Parts, Depends(parts_of)]


def transaction(parts: OurParts) -> Iterator[Session]:
    """One transaction a request: committed before the answer leaves, undone by a refusal."""
    with parts.database.transaction() as session:
        yield session
        tell_edges(session, parts.redis)


# "function": the commit comes before the response is sent; "request" would come after it.
Db = Annotated[Session, Depends(transaction, scope="function")]


def caller(request: Request, session: Db) -> Identity:
    """Who asks. Raises Problem for nobody, and for a browser steered by another site."""
    now = dt.datetime.now(dt.UTC)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        found = None
        if scheme.lower() == "bearer":
            found = identity_of(session, token.strip(), "token", now)
        if found is None:
            raise Problem("sign_in_needed", headers=_CHALLENGE)
        return found
    cookie = request.cookies.get(SESSION_COOKIE)
    found = identity_of(session, cookie, "session", now) if cookie else None
    if found is None:
        raise Problem("sign_in_needed", headers=_CHALLENGE)
    if request.method not in _SAFE_METHODS:
        # A cookie comes along by itself, whoever wrote the form; a bearer token does not.
        try:
            same_origin(request)
        except ForeignPost:
            raise Problem("foreign_post") from None
    return found


Caller = Annotated[Identity, Depends(caller)]


def actor(who: Identity, via: str = "api") -> Actor:
    """The caller as the catalogue knows people."""
    return Actor(who.user_id, who.name, who.role, who.centre_path, who.contract, via)


def require(action: Action) -> Callable[[Identity], Identity]:
    """A dependency: the caller, if their role may do ``action``; Problem otherwise."""

    def allowed(who: Caller) -> Identity:
        if not may(who.role, action):
            raise Problem("not_allowed")
        return who

    # The test that walks routes × roles reads what each route asks for here.
    allowed.action = action  # type: ignore[attr-defined]
    return allowed


def in_reach(session: Session, who: Identity, broadcast_id: str) -> Broadcast:
    """A broadcast of the caller's subtree, and of a studio's contract. One outside is as unknown
    as one that is not."""
    found = find_broadcast(
        session,
        broadcast_id,
        centre_path=who.centre_path,
        contract=contract_of(who.role, who.contract),
    )
    if found is None:
        raise Problem("broadcast_not_found")
    return found


def own_centre(session: Session, who: Identity, wanted: str | None) -> Centre:
    """The centre the caller names (id or name) or belongs to, if it is within their reach.

    A token for all centres that names none means the oldest, as a local command does.
    """
    if wanted is None and who.centre_id is None:
        return home_centre(session, None)
    centre = get_centre(session, wanted or who.centre_id or "")
    if not covers(who.centre_path, centre.path):
        raise Problem("centre_unknown", centre=wanted or "")
    return centre
