"""Accounts on a real PostgreSQL: the first one, passwords, sessions, tokens, and their ends."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from catalog import accounts
from catalog.centres import add_centre, find_or_add, home_centre
from catalog.errors import Missing, Refused
from catalog.models import Centre, Credential, User
from infra.database import Database

NOW = dt.datetime(2026, 2, 2, 4, 0, tzinfo=dt.UTC)
PASSWORD = "correct-horse-9"


def make_user(database: Database, **changes: str) -> User:
    fields = {"login": "li.na", "name": "李娜", "role": "staff", "password": PASSWORD} | changes
    with database.transaction() as session:
        centre = find_or_add(session, "勐海县文化馆")
        return accounts.create_user(session, centre=centre, **fields)


def test_the_set_up_link_opens_once(database: Database) -> None:
    with database.transaction() as session:
        old = accounts.ensure_setup_link(session, "http://x/", NOW)
        link = accounts.ensure_setup_link(session, "http://x/", NOW)
    assert old
    assert link
    assert link.startswith("http://x/setup/")
    secret = link.rsplit("/", 1)[1]
    form = {"login": "Admin", "name": "", "password": PASSWORD, "centre": "勐海县文化馆"}
    with database.transaction() as session:
        assert not accounts.setup_open(session, old.rsplit("/", 1)[1], NOW)
        assert not accounts.setup_open(session, secret, NOW + dt.timedelta(days=8))
        assert accounts.setup_open(session, secret, NOW)
        user = accounts.first_account(session, secret, now=NOW, **form)
        assert (user.login, user.role, user.display_name) == ("admin", "admin", "admin")
    with database.transaction() as session:
        assert accounts.ensure_setup_link(session, "http://x") is None
        with pytest.raises(Missing):
            accounts.first_account(session, secret, now=NOW, **form)


def test_two_at_once_with_one_link_make_one_account(database: Database) -> None:
    with database.transaction() as session:
        link = accounts.ensure_setup_link(session, "http://x", NOW)
    assert link

    def try_it(number: int) -> bool:
        try:
            with database.transaction() as session:
                accounts.first_account(
                    session,
                    link.rsplit("/", 1)[1],
                    login=f"person{number}",
                    name="",
                    password=PASSWORD,
                    centre="甲" if number else "乙",
                    now=NOW,
                )
        except Missing:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(try_it, range(4))) == [False, False, False, True]
    with database.transaction() as session:
        assert len(session.scalars(select(Centre)).all()) == 1


def test_a_password_opens_and_is_nowhere_to_read(database: Database) -> None:
    made = make_user(database)
    with database.transaction() as session:
        assert accounts.password_opens(session, " LI.NA ", PASSWORD) is not None
        assert accounts.password_opens(session, "li.na", PASSWORD + "x") is None
        assert accounts.password_opens(session, "nobody", PASSWORD) is None
        assert accounts.password_opens(session, "", "") is None
        assert made.password_hash.startswith("$argon2id$")
        dump = session.execute(text("SELECT to_jsonb(users)::text FROM users")).scalar_one()
        assert PASSWORD not in dump


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"login": "x"}, "login_form"),
        ({"login": "a b"}, "login_form"),
        ({"login": "x" * 65}, "login_form"),
        ({"password": "short"}, "password_length"),
        ({"password": "x" * 201}, "password_length"),
        ({"password": "aaaaaaaaaaaa"}, "password_plain"),
        ({"login": "longenough1", "password": "LongEnough1"}, "password_plain"),
        ({"role": "king"}, "role_unknown"),
        ({"login": "ＬＩ.na"}, "login_taken"),
    ],
)
def test_what_an_account_may_not_be(database: Database, changes: dict[str, str], code: str) -> None:
    make_user(database)
    with pytest.raises(Refused) as refused:
        make_user(database, **changes)
    assert refused.value.code == code


def test_sessions_end(database: Database) -> None:
    user = make_user(database)
    with database.transaction() as session:
        secret = accounts.open_session(session, session.get_one(User, user.id), NOW)
        who = accounts.identity_of(session, secret, "session", NOW)
        assert who is not None
        assert who.centre_path is not None
        # A session cookie is no API token.
        assert accounts.identity_of(session, secret, "token", NOW) is None
        late = NOW + dt.timedelta(days=accounts.SESSION_DAYS)
        assert accounts.identity_of(session, secret, "session", late) is None
    with database.transaction() as session:
        accounts.close_session(session, secret)
    with database.transaction() as session:
        assert accounts.identity_of(session, secret, "session", NOW) is None
        secret = accounts.open_session(session, session.get_one(User, user.id), NOW)
        accounts.set_password(session, session.get_one(User, user.id), "another-pass-7")
        session.expire_all()
        assert accounts.identity_of(session, secret, "session", NOW) is None


def test_a_disabled_account_is_out_at_once(database: Database) -> None:
    user = make_user(database)
    with database.transaction() as session:
        row = session.get_one(User, user.id)
        secret = accounts.open_session(session, row, NOW)
        accounts.set_disabled(session, row, True, NOW)
        session.expire_all()
        assert accounts.identity_of(session, secret, "session", NOW) is None
        assert accounts.password_opens(session, "li.na", PASSWORD) is None
        accounts.set_disabled(session, row, False, NOW)
        assert accounts.password_opens(session, "li.na", PASSWORD) is not None


def test_tokens_have_a_role_a_reach_and_an_end(database: Database) -> None:
    with database.transaction() as session:
        centre = add_centre(session, "勐腊县文化馆")
        secret = accounts.issue_token(session, role="staff", centre=centre, now=NOW, days=1)
        everywhere = accounts.issue_token(session, role="clerk", centre=None, now=NOW)
        who = accounts.identity_of(session, secret, "token", NOW)
        assert who is not None
        assert (who.role, who.centre_path) == ("staff", centre.path)
        clerk = accounts.identity_of(session, everywhere, "token", NOW)
        assert clerk is not None
        assert clerk.centre_path is None
        assert accounts.identity_of(session, secret, "token", NOW + dt.timedelta(days=1)) is None
        stored = {row.secret_hash for row in session.scalars(select(Credential))}
        assert secret not in stored
        assert everywhere not in stored
        handle = accounts.token_handle(session.scalars(select(Credential)).first())  # type: ignore[arg-type]
        accounts.revoke_token(session, handle)
        assert len(accounts.tokens(session)) == 1
        for unknown in (handle, "", "%"):
            with pytest.raises(Missing):
                accounts.revoke_token(session, unknown)


def test_an_administrator_sees_everywhere(database: Database) -> None:
    user = make_user(database, role="admin")
    with database.transaction() as session:
        secret = accounts.open_session(session, session.get_one(User, user.id), NOW)
        who = accounts.identity_of(session, secret, "session", NOW)
        assert who is not None
        assert who.centre_path is None
        assert who.centre_id is not None


def test_centres_are_a_tree_and_the_first_makes_itself(database: Database) -> None:
    with database.transaction() as session:
        first = home_centre(session, None)
        assert home_centre(session, None).id == first.id
        assert home_centre(session, first.name).id == first.id
        with pytest.raises(Missing):
            home_centre(session, "没有的馆")
        child = add_centre(session, " 勐遮镇文化站 ", parent=first, level="station")
        assert child.path == f"{first.path}{child.id}/"
        assert child.name == "勐遮镇文化站"
        for bad in ("", " ", "x" * 201):
            with pytest.raises(Refused):
                add_centre(session, bad)
