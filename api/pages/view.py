"""What the pages show and ask: plain frozen data, and the one interface that supplies it.

The pages know nothing of rows, Redis or jobs. Whoever serves them hands `page_router` an object
with the methods of `PageDeps`; ids are strings, instants are aware datetimes, lengths are integer
milliseconds, rates are bits per second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from starlette.responses import Response

if TYPE_CHECKING:
    from api.pages.acts.view import ActsBrief, EntryRow, MarksView

AirState = Literal["waiting", "live", "interrupted", "ended"]
"""As the edge says it: nothing yet, on air, feed lost within its grace time, over."""

Mode = Literal["live", "recorded"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobsShown = Literal["", "open", "failed", "done"]
Level = Literal["idle", "good", "warn", "bad"]


class NotFound(Exception):
    """There is no such thing, or it is not this person's to know of: answered as 404."""


class Gone(Exception):
    """It was here and has been taken down: answered as 410."""


class NotAllowed(Exception):
    """This account may not do that: answered as 403."""


@dataclass(frozen=True)
class FormErrors:
    """Why a form was not taken; nothing was changed. `fields` maps a field name to its reason."""

    fields: dict[str, str] = field(default_factory=dict)
    general: str | None = None


# ---- who ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class User:
    id: str
    name: str
    role: str
    centre: str | None = None
    """Name of the centre the account belongs to; None for those who see all."""


@dataclass(frozen=True)
class SignedIn:
    session_token: str
    max_age_s: int


@dataclass(frozen=True)
class SignInRefused:
    reason: Literal["wrong", "slow_down"]
    retry_after_s: int = 0


@dataclass(frozen=True)
class SetupForm:
    """The first staff account, made through the one-time link `xitai up` prints."""

    login: str
    password: str
    name: str
    centre: str
    """Name of the culture centre; may be empty when one already exists."""


# ---- viewers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BroadcastCard:
    """One broadcast in a list of them."""

    id: str
    title: str
    centre: str
    state: AirState
    starts_at: datetime | None
    """Announced start; None when it was never announced."""
    poster_url: str | None = None
    viewers: int = 0
    """Watching now; 0 unless on air."""
    plays: int = 0
    duration_ms: int | None = None
    """Length of the replay, once over."""
    mode: Mode = "live"
    ended_at: datetime | None = None
    off_air: bool = False
    """Taken down: staff see it in their list, and nobody else does."""

    @property
    def href(self) -> str:
        return f"/b/{self.id}"


@dataclass(frozen=True)
class WorkCard:
    """An uploaded recording in a list: it stands among the replays."""

    id: str
    title: str
    centre: str
    poster_url: str | None
    duration_ms: int
    plays: int
    ended_at: datetime | None
    """When it came out."""

    @property
    def href(self) -> str:
        return f"/works/{self.id}"


@dataclass(frozen=True)
class ClipCard:
    id: str
    title: str
    duration_ms: int
    poster_url: str | None = None
    ready: bool = True
    made: str = ""
    """For staff: what was copied and what was encoded, in one line."""


@dataclass(frozen=True)
class Chapter:
    """A line of the programme, and where it is."""

    start_ms: int
    end_ms: int
    title: str


@dataclass(frozen=True)
class Link:
    href: str
    title: str


@dataclass(frozen=True)
class WorkDesk:
    """What staff may know of, and do with, a work that stands on the page."""

    work_id: str
    mp4: Literal["later", "none", "making", "ready", "failed"]
    """Whether its MP4 is at hand; one that is not is made on a wish, once the work is whole."""
    made: str = ""
    """How it was cut, in one line."""
    progress: float | None = None
    note: str = ""
    error: str | None = None
    bytes: int | None = None
    timeline_href: str | None = None
    """Where its acts are found and it is cut."""


@dataclass(frozen=True)
class HomeView:
    on_air: tuple[BroadcastCard, ...] = ()
    coming: tuple[BroadcastCard, ...] = ()
    """Soonest first."""
    replays: tuple[BroadcastCard | WorkCard, ...] = ()
    """Latest first."""
    clips: tuple[ClipCard, ...] = ()


