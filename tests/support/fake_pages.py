"""An in-memory PageDeps with a broadcast in every state, and an app to look at its pages.

granian --interface asgi --factory tests.support.fake_pages:make_app
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from api.making import made_line
from api.pages import gallery
from api.pages.routes import install_error_pages, page_router
from api.pages.view import (
    AirState,
    BroadcastCard,
    BroadcastForm,
    BroadcastPageView,
    Centre,
    Chapter,
    ClipCard,
    ClipForm,
    ClipPageView,
    ClipQueued,
    Counts,
    Created,
    DeskBroadcastView,
    FeedHealth,
    FormErrors,
    GapRow,
    HomeView,
    JobLine,
    JobRow,
    JobsShown,
    Link,
    NotFound,
    OwedLine,
    PageConfig,
    PushAddress,
    QualityView,
    SetupForm,
    SignedIn,
    SignInRefused,
    TakeRow,
    User,
    WorkCard,
    WorkDesk,
    WorkPageView,
)

LIVE = "/hls/live/main.m3u8"
REPLAY = "/hls/replay/main.m3u8"
BOARD = "/hls/replay/storyboard.vtt"
PASSWORD = "good-password"
KEY = "k9Qm2vXw7LrT4pNz8sYb1A"
_CHAPTERS = (
    Chapter(0, 4_000, "主持人开场"),
    Chapter(4_000, 7_500, "象脚鼓舞《欢腾的勐混》 勐混镇曼蚌村文艺队"),
    Chapter(7_500, 12_000, "布朗弹唱《茶山敬酒歌》"),
)
_STAFF = User("u1", "岩温罕", "staff", "勐海县文化馆")
_TEXT = (
    "象脚鼓舞、布朗弹唱、傣族武术，还有村里小朋友的合唱。\n"
    "演出约两小时，地点：勐混镇曼蚌村广场。欢迎乡亲们转发。"
)


class FakePages:
    """Holds everything in dicts; what is on air plays LIVE, what is over plays REPLAY."""

    def __init__(self, *, empty: bool = False) -> None:
        self.config = PageConfig(production=False)
        now = datetime.now(UTC)
        self.plays: list[dict[str, Any]] = []
        self.clips_made: list[ClipCard] = []
        self.mp4s: set[str] = set()
        self.job_rows = {} if empty else {job.id: job for job in gallery.jobs(now)}
        cards = () if empty else gallery.cards(now)
        self.cards: dict[str, BroadcastCard] = {card.id: card for card in cards}
        for id, picture in (("b-live", 1), ("b-over", 2)):
            if id in self.cards:
                self.cards[id] = replace(self.cards[id], poster_url=f"/fake/poster{picture}.svg")
        self.health = {
            id: gallery.health() if card.state == "live" else FeedHealth(connected=False)
            for id, card in self.cards.items()
        }

    # viewers

    def _in(self, *states: AirState) -> tuple[BroadcastCard, ...]:
        return tuple(card for card in self.cards.values() if card.state in states)

    async def home(self) -> HomeView:
        over: tuple[BroadcastCard | WorkCard, ...] = self._in("ended")
        if self.cards:
            old = "1998 年傣族泼水节文艺晚会录像带转录"
            over += (
                WorkCard("w-whole", old, "勐海县文化馆", None, 5_412_000, 86, datetime.now(UTC)),
            )
        return HomeView(self._in("live", "interrupted"), self._in("waiting"), over, self._clips())

    def _clips(self) -> tuple[ClipCard, ...]:
        if not self.cards:
            return ()
        return (
            ClipCard("c1", "象脚鼓舞", 204_000, "/fake/poster2.svg"),
            ClipCard("c2", "布朗弹唱《茶山敬酒歌》与小卜少孔雀舞", 187_000),
            *self.clips_made,
        )

    async def broadcast_page(self, broadcast_id: str) -> BroadcastPageView | None:
        card = self.cards.get(broadcast_id)
        if card is None:
            return None
        replay = None if card.state == "waiting" else REPLAY
        hls = REPLAY if card.state == "ended" else LIVE
        if card.state != "ended":
            return BroadcastPageView(card, _TEXT, hls, hls, replay, LIVE, REPLAY)
        return BroadcastPageView(
            card, _TEXT, hls, hls, replay, LIVE, REPLAY, self._clips(), BOARD, _CHAPTERS
        )

    async def clip_page(self, clip_id: str) -> ClipPageView | None:
        clip = next((c for c in self._clips() if c.id == clip_id), None)
        if clip is None:
            return None
        return ClipPageView(
            clip.id,
            clip.title,
            clip.duration_ms,
            REPLAY,
            "/hls/replay/download.mp4",
            clip.poster_url,
            self.cards.get("b-over"),
            plays=532,
            ready=clip.ready,
            forms=(Link("/clips/c2", "vertical"),),
            storyboard_url=BOARD,
            chapters=_CHAPTERS[:2] if clip.id == "c2" else (),
        )

    async def work_page(self, work_id: str) -> WorkPageView | str | None:
        if work_id not in ("w-whole", "w-making") or not self.cards:
            return {"c1": "/clips/c1"}.get(work_id)
        whole = work_id == "w-whole"
        return WorkPageView(
            id=work_id,
            title="1998 年傣族泼水节文艺晚会录像带转录（上集，勐海县文化馆库存第 37 号带）",
            centre="勐海县文化馆",
            duration_ms=5_412_000 if whole else 1_260_000,
            hls_url=REPLAY,
            poster_url="/fake/poster1.svg",
            playable=True,
            ready=whole,
            progress=None if whole else 0.37,
            eta_s=None if whole else 412,
            published_at=datetime.now(UTC) - timedelta(days=2),
            plays=86,
            clips=self._clips() if whole else (),
            storyboard_url=BOARD if whole else None,
            chapters=_CHAPTERS if whole else (),
        )

    # who

    async def user_for(self, session_token: str) -> User | None:
        return _STAFF if session_token == "session" else None

    async def sign_in(self, login: str, password: str, client: str) -> SignedIn | SignInRefused:
        if login == "slow":
            return SignInRefused("slow_down", 30)
        return SignedIn("session", 3600) if password == PASSWORD else SignInRefused("wrong")

    async def sign_out(self, session_token: str) -> None:
        return None

    async def setup_open(self, setup_token: str) -> bool:
        return setup_token == "once"

    async def setup(self, setup_token: str, form: SetupForm) -> SignedIn | FormErrors:
        if form.login == "taken":
            return FormErrors({"login": "这个用户名已经有人用了。"})
        return SignedIn("session", 3600)

    # the desk

    def _card(self, broadcast_id: str) -> BroadcastCard:
        if broadcast_id not in self.cards:
            raise NotFound
        return self.cards[broadcast_id]

    async def desk_broadcasts(self, user: User) -> tuple[BroadcastCard, ...]:
        return tuple(self.cards.values())

    async def owed(self, user: User) -> OwedLine | None:
        if not self.cards:
            return None
        return OwedLine("今年还欠：成片 42 分钟、音视频更新 20 条、从业人员培训 1 次。", "late")

    async def centres(self, user: User) -> tuple[Centre, ...]:
        return (Centre("1", "勐海县文化馆"), Centre("2", "勐混镇综合文化站"))

    async def create_broadcast(self, user: User, form: BroadcastForm) -> Created | FormErrors:
        id = f"b-new{len(self.cards)}"
        self.cards[id] = BroadcastCard(
            id, form.title, "勐海县文化馆", "waiting", form.starts_at, mode=form.mode
        )
        self.health[id] = FeedHealth(connected=False)
        return Created(id, await self.rotate_key(user, id))

    async def desk_broadcast(self, user: User, broadcast_id: str) -> DeskBroadcastView:
        card = self._card(broadcast_id)
        view = DeskBroadcastView(
            card,
            _TEXT,
            "rtmp://192.0.2.10:1935/live",
            REPLAY if card.state == "ended" else LIVE,
            self.health[card.id],
        )
        if card.state == "waiting":
            return view
        start = card.starts_at or datetime.now(UTC)
        view = replace(view, started_at=start, replay_hls_url=REPLAY)
        if card.state != "ended":
            return view
        return replace(
            view,
            takes=(
                TakeRow(1, start, start + timedelta(minutes=61), 3_672_000),
                TakeRow(2, start + timedelta(minutes=62), card.ended_at, 2_460_000),
            ),
            gaps=(GapRow(start + timedelta(minutes=61), 47_000),),
            finished_ms=6_132_000,
            raw_ms=6_138_000,
            counts=Counts(9_820, 8_412, 7_905, 3_361, 2_204, {"robot": 86, "double_click": 311}),
            peak_viewers=1_286,
            clips=self._clips(),
            recording=await self.work_desk(user, card.id),
            jobs=tuple(job for job in self.job_rows.values() if job.state == "running"),
        )

    async def quality(self, user: User, broadcast_id: str) -> QualityView | None:
        if self._card(broadcast_id).state == "ended":
            return QualityView(214, 900, 3_800, 4, 1_650_000, 6)
        return QualityView(38, 1_400, 7_200, 31, 820_000, 9)

    async def rotate_key(self, user: User, broadcast_id: str) -> PushAddress:
        self._card(broadcast_id)
        return PushAddress("rtmp://192.0.2.10:1935/live", KEY)

    async def set_standing(
        self, user: User, broadcast_id: str, standing: str, origin: str
    ) -> FormErrors | None:
        needs = standing in ("linked", "reshown") and not origin
        return FormErrors({"origin": "请填所转播的那一场。"}) if needs else None

    async def end_broadcast(self, user: User, broadcast_id: str) -> None:
        self.set_state(broadcast_id, "ended")

    def set_state(self, broadcast_id: str, state: AirState) -> None:
        card = self._card(broadcast_id)
        over = datetime.now(UTC) if state == "ended" else None
        self.cards[broadcast_id] = replace(card, state=state, ended_at=over)
        self.health[broadcast_id] = (
            gallery.health() if state == "live" else FeedHealth(connected=False)
        )

    async def create_clip(
        self, user: User, broadcast_id: str, form: ClipForm
    ) -> ClipQueued | FormErrors:
        self._card(broadcast_id)
        if max(stop for _, stop in form.pieces_ms) > 6_132_000:
            return FormErrors({"stop": "结束超出了回看的长度（1:42:12）。"})
        id = f"c-new{len(self.clips_made)}"
        length = sum(stop - start for start, stop in form.pieces_ms)
        self.clips_made.append(ClipCard(id, form.title, length, None, False))
        return ClipQueued(id, "j1")

    async def work_desk(self, user: User | None, work_id: str) -> WorkDesk | None:
        if user is None or work_id == "nothing":
            return None
        if work_id in self.mp4s:
            return WorkDesk(work_id, "making", progress=0.42, note="正在合成 MP4")
        if work_id == "w-making":
            return WorkDesk(work_id, "later")
        if work_id.startswith("c"):
            made = made_line({"copied": 4_980, "encoded": 62})
            return WorkDesk(work_id, "ready", made, bytes=48_211_020)
        return WorkDesk(work_id, "none", timeline_href="/desk")

    async def make_mp4(self, user: User, work_id: str) -> None:
        self.mp4s.add(work_id)

    async def mp4(self, user: User, work_id: str) -> Response | None:
        return Response(b"mp4", media_type="video/mp4") if work_id.startswith("c") else None

    async def jobs(self, user: User, shown: JobsShown = "") -> tuple[JobRow, ...]:
        states = {"open": ("running", "queued"), "failed": ("failed",)}.get(shown)
        rows = self.job_rows.values()
        return tuple(row for row in rows if states is None or row.state in states)

    async def job_log(self, user: User, job_id: str) -> tuple[JobLine, ...]:
        if job_id not in self.job_rows:
            raise NotFound
        return gallery.job_lines(datetime.now(UTC))

    async def retry_job(self, user: User, job_id: str) -> None:
        self._move(job_id, "queued")

    async def cancel_job(self, user: User, job_id: str) -> None:
        self._move(job_id, "cancelled")

    def _move(self, job_id: str, state: Any) -> None:
        if job_id not in self.job_rows:
            raise NotFound
        self.job_rows[job_id] = replace(self.job_rows[job_id], state=state, error=None)


_POSTER = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360"><rect width="640" height="360"'
    ' fill="{sky}"/><circle cx="470" cy="120" r="54" fill="{sun}"/><path fill="#241611" d="M0 290'
    "c120-60 210-70 320-40s220 20 320-30v140H0z"
    '"/><path fill="#0f0a08" d="M150 230c60-4 110-34 140-80 30 46 80 76 140 80v16H150z'
    'M186 246h16v70h-16zm192 0h16v70h-16zM160 316h260v14H160z"/></svg>'
)


def make_app(media: Path | None = None) -> FastAPI:
    """The pages over a fake; FAKE_PAGES_EMPTY=1 for nothing in it, FAKE_PAGES_MEDIA for HLS."""
    asked = os.environ.get("FAKE_PAGES_MEDIA")
    folder = media or (Path(asked) if asked else None)
    fake = FakePages(empty=os.environ.get("FAKE_PAGES_EMPTY") == "1")
    app = FastAPI()
    app.state.fake = fake

    @app.get("/fake/poster{n}.svg")
    async def poster(n: int) -> Response:
        sky, sun = ("#7c2a1c", "#e9b45c") if n == 1 else ("#33465a", "#f0dfb4")
        return Response(_POSTER.format(sky=sky, sun=sun), media_type="image/svg+xml")

    @app.post("/fake/state/{broadcast_id}/{state}")
    async def state(broadcast_id: str, state: AirState) -> Response:
        fake.set_state(broadcast_id, state)
        return Response(status_code=204)

    @app.get("/fake/plays")
    async def seen() -> JSONResponse:
        return JSONResponse(fake.plays)

    @app.get("/fake/crash")
    async def crash() -> Response:
        raise RuntimeError("asked for")

    @app.post("/api/v1/plays")
    async def plays(request: Request) -> Response:
        known = {event["event_id"] for event in fake.plays}
        body = await request.json()
        fake.plays += [e for e in body["events"] if e["event_id"] not in known]
        return Response(status_code=204)

    @app.get("/api/v1/broadcasts/{broadcast_id}/public")
    async def public(broadcast_id: str) -> JSONResponse:
        card = fake._card(broadcast_id)
        return JSONResponse(
            {
                "state": card.state,
                "viewers": card.viewers,
                "title": card.title,
                "starts_at": card.starts_at.isoformat() if card.starts_at else None,
                "hls_url": REPLAY if card.state == "ended" else LIVE,
                "poster_url": card.poster_url,
                "replay_hls_url": None if card.state == "waiting" else REPLAY,
            }
        )

    @app.get("/hls/{name:path}")
    async def hls(name: str) -> Response:
        path = (folder / name).resolve() if folder else None
        if folder is None or path is None or not path.is_relative_to(folder) or not path.is_file():
            return Response(status_code=404)
        kind = "application/vnd.apple.mpegurl" if name.endswith(".m3u8") else None
        return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})

    app.include_router(page_router(fake))
    install_error_pages(app, fake)
    return app
