"""The pages' data from the database and Redis: implements `PageDeps`.

Every method is a plain function in a thread with one transaction of its own. What anyone may ask
for is kept for a moment, so that an audience costs one query.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from anyio import to_thread
from sqlalchemy.orm import Session
from starlette.responses import Response

from api import answers, jobs
from api.brake import Brake
from api.keep import Keep
from api.masters import ask_for_master, master_response
from api.pages import cards, view, watching
from api.pages.acts import data as acts_data
from api.pages.targets.data import owed_line
from api.pages.view import FormErrors, Gone, NotAllowed, NotFound
from api.parts import Parts
from api.present import read_feed, tell_ingest
from api.rights import Action, covers, may
from api.sentences import Problem, sentence
from api.sight import tell_edges
from catalog import accounts, broadcasts
from catalog.acts import programme_of
from catalog.audit import Actor, note
from catalog.centres import centres_within, find_centre
from catalog.errors import Missing, Refused
from catalog.minutes import TICKS_A_MS
from catalog.models import Broadcast, Work
from catalog.records.reach import contract_of
from catalog.records.works import find_work
from infra.database import DatabaseAway, after_commit
from vod.clips import request_clip

T = TypeVar("T")

_HOME_SECONDS: Final = 2.0
_PAGE_SECONDS: Final = 1.0
_OWED_SECONDS: Final = 20.0
_QUALITY_SECONDS: Final = 5.0


class TruthAway(ConnectionError):
    """The database is away: pages say so, and come all the same."""


@dataclass(frozen=True)
class Person(view.User):
    """A signed-in person, with the reach of their account."""

    centre_id: str | None = None
    centre_path: str | None = None
    contract: str = ""

    def actor(self) -> Actor:
        """This person as the catalogue knows people."""
        return Actor(self.id, self.name, self.role, self.centre_path, self.contract)


class Backend:
    """`PageDeps` on a web process's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.brake = Brake(parts.redis)
        self._keep = Keep()
        settings = parts.settings
        self._config = view.PageConfig(
            production=True,
            public_url=settings.public_url,
            secure_cookies=(settings.public_url or "").startswith("https://"),
            media_origins=_media_origins(
                settings.resolved_storage_url,
                settings.s3_public_endpoint or settings.s3_endpoint,
            ),
        )

    @property
    def config(self) -> view.PageConfig:
        return self._config

    async def run(self, work: Callable[[Session], T]) -> T:
        """One transaction in a thread of its own. Raises TruthAway."""

        def run() -> T:
            with self._parts.database.transaction() as session:
                done = work(session)
                tell_edges(session, self._parts.redis)
                return done

        try:
            return await to_thread.run_sync(run)
        except DatabaseAway as error:
            raise TruthAway(str(error).splitlines()[0]) from error

    @property
    def parts(self) -> Parts:
        """What the pages of 指标 hand files out of, and in."""
        return self._parts

    def forget_all(self) -> None:
        """Something was taken down or put back: no page of before is shown any more."""
        self._keep.forget_all()

    async def _kept(self, key: object, seconds: float, work: Callable[[Session], T]) -> T:
        def run() -> T:
            def make() -> T:
                with self._parts.database.transaction() as session:
                    return work(session)

            return self._keep.get(key, seconds, make)

        try:
            return await to_thread.run_sync(run)
        except DatabaseAway as error:
            raise TruthAway(str(error).splitlines()[0]) from error

    # --- viewers -----------------------------------------------------------------------------

    async def home(self) -> view.HomeView:
        def work(session: Session) -> view.HomeView:
            return cards.home(session, _now())

        return await self._kept("home", _HOME_SECONDS, work)

    async def broadcast_page(self, broadcast_id: str) -> view.BroadcastPageView | None:
        def work(session: Session) -> view.BroadcastPageView | Gone | None:
            found = answers.find_broadcast(session, broadcast_id)
            if found is None or found.state == "cancelled":
                return None
            return watching.page_or_gone(session, found)

        page = await self._kept(("b", broadcast_id), _PAGE_SECONDS, work)
        if isinstance(page, Gone):
            raise Gone
        return page

    async def clip_page(self, clip_id: str) -> view.ClipPageView | None:
        def work(session: Session) -> view.ClipPageView | None:
            return watching.clip_page(session, clip_id)

        return await self._kept(("c", clip_id), _PAGE_SECONDS, work)

    async def work_page(self, work_id: str) -> view.WorkPageView | str | None:
        def work(session: Session) -> view.WorkPageView | str | None:
            return watching.work_page(session, work_id, _now())

        return await self._kept(("w", work_id), _PAGE_SECONDS, work)

    # --- who ---------------------------------------------------------------------------------

    async def user_for(self, session_token: str) -> view.User | None:
        def work(session: Session) -> Person | None:
            found = accounts.identity_of(session, session_token, "session", _now())
            if found is None or found.user_id is None:
                return None
            everywhere = found.centre_path is None
            return Person(
                id=found.user_id,
                name=found.name,
                role=found.role,
                centre=None if everywhere else found.centre_name,
                centre_id=found.centre_id,
                centre_path=found.centre_path,
                contract=found.contract,
            )

        return await self.run(work)

    async def sign_in(
        self, login: str, password: str, client: str
    ) -> view.SignedIn | view.SignInRefused:
        def work(session: Session) -> view.SignedIn | view.SignInRefused:
            if wait := self.brake.wait(login, client):
                return view.SignInRefused("slow_down", wait)
            user = accounts.password_opens(session, login, password)
            if user is None:
                self.brake.failed(login, client)
                return view.SignInRefused("wrong")
            self.brake.passed(login, client)
            return _signed_in(accounts.open_session(session, user, _now()))

        return await self.run(work)

    async def sign_out(self, session_token: str) -> None:
        await self.run(lambda session: accounts.close_session(session, session_token))

    async def setup_open(self, setup_token: str) -> bool:
        return await self.run(lambda session: accounts.setup_open(session, setup_token, _now()))

    async def setup(self, setup_token: str, form: view.SetupForm) -> view.SignedIn | FormErrors:
        def work(session: Session) -> view.SignedIn:
            user = accounts.first_account(
                session,
                setup_token,
                login=form.login,
                name=form.name,
                password=form.password,
                centre=form.centre,
                now=_now(),
            )
            return _signed_in(accounts.open_session(session, user, _now()))

        try:
            return await self.run(work)
        except Refused as error:
            return _form_errors(error)

    # --- the desk ----------------------------------------------------------------------------

    async def desk_broadcasts(self, user: view.User) -> tuple[view.BroadcastCard, ...]:
        person = _allowed(user, "broadcast.see")

        def work(session: Session) -> tuple[view.BroadcastCard, ...]:
            return cards.desk_list(session, person.centre_path, _contract(person))

        return await self.run(work)

    async def owed(self, user: view.User) -> view.OwedLine | None:
        person = _person(user)
        if not may(person.role, "plan.see"):
            return None

        def work(session: Session) -> view.OwedLine | None:
            return owed_line(session, person.actor(), _now())

        return await self._kept(("owed", person.centre_path), _OWED_SECONDS, work)

    async def centres(self, user: view.User) -> tuple[view.Centre, ...]:
        person = _person(user)

        def work(session: Session) -> tuple[view.Centre, ...]:
            found = centres_within(session, person.centre_path)
            # The person's own first: it is nearly always the one meant.
            found.sort(key=lambda centre: centre.id != person.centre_id)
            return tuple(view.Centre(centre.id, centre.name) for centre in found)

        return await self.run(work)

    async def create_broadcast(
        self, user: view.User, form: view.BroadcastForm
    ) -> view.Created | FormErrors:
        person = _allowed(user, "broadcast.make")

        def work(session: Session) -> view.Created:
            centre = find_centre(session, form.centre_id or person.centre_id or "")
            if centre is None or not covers(person.centre_path, centre.path):
                raise Refused("centre_unknown", centre=form.centre_id or "")
            new = broadcasts.create_broadcast(
                session,
                title=form.title,
                centre_id=centre.id,
                mode=form.mode,
                description=form.description,
                planned_at=form.starts_at,
                planned_end_at=form.ends_at,
                created_by=person.id,
            )
            _note(session, person, "broadcast.create", new.broadcast)
            push = view.PushAddress(self._parts.addresses().rtmp, new.stream_key)
            return view.Created(new.broadcast.id, push)

        return await self._form(work)

    async def desk_broadcast(self, user: view.User, broadcast_id: str) -> view.DeskBroadcastView:
        person = _allowed(user, "broadcast.see")
        address = self._parts.addresses().rtmp

        def work(session: Session) -> view.DeskBroadcastView:
            broadcast = _find(session, person, broadcast_id)
            shown = cards.desk_page(
                session,
                broadcast,
                feed=read_feed(session, self._parts.redis, broadcast.id),
                rtmp_url=address,
                counted=self._keep.get(
                    ("counts", broadcast.id), 5.0, lambda: cards.item_counts(session, broadcast.id)
                ),
            )
            recording = watching.recording_desk(session, broadcast.id)
            found = programme_of(session, broadcast.media_token)
            over = broadcast.state == "ended"
            able = may(person.role, "act.change")
            return replace(
                shown,
                recording=recording,
                marks=None if over else acts_data.marks_view(session, found, may=able),
                acts=acts_data.brief(session, found) if over and able else None,
            )

        return await self.run(work)

    async def quality(self, user: view.User, broadcast_id: str) -> view.QualityView | None:
        person = _allowed(user, "broadcast.see")
        if not may(person.role, "quality.see"):
            return None

        def work(session: Session) -> view.QualityView:
            found = _find(session, person, broadcast_id)
            return self._keep.get(
                ("quality", found.id),
                _QUALITY_SECONDS,
                lambda: cards.quality_view(session, found.id),
            )

        return await self.run(work)

    async def rotate_key(self, user: view.User, broadcast_id: str) -> view.PushAddress:
        person = _allowed(user, "broadcast.make")
        address = self._parts.addresses().rtmp

        def work(session: Session) -> view.PushAddress:
            broadcast = _find(session, person, broadcast_id)
            _note(session, person, "broadcast.key", broadcast)
            return view.PushAddress(address, broadcasts.rotate_key(session, broadcast.id))

        return await self.run(work)

    async def set_standing(
        self, user: view.User, broadcast_id: str, standing: str, origin: str
    ) -> FormErrors | None:
        person = _allowed(user, "broadcast.make")

        def work(session: Session) -> None:
            found = _find(session, person, broadcast_id)
            broadcasts.set_standing(session, found.id, standing, origin)
            _note(session, person, "broadcast.standing", found)

        try:
            await self.run(work)
        except Refused as error:
            return FormErrors({"origin": sentence(error.code, error.facts)})
        return None

    async def end_broadcast(self, user: view.User, broadcast_id: str) -> None:
        person = _allowed(user, "broadcast.end")

        def work(session: Session) -> None:
            broadcast = _find(session, person, broadcast_id)
            broadcasts.end_broadcast(session, broadcast.id, _now())
            _note(session, person, "broadcast.end", broadcast)
            redis = self._parts.redis
            after_commit(session, lambda: tell_ingest(redis, "end", broadcast.id))

        await self.run(work)
        self._keep.forget(("b", broadcast_id))
        self._keep.forget("home")

    async def create_clip(
        self, user: view.User, broadcast_id: str, form: view.ClipForm
    ) -> view.ClipQueued | FormErrors:
        person = _allowed(user, "clip.make")

        def work(session: Session) -> view.ClipQueued:
            source = _find(session, person, broadcast_id).id
            made, job = request_clip(
                session,
                pieces=[(source, a * TICKS_A_MS, b * TICKS_A_MS) for a, b in form.pieces_ms],
                title=form.title,
                created_by=person.id,
                actor=person.actor(),
            )
            note(session, person.actor(), "clip.make", "work", made.id, centre_id=made.centre_id)
            return view.ClipQueued(made.id, str(job.id))

        return await self._form(work)

    async def work_desk(self, user: view.User | None, work_id: str) -> view.WorkDesk | None:
        if user is None or not may(user.role, "broadcast.see"):
            return None
        actor = _person(user).actor()

        def work(session: Session) -> view.WorkDesk | None:
            try:
                return watching.desk_of(session, find_work(session, actor, work_id))
            except Missing:
                return None

        return await self.run(work)

    async def make_mp4(self, user: view.User, work_id: str) -> None:
        person = _allowed(user, "broadcast.see")

        def work(session: Session) -> None:
            ask_for_master(session, person.actor(), _work(session, person, work_id))

        # Of one that is not whole there is no button.
        with suppress(Refused):
            await self.run(work)

    async def mp4(self, user: view.User, work_id: str) -> Response | None:
        person = _allowed(user, "broadcast.see")
        storage = self._parts.storage

        def work(session: Session) -> Response | None:
            return master_response(session, storage, _work(session, person, work_id))

        return await self.run(work)

    async def jobs(self, user: view.User, shown: view.JobsShown = "") -> tuple[view.JobRow, ...]:
        person = _allowed(user, "job.see")

        def work(session: Session) -> tuple[view.JobRow, ...]:
            now = _now()
            found = jobs.listed(
                session,
                person.centre_path,
                contract=_contract(person),
                states=jobs.SHOWN[shown] if shown else None,
                housekeeping=False,
                limit=100,
            )
            return tuple(cards.job_row(row, now) for row in found)

        return await self.run(work)

    async def job_log(self, user: view.User, job_id: str) -> tuple[view.JobLine, ...]:
        person = _allowed(user, "job.see")

        def work(session: Session) -> tuple[view.JobLine, ...]:
            try:
                found = jobs.log(
                    session, person.centre_path, _number(job_id), contract=_contract(person)
                )
            except Problem as error:
                raise NotFound from error
            return tuple(view.JobLine(at, text) for at, text in found)

        return await self.run(work)

    async def retry_job(self, user: view.User, job_id: str) -> None:
        person = _allowed(user, "job.steer")

        def work(session: Session) -> None:
            job = jobs.retry(session, person.centre_path, _number(job_id))
            note(session, person.actor(), "job.retry", "job", job_id, centre_id=job.centre_id)

        await self._steer(work)

    async def cancel_job(self, user: view.User, job_id: str) -> None:
        person = _allowed(user, "job.steer")

        def work(session: Session) -> None:
            job = jobs.cancel(session, person.centre_path, _number(job_id))
            note(session, person.actor(), "job.cancel", "job", job_id, centre_id=job.centre_id)

        await self._steer(work)

    # --- refusals ----------------------------------------------------------------------------

    async def _form(self, work: Callable[[Session], T]) -> T | FormErrors:
        try:
            return await self.run(work)
        except Refused as error:
            return _form_errors(error)
        except broadcasts.BroadcastError as error:
            if error.code == "broadcast_not_found":
                raise NotFound from error
            field = _FIELDS.get(error.code.split("_")[0])
            if field is None:
                return FormErrors(general=error.message)
            return FormErrors({field: error.message})

    async def _steer(self, work: Callable[[Session], object]) -> None:
        try:
            await self.run(work)
        except Problem as error:
            if error.code == "job_not_found":
                raise NotFound from error
            if error.code == "job_live":
                raise NotAllowed from error
            # It ended, or began, between the page and the press: the list shows how it stands.
            return