@dataclass(frozen=True)
class BroadcastPageView:
    """The watch page: the same address before, during and after."""

    card: BroadcastCard
    description: str
    hls_url: str
    """/hls/{token}/main.m3u8: live while on air, the replay afterwards."""
    plain_url: str
    """/hls/{token}/plain.m3u8: no parts, for players that stumble over them."""
    replay_hls_url: str | None
    """/hls/{token}/replay.m3u8: from the first second; None while there is nothing to play."""
    audio_live_url: str | None
    """/hls/{token}/a/live.m3u8: sound alone."""
    audio_replay_url: str | None
    clips: tuple[ClipCard, ...] = ()
    storyboard_url: str | None = None
    """WebVTT of small pictures, for the scrubber of the replay."""
    chapters: tuple[Chapter, ...] = ()
    """Of the replay."""
    programme: tuple[EntryRow, ...] = ()
    """The programme list, where there is one."""


@dataclass(frozen=True)
class ClipPageView:
    id: str
    title: str
    duration_ms: int
    hls_url: str
    mp4_url: str | None
    poster_url: str | None
    broadcast: BroadcastCard | None
    """What it was cut from."""
    plays: int = 0
    ready: bool = True
    sources: tuple[Link, ...] = ()
    """What it was cut from, where that is not the one broadcast."""
    forms: tuple[Link, ...] = ()
    """The same in another form (vertical, square, wide is its title), for phones."""
    form: str = "wide"
    storyboard_url: str | None = None
    chapters: tuple[Chapter, ...] = ()


@dataclass(frozen=True)
class WorkPageView:
    """An uploaded recording; while it is being made, as far as it goes."""

    id: str
    title: str
    centre: str
    duration_ms: int
    """Of what can be watched by now."""
    hls_url: str
    poster_url: str | None
    playable: bool
    ready: bool
    progress: float | None = None
    """0 to 1, while it is being made."""
    eta_s: int | None = None
    published_at: datetime | None = None
    plays: int = 0
    broadcast: BroadcastCard | None = None
    """The show it is of."""
    clips: tuple[ClipCard, ...] = ()
    storyboard_url: str | None = None
    chapters: tuple[Chapter, ...] = ()


# ---- the desk -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Centre:
    id: str
    name: str


@dataclass(frozen=True)
class OwedLine:
    """今年还欠 in one line, on the desk's first page."""

    text: str
    status: Literal["late", "behind", "met"]


@dataclass(frozen=True)
class BroadcastForm:
    title: str
    starts_at: datetime | None
    centre_id: str | None
    mode: Mode
    description: str
    ends_at: datetime | None = None


@dataclass(frozen=True)
class PushAddress:
    """Where the encoder sends. The key is in our hands this once only."""

    rtmp_url: str
    """rtmp://host:port/live, without the key."""
    stream_key: str


@dataclass(frozen=True)
class Created:
    broadcast_id: str
    push: PushAddress


@dataclass(frozen=True)
class HealthPoint:
    at_s: int
    bitrate_bps: int
    fps: float


@dataclass(frozen=True)
class RungHealth:
    name: str
    bitrate_bps: int
    fps: float


@dataclass(frozen=True)
class FeedHealth:
    """What comes in, and what is made of it, within the last second or two."""

    connected: bool
    """A publisher is sending now."""
    bitrate_bps: int = 0
    fps: float = 0.0
    audio_bps: int = 0
    width: int | None = None
    height: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    encoder: str | None = None
    rtt_ms: int | None = None
    dropped: int = 0
    """Frames missing from the take so far."""
    late_ms: int = 0
    """How far arrival lags behind the feed's own clock."""
    key_interval_ms: int = 0
    log_bytes: int = 0
    disk_free_bytes: int | None = None
    history: tuple[HealthPoint, ...] = ()
    """About one a second, oldest first, at most 120."""
    rungs: tuple[RungHealth, ...] = ()
    """What viewers are offered now; empty when no live job runs."""
    lag_ms: int | None = None
    """How far the live job is behind the log; None when no live job runs."""
    speed: float | None = None
    restarts: int = 0
    codes: tuple[str, ...] = ()
    """Warnings and advice of ingest and the live job, as codes; `checks.py` has the words."""
    viewers: int = 0


