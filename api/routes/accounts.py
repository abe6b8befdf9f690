"""Accounts over the API: who am I, and for administrators users, tokens and centres."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api import answers
from api.auth import Caller, Db, actor, own_centre, require
from api.rights import RIGHTS
from api.sentences import Problem
from catalog import accounts, centres
from catalog.accounts import Identity
from catalog.audit import note
from catalog.models import Centre, Credential, User
from infra.ids import hash_secret

router = APIRouter(tags=["accounts"])

Manages = Annotated[Identity, Depends(require("account.manage"))]
SeesCentres = Annotated[Identity, Depends(require("broadcast.see"))]


class Me(answers.Answer):
    user_id: str | None
    name: str
    role: str
    centre_id: str | None
    centre: str | None
    rights: list[str]


class CentreAnswer(answers.Answer):
    id: str
    name: str
    level: str
    parent_id: str | None


class CentreList(answers.Answer):
    items: list[CentreAnswer]


class UserAnswer(answers.Answer):
    id: str
    login: str
    name: str
    role: str
    centre_id: str
    centre: str
    contract: str
    disabled: bool


class UserList(answers.Answer):
    items: list[UserAnswer]


class TokenAnswer(answers.Answer):
    handle: str
    role: str | None
    centre_id: str | None
    contract: str
    label: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    used_at: dt.datetime | None


class TokenList(answers.Answer):
    items: list[TokenAnswer]


class TokenMade(answers.Answer):
    token: str = Field(description="Shown this once only.")
    role: str
    centre_id: str | None


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCentre(_Input):
    name: str = Field(max_length=1000)
    parent: str | None = Field(default=None, max_length=200, description="Id or name.")
    level: str = Field(default="county", max_length=20)


class NewUser(_Input):
    login: str = Field(max_length=200)
    name: str = Field(default="", max_length=200)
    role: str = Field(max_length=20)
    centre: str | None = Field(default=None, max_length=200)
    contract: str = Field(default="", max_length=100, description="Of a studio: all it sees.")
    password: SecretStr = Field(max_length=1000)


class NewPassword(_Input):
    password: SecretStr = Field(max_length=1000)


class NewToken(_Input):
    role: str = Field(max_length=20)
    centre: str | None = Field(default=None, max_length=200)
    contract: str = Field(default="", max_length=100, description="Of a studio: all it sees.")
    label: str = Field(default="", max_length=200)
    days: int = Field(default=accounts.TOKEN_DAYS)


@router.get("/me")
def me(who: Caller) -> Me:
    """Who the credential stands for, and what they may do."""
    return Me(
        user_id=who.user_id,
        name=who.name,
        role=who.role,
        centre_id=who.centre_id,
        centre=who.centre_name,
        rights=sorted(action for action, roles in RIGHTS.items() if who.role in roles),
    )


@router.get("/centres")
def list_centres(who: SeesCentres, session: Db) -> CentreList:
    found = centres.centres_within(session, who.centre_path)
    return CentreList(items=[_centre(centre) for centre in found])


@router.post("/centres", status_code=201)
def create_centre(body: NewCentre, who: Manages, session: Db) -> CentreAnswer:
    parent = own_centre(session, who, body.parent) if body.parent else None
    centre = centres.add_centre(session, body.name, parent=parent, level=body.level)
    note(session, actor(who), "centre.create", "centre", centre.id, centre_id=centre.id)
    return _centre(centre)


@router.get("/users")
def list_users(who: Manages, session: Db) -> UserList:
    return UserList(items=[_user(user) for user in accounts.users_within(session, who.centre_path)])


@router.post("/users", status_code=201)
def create_user(body: NewUser, who: Manages, session: Db) -> UserAnswer:
    user = accounts.create_user(
        session,
        login=body.login,
        name=body.name,
        role=body.role,
        centre=own_centre(session, who, body.centre),
        password=body.password.get_secret_value(),
        contract=body.contract,
    )
    _note_user(session, who, "user.create", user, role=user.role)
    return _user(user)


@router.post("/users/{user_id}/password", status_code=204, response_class=Response)
def change_password(user_id: str, body: NewPassword, who: Manages, session: Db) -> None:
    """A new password; browsers signed in with the old one are signed out."""
    user = accounts.get_user(session, user_id)
    accounts.set_password(session, user, body.password.get_secret_value())
    _note_user(session, who, "user.password", user)


@router.post("/users/{user_id}/disable")
def disable(user_id: str, who: Manages, session: Db) -> UserAnswer:
    """Lock the account out and take all its credentials back."""
    return _switch(session, who, user_id, disabled=True)


@router.post("/users/{user_id}/enable")
def enable(user_id: str, who: Manages, session: Db) -> UserAnswer:
    return _switch(session, who, user_id, disabled=False)


@router.get("/tokens")
def list_tokens(who: Manages, session: Db) -> TokenList:
    return TokenList(items=[_token(token) for token in accounts.tokens(session)])


@router.post("/tokens", status_code=201)
def create_token(body: NewToken, who: Manages, session: Db) -> TokenMade:
    """A token for a program. Without a centre it reaches all of them."""
    centre = own_centre(session, who, body.centre) if body.centre else None
    token = accounts.issue_token(
        session,
        role=body.role,
        centre=centre,
        now=dt.datetime.now(dt.UTC),
        label=body.label,
        contract=body.contract,
        days=body.days,
    )
    made = hash_secret(token)[: accounts.HANDLE]
    note(session, actor(who), "token.create", "token", made, role=body.role, label=body.label)
    return TokenMade(token=token, role=body.role, centre_id=centre.id if centre else None)


@router.delete("/tokens/{handle}", status_code=204, response_class=Response)
def revoke(handle: str, who: Manages, session: Db) -> None:
    accounts.revoke_token(session, handle)
    note(session, actor(who), "token.revoke", "token", handle)


def _switch(session: Db, who: Identity, user_id: str, *, disabled: bool) -> UserAnswer:
    user = accounts.get_user(session, user_id)
    if user.id == who.user_id:
        raise Problem("account_self")
    accounts.set_disabled(session, user, disabled, dt.datetime.now(dt.UTC))
    _note_user(session, who, "user.disable" if disabled else "user.enable", user)
    return _user(user)


def _note_user(session: Db, who: Identity, action: str, user: User, **details: str) -> None:
    note(session, actor(who), action, "user", user.id, centre_id=user.centre_id, **details)


def _centre(centre: Centre) -> CentreAnswer:
    return CentreAnswer(
        id=centre.id, name=centre.name, level=centre.level, parent_id=centre.parent_id
    )


def _user(user: User) -> UserAnswer:
    return UserAnswer(
        id=user.id,
        login=user.login,
        name=user.display_name,
        role=user.role,
        centre_id=user.centre_id,
        centre=user.centre.name,
        contract=user.contract,
        disabled=user.disabled_at is not None,
    )


def _token(token: Credential) -> TokenAnswer:
    return TokenAnswer(
        handle=accounts.token_handle(token),
        role=token.role,
        centre_id=token.centre_id,
        contract=token.contract,
        label=token.label,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )
