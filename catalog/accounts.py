"""People and what stands for them: passwords, signed-in browsers, API tokens, the set-up link.

Secrets have 128 random bits and are stored as hashes; passwords go through Argon2id. Every
function works inside the caller's transaction and takes ``now`` where time matters.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from catalog.broadcasts import CONTRACT_MAX
from catalog.centres import find_or_add, home_centre, lock_centres
from catalog.errors import Missing, Refused
from catalog.models import ROLES, Centre, Credential, User
from infra.ids import hash_secret, public_id, secret_token

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SESSION_DAYS = 14
SETUP_DAYS = 7
TOKEN_DAYS = 365
TOKEN_DAYS_MAX = 3650

LOGIN_MIN, LOGIN_MAX = 2, 64
NAME_MAX = 100
LABEL_MAX = 100
PASSWORD_MIN, PASSWORD_MAX = 10, 200

# A use is noted at most this often, so that reading a page is not a write.
_NOTE_USE_EVERY = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a credential stands for. ``centre_path`` is the root of what they may see."""

    user_id: str | None
    name: str
    role: str
    centre_id: str | None
    centre_name: str | None
    centre_path: str | None
    contract: str = ""
    """Of a studio: the contract whose footage is all it sees."""


@cache
def _hasher() -> PasswordHasher:
    # Imported here: commands that touch no password should not pay for it. OWASP's floor for
    # Argon2id (19 MiB, 2 passes, 1 lane) fits the 4 GB machine that is also transcoding.
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@cache
def _nobody() -> str:
    """A hash no password opens: checking it takes an unknown login as long as a known one."""
    return _hasher().hash(secret_token())


# --- people ----------------------------------------------------------------------------------


def clean_login(login: str) -> str:
    """The one form of a login: NFKC, lower case. Raises Refused."""
    login = unicodedata.normalize("NFKC", login).strip().lower()
    allowed = all(c.isalnum() or c in "._-@" for c in login)
    if not LOGIN_MIN <= len(login) <= LOGIN_MAX or not allowed:
        raise Refused("login_form", least=LOGIN_MIN, most=LOGIN_MAX)
    return login


def check_password(password: str, login: str) -> None:
    """Raises Refused for a password too short, too long, or too plain to keep."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise Refused("password_length", least=PASSWORD_MIN, most=PASSWORD_MAX)
    if len(set(password)) < 4 or password.lower() == login:
        raise Refused("password_plain")


def create_user(
    session: Session,
    *,
    login: str,
    name: str,
    role: str,
    centre: Centre,
    password: str,
    contract: str = "",
) -> User:
    """A new account. Raises Refused for what it cannot keep or what is taken."""
    login = clean_login(login)
    name = name.strip()[:NAME_MAX] or login
    if role not in ROLES:
        raise Refused("role_unknown", roles="、".join(ROLES))
    check_password(password, login)
    if session.scalar(select(User.id).where(User.login == login)) is not None:
        raise Refused("login_taken", login=login)
    user = User(
        id=public_id(),
        centre_id=centre.id,
        centre=centre,
        login=login,
        display_name=name,
        role=role,
        contract=contract.strip()[:CONTRACT_MAX],
        password_hash=_hasher().hash(password),
    )
    session.add(user)
    session.flush()
    return user


def set_password(session: Session, user: User, password: str) -> None:
    """A new password; every browser signed in with the old one is signed out."""
    check_password(password, user.login)
    user.password_hash = _hasher().hash(password)
    session.execute(
        delete(Credential).where(Credential.user_id == user.id, Credential.kind == "session")
    )


def set_disabled(session: Session, user: User, disabled: bool, now: dt.datetime) -> None:
    """Lock an account out, with all its credentials, or let it in again."""
    user.disabled_at = now if disabled else None
    if disabled:
        session.execute(delete(Credential).where(Credential.user_id == user.id))


def get_user(session: Session, wanted: str) -> User:
    """An account by id or login; raises Missing."""
    query = select(User).options(joinedload(User.centre))
    user = session.scalars(query.where((User.id == wanted) | (User.login == wanted))).first()
    if user is None:
        raise Missing("user_unknown")
    return user


def users_within(session: Session, path: str | None) -> list[User]:
    """Accounts of a subtree of centres, by login; None is everywhere."""
    query = select(User).join(Centre).options(joinedload(User.centre)).order_by(User.login)
    if path is not None:
        query = query.where(Centre.path.startswith(path, autoescape=True))
    return list(session.scalars(query))


def password_opens(session: Session, login: str, password: str) -> User | None:
    """The account a login and password open; None when they do not, in about the same time."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        wanted = clean_login(login)
    except Refused:
        wanted = ""
    query = select(User).where(User.login == wanted).options(joinedload(User.centre))
    user = session.scalars(query).one_or_none() if wanted else None
    known = user.password_hash if user else _nobody()
    try:
        _hasher().verify(known, password[:PASSWORD_MAX])
    except (VerificationError, InvalidHashError):
        return None
    if user is None or user.disabled_at is not None:
        return None
    if _hasher().check_needs_rehash(known):
        user.password_hash = _hasher().hash(password)
    return user


# --- what stands for them --------------------------------------------------------------------


def open_session(session: Session, user: User, now: dt.datetime) -> str:
    """Sign a browser in: the secret its cookie keeps. Stale credentials are swept meanwhile."""
    session.execute(delete(Credential).where(Credential.expires_at < now))
    return _issue(session, "session", now, SESSION_DAYS, user_id=user.id)