@dataclass(frozen=True)
class TakeRow:
    number: int
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int


@dataclass(frozen=True)
class GapRow:
    started_at: datetime
    duration_ms: int


@dataclass(frozen=True)
class Counts:
    """Kept apart on purpose (COUNTING): page views, play starts, effective plays, devices."""

    views: int = 0
    starts: int = 0
    effective: int = 0
    devices: int = 0
    completed: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    """Page views and starts the rules left out, by reason: robot, rate, double_click."""


@dataclass(frozen=True)
class QualityView:
    """How it plays for viewers, as their players tell."""

    sessions: int = 0
    startup_p50_ms: int | None = None
    startup_p95_ms: int | None = None
    rebuffer_permille: int = 0
    bitrate_bps: int | None = None
    troubled: int = 0
    slow_startup_ms: int = 5_000
    much_rebuffer_permille: int = 20
    """What makes a play a troubled one."""

    @property
    def level(self) -> Level:
        if not self.sessions:
            return "idle"
        share = self.troubled / self.sessions
        return "good" if share < 0.05 else "warn" if share < 0.2 else "bad"


@dataclass(frozen=True)
class DeskBroadcastView:
    card: BroadcastCard
    description: str
    rtmp_url: str
    """The push address without its key, to be shown at any time."""
    hls_url: str
    health: FeedHealth
    started_at: datetime | None = None
    takes: tuple[TakeRow, ...] = ()
    gaps: tuple[GapRow, ...] = ()
    finished_ms: int = 0
    raw_ms: int = 0
    images: int = 0
    """Confirmed ones."""
    stills: int = 0
    """Pictures, proposed or sent in, that wait for an answer."""
    counts: Counts = Counts()
    replay_hls_url: str | None = None
    clips: tuple[ClipCard, ...] = ()
    jobs: tuple[JobRow, ...] = ()
    """The long work of this broadcast that has not finished, or has failed."""
    peak_viewers: int = 0
    standing: str = "own"
    """own, linked, reshown or test: how it counts."""
    origin: BroadcastCard | None = None
    """Of a linked or re-shown one: what it shows."""
    recording: WorkDesk | None = None
    """Once it is over: its MP4."""
    marks: MarksView | None = None
    """Before and during the show: 打点, and whose turn it is."""
    acts: ActsBrief | None = None
    """After it: how far its acts are."""
    short_of_ms: int = 0
    """How long it was to be live, when it was on for less than half of that and nobody has said
    yet how it counts."""


@dataclass(frozen=True)
class ClipForm:
    """Stretches of the replay, one after the other: (in, out), positions in it."""

    title: str
    pieces_ms: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ClipQueued:
    clip_id: str
    job_id: str


@dataclass(frozen=True)
class JobLine:
    """A line of a job's log."""

    at: datetime
    text: str


@dataclass(frozen=True)
class JobRow:
    id: str
    kind: str
    """live, compact, ship_take, poster, clip; other kinds show as themselves."""
    subject: str
    """What it works on, as staff know it: a broadcast's or a clip's title."""
    state: JobState
    created_at: datetime
    progress: float | None = None
    """0 to 1; None when it cannot be known."""
    eta_s: int | None = None
    note: str | None = None
    attempt: int = 1
    error: str | None = None
    log: bool = True
    """Whether there is one to unfold."""
    broadcast_id: str | None = None
    finished_at: datetime | None = None
    href: str | None = None
    """The page of what it works on."""

    @property
    def can_retry(self) -> bool:
        return self.state in ("failed", "cancelled")

    @property
    def can_cancel(self) -> bool:
        # Ending the show is what stops a live job; cancelling it behind the desk's back is not.
        return self.state in ("queued", "running") and self.kind != "live"


