"""A small gala through the real job: acts are proposed, extras listed; cancelled, it leaves
nothing."""

from __future__ import annotations

import datetime as dt
import json
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

import vod.acts.jobs
import vod.jobs
from bench import acts_sounds
from bench.acts_gala import FPS, SIZE, Gala, encode, gala
from catalog.acts import ActWish, Line, acts, add_mark, save_acts, set_programme, version
from catalog.audit import Actor
from catalog.errors import Missing, Refused
from catalog.models import Act, Broadcast, Extra, Work
from catalog.resources import register_recording
from infra.database import Database
from infra.jobs import JobCancelled, JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import Show, air_file, air_take, new_show
from tests.support.media import Footage
from vod.acts.finding import find_acts
from vod.acts.service import AUTOMATIC_TICKS, promise_missing, request_analysis
from vod.encode import Beat, silent

SECOND = 90_000
ACTOR = Actor(None, "岩温罕", "staff")

pytestmark = pytest.mark.skipif(
    "espeak-ng" in acts_sounds.missing(), reason="espeak-ng is not installed (make test-tools)"
)


@pytest.fixture(scope="module")
def small_gala(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gala, Path]:
    """Three acts in about four minutes."""
    made = gala(42, shelf="made", acts=3, lengths=(40, 55))
    return made, encode(made, tmp_path_factory.mktemp("gala") / "gala.flv")


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path,
    small_gala: tuple[Gala, Path],
) -> Show:  # fmt: skip
    made = new_show(settings, database, ffmpeg, tmp_path)
    footage = Footage(seconds=small_gala[0].seconds, fps=FPS, size=SIZE)  # type: ignore[arg-type]
    air_file(made, small_gala[1], footage, ("v", "a"))
    return made


@pytest.fixture
def runner(database: Database, settings: Settings) -> JobRunner:
    return JobRunner(database, settings, threading.Event())


def ask(show: Show) -> Job:
    with show.database.transaction() as session:
        return request_analysis(session, show.token, by=None)


def standing(show: Show) -> list[Act]:
    with show.database.transaction() as session:
        return acts(session, show.token)