def close_session(session: Session, secret: str) -> None:
    """Sign a browser out; unknown secrets change nothing."""
    session.execute(
        delete(Credential).where(
            Credential.secret_hash == hash_secret(secret), Credential.kind == "session"
        )
    )


def issue_token(
    session: Session,
    *,
    role: str,
    centre: Centre | None,
    now: dt.datetime,
    user: User | None = None,
    label: str = "",
    contract: str = "",
    days: int = TOKEN_DAYS,
) -> str:
    """An API token with a role over a centre's subtree (None: all centres); told only once."""
    if role not in ROLES:
        raise Refused("role_unknown", roles="、".join(ROLES))
    if role == "admin" and centre is not None:
        # An administrator reaches everything: a centre beside it would promise a bound.
        raise Refused("token_admin_centre")
    if not 1 <= days <= TOKEN_DAYS_MAX:
        raise Refused("token_days", most=TOKEN_DAYS_MAX)
    return _issue(
        session,
        "token",
        now,
        days,
        user_id=user.id if user else None,
        role=role,
        centre_id=centre.id if centre else None,
        label=label.strip()[:LABEL_MAX],
        contract=contract.strip()[:CONTRACT_MAX],
    )


def _issue(
    session: Session,
    kind: str,
    now: dt.datetime,
    days: int,
    *,
    user_id: str | None = None,
    role: str | None = None,
    centre_id: str | None = None,
    label: str = "",
    contract: str = "",
) -> str:
    secret = secret_token()
    session.add(
        Credential(
            secret_hash=hash_secret(secret),
            kind=kind,
            user_id=user_id,
            role=role,
            centre_id=centre_id,
            label=label,
            contract=contract,
            expires_at=now + dt.timedelta(days=days),
        )
    )
    session.flush()
    return secret


def tokens(session: Session) -> list[Credential]:
    """API tokens, newest first; the secrets themselves are nowhere."""
    query = select(Credential).where(Credential.kind == "token")
    return list(session.scalars(query.order_by(Credential.created_at.desc())))


def revoke_token(session: Session, handle: str) -> None:
    """Take an API token back by its handle (see ``token_handle``). Raises Missing."""
    if len(handle) != HANDLE:
        raise Missing("token_unknown")
    gone = session.execute(
        delete(Credential)
        .where(Credential.kind == "token", Credential.secret_hash.startswith(handle))
        .returning(Credential.secret_hash)
    ).all()
    if not gone:
        raise Missing("token_unknown")


HANDLE = 16


def token_handle(token: Credential) -> str:
    """What names a token in lists: the start of its hash, of no use to sign in with."""
    return token.secret_hash[:HANDLE]


def identity_of(session: Session, secret: str, kind: str, now: dt.datetime) -> Identity | None:
    """Who a session or token stands for now; None when it has expired or never was."""
    found = session.get(Credential, hash_secret(secret))
    if found is None or found.kind != kind or (found.expires_at and found.expires_at <= now):
        return None
    user = session.get(User, found.user_id) if found.user_id else None
    if found.user_id and (user is None or user.disabled_at is not None):
        return None
    if found.used_at is None or now - found.used_at > _NOTE_USE_EVERY:
        found.used_at = now
    role = found.role or (user.role if user else "")
    centre_id = found.centre_id or (user.centre_id if user else None)
    centre = session.get(Centre, centre_id) if centre_id else None
    # An administrator looks after the installation, wherever in the tree they sit.
    everywhere = role == "admin" or centre is None
    return Identity(
        user_id=user.id if user else None,
        name=user.display_name if user else (found.label or role),
        role=role,
        centre_id=centre.id if centre else None,
        centre_name=centre.name if centre else None,
        centre_path=None if everywhere or centre is None else centre.path,
        contract=found.contract or (user.contract if user else ""),
    )


# --- the first account -----------------------------------------------------------------------


def ensure_setup_link(
    session: Session, base_url: str, now: dt.datetime | None = None
) -> str | None:
    """A one-time address for making the first account; None once there is one.

    Every call makes a fresh link and voids the one before: whoever reads an old log gets nothing.
    """
    lock_centres(session)
    session.execute(delete(Credential).where(Credential.kind == "setup"))
    if _any_user(session):
        return None
    secret = _issue(session, "setup", now or dt.datetime.now(dt.UTC), SETUP_DAYS)
    return f"{base_url.rstrip('/')}/setup/{secret}"


def setup_open(session: Session, secret: str, now: dt.datetime) -> bool:
    """Whether this set-up link still opens."""
    found = session.get(Credential, hash_secret(secret))
    if found is None or found.kind != "setup" or _any_user(session):
        return False
    return found.expires_at is None or found.expires_at > now


def first_account(
    session: Session,
    secret: str,
    *,
    login: str,
    name: str,
    password: str,
    centre: str,
    now: dt.datetime,
) -> User:
    """The first account, an administrator's, and its centre. Raises Missing for a spent link."""
    lock_centres(session)
    if not setup_open(session, secret, now):
        raise Missing("setup_spent")
    home = find_or_add(session, centre) if centre.strip() else home_centre(session, None)
    user = create_user(
        session, login=login, name=name, role="admin", centre=home, password=password
    )
    session.execute(delete(Credential).where(Credential.kind == "setup"))
    return user


def _any_user(session: Session) -> bool:
    return session.scalar(select(User.id).limit(1)) is not None