# ---- the interface ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PageConfig:
    """Fixed for the life of the process."""

    production: bool
    """Off: /desk/components is open to anyone, templates reload."""
    timezone: str = "Asia/Shanghai"
    public_url: str | None = None
    """What QR codes and share cards name; None: the address the request came to."""
    secure_cookies: bool = False
    """On when the public address is https."""
    media_origins: tuple[str, ...] = ()
    """Other origins media may be redirected to (an S3 endpoint), for the page's CSP."""


class PageDeps(Protocol):
    """Everything the pages need. Methods that name a user raise NotFound or NotAllowed."""

    @property
    def config(self) -> PageConfig: ...

    # viewers
    async def home(self) -> HomeView: ...
    async def broadcast_page(self, broadcast_id: str) -> BroadcastPageView | None: ...
    async def clip_page(self, clip_id: str) -> ClipPageView | None: ...
    async def work_page(self, work_id: str) -> WorkPageView | str | None:
        """An uploaded recording; of any other work the path of its own page."""
        ...

    # who
    async def user_for(self, session_token: str) -> User | None: ...
    async def sign_in(self, login: str, password: str, client: str) -> SignedIn | SignInRefused:
        """`client` is the peer address, for the brake on guessing."""
        ...

    async def sign_out(self, session_token: str) -> None: ...
    async def setup_open(self, setup_token: str) -> bool:
        """Whether this one-time link still opens."""
        ...

    async def setup(self, setup_token: str, form: SetupForm) -> SignedIn | FormErrors: ...

    # the desk
    async def desk_broadcasts(self, user: User) -> tuple[BroadcastCard, ...]:
        """On air first, then coming (soonest first), then over (latest first)."""
        ...

    async def owed(self, user: User) -> OwedLine | None:
        """None: this year has no plan, or it is not this person's to see."""
        ...

    async def centres(self, user: User) -> tuple[Centre, ...]: ...
    async def create_broadcast(self, user: User, form: BroadcastForm) -> Created | FormErrors: ...
    async def desk_broadcast(self, user: User, broadcast_id: str) -> DeskBroadcastView: ...
    async def quality(self, user: User, broadcast_id: str) -> QualityView | None:
        """None: figures are not this person's to see."""
        ...

    async def rotate_key(self, user: User, broadcast_id: str) -> PushAddress: ...
    async def set_standing(
        self, user: User, broadcast_id: str, standing: str, origin: str
    ) -> FormErrors | None:
        """How it counts; `origin` is the id or watch address of what it shows."""
        ...

    async def end_broadcast(self, user: User, broadcast_id: str) -> None:
        """Idempotent: ending what is over changes nothing."""
        ...

    async def create_clip(
        self, user: User, broadcast_id: str, form: ClipForm
    ) -> ClipQueued | FormErrors: ...
    async def work_desk(self, user: User | None, work_id: str) -> WorkDesk | None:
        """None: it is not this person's to know of (or nobody is signed in)."""
        ...

    async def make_mp4(self, user: User, work_id: str) -> None:
        """Promise the MP4; one that is there, or on its way, stays."""
        ...

    async def mp4(self, user: User, work_id: str) -> Response | None:
        """The file, or None while it is not made."""
        ...

    async def jobs(self, user: User, shown: JobsShown = "") -> tuple[JobRow, ...]:
        """Running first, then waiting, then failed, then the latest of the rest; parts of a job
        are not listed beside it."""
        ...

    async def job_log(self, user: User, job_id: str) -> tuple[JobLine, ...]:
        """What it said, oldest first."""
        ...

    async def retry_job(self, user: User, job_id: str) -> None: ...
    async def cancel_job(self, user: User, job_id: str) -> None: ...