_FIELDS: Final = {
    "title": "title",
    "mode": "mode",
    "login": "login",
    "password": "password",
    "centre": "centre",
    "clip": "stop",
    "planned": "ends_at",
}
_GENERAL: Final = ("clip_no_footage", "clip_nothing_yet")


def _form_errors(error: Refused) -> FormErrors:
    text = sentence(error.code, error.facts)
    field = None if error.code in _GENERAL else _FIELDS.get(error.code.split("_")[0])
    return FormErrors({field: text}) if field else FormErrors(general=text)


def _person(user: view.User) -> Person:
    # Pages hand back what `user_for` gave them; anything else is our own mistake.
    assert isinstance(user, Person)
    return user


def _allowed(user: view.User, action: Action) -> Person:
    person = _person(user)
    if not may(person.role, action):
        raise NotAllowed
    return person


def _find(session: Session, person: Person, broadcast_id: str) -> Broadcast:
    found = answers.find_broadcast(
        session, broadcast_id, centre_path=person.centre_path, contract=_contract(person)
    )
    if found is None:
        raise NotFound
    return found


def _work(session: Session, person: Person, work_id: str) -> Work:
    try:
        return find_work(session, person.actor(), work_id)
    except Missing:
        raise NotFound from None


def _note(session: Session, person: Person, action: str, broadcast: Broadcast) -> None:
    key, centre_id = broadcast.id, broadcast.centre_id
    note(session, person.actor(), action, "broadcast", key, centre_id=centre_id)


def _contract(person: Person) -> str | None:
    return contract_of(person.role, person.contract)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _signed_in(secret: str) -> view.SignedIn:
    return view.SignedIn(secret, accounts.SESSION_DAYS * 86_400)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _media_origins(storage_url: str, endpoint: str | None) -> tuple[str, ...]:
    """Other origins the edge may send players to, for the pages' content policy."""
    if not storage_url.startswith("s3://"):
        return ()
    if endpoint:
        parts = urlsplit(endpoint)
        return (f"{parts.scheme}://{parts.netloc}",)
    bucket = urlsplit(storage_url).netloc
    return (f"https://{bucket}.s3.amazonaws.com", "https://*.amazonaws.com")