def test_a_gala_through_the_job(
    show: Show, runner: JobRunner, small_gala: tuple[Gala, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = small_gala[0].acts
    job = ask(show)
    assert ask(show).id == job.id, "asked twice, done once"
    assert runner.look(job.id) == "done"
    found = standing(show)
    for act, true in zip(found, truth, strict=True):
        assert abs(act.start_ticks / SECOND - true.start) <= 2
        assert abs(act.end_ticks / SECOND - true.end) <= 2
        assert act.state == "proposed"
        assert act.confidence > 0
        assert sum(weight for _, weight in act.reasons) == pytest.approx(1000, abs=5)
    with show.database.transaction() as session:
        wave = session.get_one(Extra, (show.token, "waveform"))
        strip = session.get_one(Extra, (show.token, "analysis"))
    peaks = show.storage.get(wave.storage_key)
    assert wave.facts == {"per_second": 10, "bytes": len(peaks)}
    assert len(peaks) == pytest.approx(10 * small_gala[0].seconds, abs=5)
    assert max(peaks) > 20
    sounds = json.loads(show.storage.get(strip.storage_key))["sounds"]
    assert {"speech", "applause"} <= {kind for _, _, kind in sounds}
    assert all(before[1] <= after[0] for before, after in pairwise(sounds))

    # What people say changes what is proposed, and nothing is decoded again for it.
    monkeypatch.setattr(vod.acts.finding, "watch", None)
    first = found[0]
    with show.database.transaction() as session:
        lines = [Line(act.title, act.genre) for act in truth]
        entries = set_programme(session, ACTOR, show.token, lines)
        ids = [entry.id for entry in entries]
        add_mark(session, ACTOR, show.token, round((truth[1].start + 3) * SECOND))
        wish = ActWish(first.start_ticks + 7, first.end_ticks, "开场", first.id, ids[0])
        save_acts(session, ACTOR, show.token, [wish], expect=version(session, show.token))
    assert runner.look(ask(show).id) == "done"
    again = standing(show)
    assert [act.entry_id for act in again] == ids
    assert [act.title for act in again] == ["开场", truth[1].title, truth[2].title]
    assert [act.state for act in again] == ["confirmed", "proposed", "proposed"]
    assert again[0].start_ticks == first.start_ticks + 7, "a person's word stands"
    assert {"mark", "listed"} <= {code for code, _ in again[1].reasons}


def test_a_cancelled_analysis_leaves_nothing(show: Show) -> None:
    def stop(after: float) -> Beat:
        def beat(share: float | None, note: str | None) -> None:
            if share is not None and share >= after:
                raise JobCancelled

        return beat

    for share in (0.05, 0.95):
        with pytest.raises(JobCancelled):
            find_acts(show.tools, show.token, stop(share))
    assert standing(show) == []
    with show.database.transaction() as session:
        assert session.scalars(select(Extra)).all() == []
    assert list(show.storage.list("extras/")) == []
    assert list((show.settings.data / "tmp").iterdir()) == []


def test_what_people_do_meanwhile_is_looked_at_again(
    show: Show, small_gala: tuple[Gala, Path]
) -> None:
    truth = small_gala[0].acts
    listed: list[int] = []

    def beat(share: float | None, note: str | None) -> None:
        # The list comes in after what people said was read.
        if note is None and share is None and reading and not listed:
            with show.database.transaction() as session:
                lines = [Line(act.title, act.genre) for act in truth]
                listed.extend(e.id for e in set_programme(session, ACTOR, show.token, lines))
        if share is not None and share >= 0.95:
            reading.append(True)

    reading: list[bool] = []
    find_acts(show.tools, show.token, beat)
    assert [act.entry_id for act in standing(show)] == listed


def test_asking_for_what_cannot_be(settings: Settings, database: Database, ffmpeg: str,
                                   tmp_path: Path) -> None:  # fmt: skip
    empty = new_show(settings, database, ffmpeg, tmp_path)
    with database.transaction() as session:
        with pytest.raises(Refused) as refused:
            request_analysis(session, empty.token, by=None)
        assert refused.value.code == "acts_no_footage"
        with pytest.raises(Missing):
            request_analysis(session, "nothing", by=None)


def test_long_programmes_are_analysed_by_themselves_while_nothing_is_on_air(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path, media_folder: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(seconds=4), media_folder)
    now = dt.datetime.now(dt.UTC)
    show.end()
    with database.transaction() as session:
        register_recording(session, show.broadcast())
        assert promise_missing(session, now) == 0, "it is short"
        work = session.scalars(select(Work).where(Work.media_token == show.token)).one()
        work.duration_ticks = AUTOMATIC_TICKS
    other = new_show(settings, database, ffmpeg, tmp_path)
    with database.transaction() as session:
        on_air = session.get_one(Broadcast, other.broadcast_id)
        on_air.state = "live"
        session.flush()
        assert promise_missing(session, now) == 0
        on_air.state = "ended"
        session.flush()
        assert promise_missing(session, now) == 1
        assert promise_missing(session, now) == 0, "it was asked for already"
        job = session.scalars(select(Job).where(Job.kind == "acts")).one()
        assert (job.queue, job.args["token"]) == ("vod", show.token)


def test_sound_alone(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path,
    small_gala: tuple[Gala, Path],
) -> None:  # fmt: skip
    show = new_show(settings, database, ffmpeg, tmp_path)
    footage = Footage(seconds=small_gala[0].seconds, video=False)
    air_file(show, small_gala[1], footage, ("a",))
    find_acts(show.tools, show.token, silent)
    starts = [act.start_ticks / SECOND for act in standing(show)]
    assert starts == pytest.approx([act.start for act in small_gala[0].acts], abs=3)
