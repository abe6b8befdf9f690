"""Phone forms, measured on the files that come out: the subject inside, a calm crop, every frame at
its time, the words as they were typed, the sound at −16 LUFS; and nothing half-made listed."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from sqlalchemy import func, select

import vod.forms.jobs
from api.handlers import HANDLER_MODULES
from catalog.errors import Refused
from catalog.ledger import micro_ticks
from catalog.minutes import TICKS_A_SECOND as T
from catalog.models import AirItem, Rendition, Resource, Work
from infra.database import Database
from infra.jobs import JobCancelled, JobRunner, cancel
from infra.settings import Settings
from infra.storage import open_storage
from infra.tables import Job
from tests.support.clip_shelf import shelve
from tests.support.dancer import Dance, Film, bodies, film, ramp_place, read
from tests.support.media import Footage, make_footage, read_beeps, read_sound
from tests.support.stage import make_stage
from vod.forms.asking import forms_of, request_form, request_form_of_stretch
from vod.forms.lettering import lower_third
from vod.forms.making import make_form
from vod.forms.path import Bounds
from vod.forms.sound import even_sound
from vod.forms.wishes import Third
from vod.jobs import settle_clips
from vod.shelving import give_up
from vod.tools import Tools

NASTY = "%{pts}':drawtext=[a]"


@pytest.fixture
def tools(settings: Settings, database: Database) -> Tools:
    return Tools(settings, database, open_storage(settings))


@pytest.fixture(scope="module")
def danced(ffmpeg: str, media_folder: Path) -> Film:
    """A dancer who crosses the stage and back, hidden for a second."""
    return film(ffmpeg, media_folder / "danced.mp4", Dance(seconds=8, hidden=(4, 5)))


def ask(tools: Tools, source: Work, form: str = "vertical", **wishes: Any) -> Work:
    with tools.database.transaction() as session:
        work, job = request_form(session, work_id=source.id, form=form, created_by=None, **wishes)
        assert (job.kind, job.queue, job.args) == ("form", "edit", {"work_id": work.id})
        return work


def made(tools: Tools, work: Work) -> tuple[Work, Path]:
    make_form(tools, work.id)
    with tools.database.transaction() as session:
        done = session.get_one(Work, work.id)
    path = tools.storage.local_path(done.mp4_key or "")
    assert path is not None
    return done, path


def times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(
            round(packet.pts * packet.time_base * T)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.time_base is not None
        )


def loudness(ffmpeg: str, path: Path) -> tuple[float, float]:
    """(integrated LUFS, true peak dBTP) as FFmpeg's own summary has them."""
    argv = [ffmpeg, "-hide_banner", "-i", str(path), "-af", "ebur128=peak=true:framelog=quiet"]
    said = subprocess.run([*argv, "-f", "null", "-"], capture_output=True, check=True).stderr
    summary = said[said.rindex(b"Summary") :].decode()
    integrated = re.search(r"I:\s+(-?[\d.]+|-inf) LUFS", summary)
    peak = re.search(r"Peak:\s+(-?[\d.]+|-inf) dBFS", summary)
    assert integrated is not None
    assert peak is not None
    return float(integrated[1]), float(peak[1])


@pytest.mark.slow
def test_the_dancer_stays_inside_and_the_crop_is_calm(
    tools: Tools, danced: Film, ffmpeg: str
) -> None:
    source = shelve(tools, danced.path, seconds=8)
    thirds = [Third(NASTY, "领舞 · 勐混镇", 5 * T, 7 * T)]
    work, path = made(tools, ask(tools, source, lower_thirds=thirds))
    facts = work.making["facts"]
    frames = list(read(path))

    # Every frame of the source, at its time.
    assert times(path) == times(danced.path)
    assert len(frames) == danced.dance.frames
    assert work.duration_ticks == source.duration_ticks
    assert {picture.shape for _, picture in frames} == {(1280, 720, 3)}

    # Where the crop lay, by the ramp in the picture itself; whether all of the dancer is in it.
    lay = np.array([ramp_place(picture) for _, picture in frames])
    body, half, crop = danced.dance.body / 2, facts["crop"] / 2, facts["crop"]
    held = np.abs(np.array(danced.places) - lay) <= half - body + 0.01
    assert held.mean() >= 0.95
    whole = 0
    for number, (_, picture) in enumerate(frames):
        found = bodies(picture)
        hidden = 100 <= number < 125
        whole += hidden or (found is not None and found[0] > 0 and found[1] < 720)
    assert whole / len(frames) >= 0.95

    # Its acceleration over 0.2 s either side: never more than what it is over less.
    step, seconds = 5, 0.2
    moved = lay / crop
    sharp = (moved[2 * step :] - 2 * moved[step:-step] + moved[: -2 * step]) / seconds**2
    assert np.abs(sharp).max() <= Bounds().acceleration
    assert facts["acceleration"] <= Bounds().acceleration + 1e-3

    # The words, as typed, where they belong, and only then.
    slip = lower_third("vertical", (720, 1280), NASTY, "领舞 · 勐混镇")
    solid = slip[..., 3] == 240
    expected = slip[solid][:, 2::-1].astype(int)

    def off(at: float) -> float:
        picture = frames[round(at * 25)][1]
        return float(np.abs(picture[solid].astype(int) - expected).mean())

    assert off(6.0) < 14
    assert min(off(4.0), off(7.5)) > 60

    integrated, peak = loudness(ffmpeg, path)
    assert abs(integrated + 16) <= 1
    assert peak <= -1.5

    rows(tools, work, path)


def rows(tools: Tools, work: Work, path: Path) -> None:
    """What stands in the catalogue and at the edge for it."""
    with tools.database.transaction() as session:
        rendition = session.scalars(
            select(Rendition).where(Rendition.token == work.media_token)
        ).one()
        items = session.scalars(
            select(AirItem).where(AirItem.token == work.media_token).order_by(AirItem.msn)
        ).all()
        of_form = session.scalars(select(Resource).where(Resource.work_id == work.id)).one()
        of_clip = session.scalars(select(Resource).where(Resource.work_id == work.form_of_id)).one()
        number, ticks = micro_ticks(session, of_form.event_date.year)
    assert (rendition.name, rendition.width, rendition.height) == ("v1280", 720, 1280)
    assert rendition.codecs.startswith("avc1.64")
    assert rendition.codecs.endswith(",mp4a.40.2")
    assert sum(item.duration_ticks for item in items) == work.duration_ticks
    hls = tools.storage.local_path(rendition.compacted_key or "")
    assert hls is not None
    assert times(hls) == times(path)
    assert tools.storage.get(work.poster_key or "")[:2] == b"\xff\xd8"
    # The same footage as the clip's: counted once, as one micro-video.
    assert of_form.intervals == of_clip.intervals != []
    assert of_clip.id in of_form.lineage
    assert (number, ticks) == (1, work.duration_ticks)


def test_frames_at_odd_times_keep_them(tools: Tools, ffmpeg: str, tmp_path: Path) -> None:
    # 30000/1001 frames a second with some left out: no rate says when the next one comes.
    whole = make_footage(
        ffmpeg, tmp_path / "whole.mp4", Footage(seconds=4, fps=Fraction(30_000, 1001), b_frames=2)
    )
    odd = tmp_path / "odd.mp4"
    argv = [ffmpeg, "-v", "error", "-i", str(whole), "-vf", "select='gt(mod(n*7,11),3)'"]
    argv += ["-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-c:v", "libx264"]
    argv += ["-video_track_timescale", "90000", "-preset", "veryfast", "-c:a", "copy", str(odd)]
    subprocess.run(argv, check=True)
    source = shelve(tools, odd, seconds=4)
    work, path = made(tools, ask(tools, source, form="square", title_card=False))
    wanted = times(odd)
    assert len({b - a for a, b in pairwise(wanted)}) > 1
    assert times(path) == [at - wanted[0] for at in wanted]
    assert [picture.shape[:2] for _, picture in read(path)] == [(720, 720)] * len(wanted)
    # Sound and picture keep together: beeps begin where flashes do in the source.
    assert all(abs(beep - round(beep)) < 0.02 for beep in read_beeps(path))
    assert work.making["title"] == ""


def test_silence_stays_silence_and_no_sound_is_no_sound(
    tools: Tools, ffmpeg: str, tmp_path: Path
) -> None:
    mute = make_footage(ffmpeg, tmp_path / "mute.mp4", Footage(seconds=2, audio=False))
    work, path = made(tools, ask(tools, shelve(tools, mute, seconds=2)))
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 0
    assert work.making["facts"]["loudness_after"] is None

    silent = tmp_path / "silent.mp4"
    argv = [ffmpeg, "-v", "error", "-i", str(mute), "-f", "lavfi", "-i", "anullsrc=r=48000"]
    subprocess.run([*argv, "-c:v", "copy", "-shortest", str(silent)], check=True)
    work, path = made(tools, ask(tools, shelve(tools, silent, seconds=2)))
    _, sound = read_sound(path)
    assert np.abs(sound).max() < 1e-4
    assert work.making["facts"]["gain_db"] == 0


@pytest.mark.parametrize(
    ("source", "within"),
    [
        ("0.9*sin(2*PI*440*t)*lt(mod(t\\,1)\\,0.06)", 1.0),  # clapping: all peaks
        ("0.01*sin(2*PI*440*t)", 0.5),  # a mixer left low
        ("0.99*sgn(sin(2*PI*300*t))", 0.5),  # an overdriven loudspeaker
    ],
)
def test_any_sound_comes_to_sixteen_below(
    tools: Tools, ffmpeg: str, tmp_path: Path, source: str, within: float
) -> None:
    heard = tmp_path / "heard.m4a"
    argv = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"aevalsrc={source}:s=44100:d=8"]
    subprocess.run([*argv, "-c:a", "aac", "-b:a", "192k", str(heard)], check=True)
    even = even_sound(ffmpeg, heard, 8 * T, tmp_path, lambda share, note: None)
    integrated, peak = loudness(ffmpeg, even.path)
    assert abs(integrated + 16) <= within
    assert peak <= -1.5


def test_cancelled_it_leaves_nothing(tools: Tools, ffmpeg: str, tmp_path: Path) -> None:
    short = make_footage(ffmpeg, tmp_path / "short.mp4", Footage(seconds=2))
    source = shelve(tools, short, seconds=2)
    for until in (0.1, 0.5, 0.93):
        work = ask(tools, source)

        def beat(share: float | None, note: str | None, until: float = until) -> None:
            if share is not None and share >= until:
                raise JobCancelled

        with pytest.raises(JobCancelled):
            make_form(tools, work.id, beat)
        give_up(tools, work.id)
        with tools.database.transaction() as session:
            assert session.get_one(Work, work.id).state == "failed"
            listed = session.scalar(
                select(func.count()).select_from(AirItem).where(AirItem.token == work.media_token)
            )
            records = session.scalars(select(Resource).where(Resource.work_id == work.id)).all()
            job = session.scalars(select(Job).where(Job.unique_key == f"form:{work.id}")).one()
            job.state = "cancelled"
            session.flush()
            assert forms_of(session, source.id) == []
        assert listed == 0
        assert records == []
        assert list(tools.storage.list(f"works/{work.media_token}/")) == []
        assert list((tools.settings.data / "tmp").iterdir()) == []


def test_a_form_of_a_stretch_waits_for_its_clip(
    tools: Tools, settings: Settings, database: Database
) -> None:
    assert vod.forms.jobs.__name__ in HANDLER_MODULES["worker-work"]
    runner = JobRunner(database, settings, threading.Event())
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * T] * 30)
        token = stage.broadcast.media_token
        session.add(Rendition(token=token, name="v", kind="video", copied=True, codecs="x"))
        work, job = request_form_of_stretch(
            session, source_id=stage.broadcast.id, in_ticks=4 * T, out_ticks=14 * T,
            name="象脚鼓舞", form="square", created_by=None,
        )  # fmt: skip
        clip = session.get_one(Work, work.form_of_id)
        assert (clip.state, clip.form, clip.edit_list) == ("making", "wide", work.edit_list)
        assert work.title == "象脚鼓舞（方版）"
    # Many attempts go by while the clip is cut: none of them is a failure.
    for _ in range(6):
        assert runner.look(job.id) == "to be retried"
        with database.transaction() as session:
            waiting = session.get_one(Job, job.id)
            assert waiting.error_code == "form_source_making"
            waiting.not_before = None
            assert settle_clips(session, tools.storage) == 0
            assert [form.state for form in forms_of(session, clip.id)] == ["making"]
    # The clip came to nothing, and so does its form.
    with database.transaction() as session:
        session.get_one(Work, clip.id).state = "failed"
    assert runner.look(job.id) == "failed"
    with database.transaction() as session:
        assert session.get_one(Job, job.id).error_code == "form_source_gone"
        assert session.get_one(Work, work.id).state == "failed"


def test_the_job_makes_it_and_one_cancelled_while_it_waits_is_settled(
    tools: Tools, settings: Settings, database: Database, ffmpeg: str, tmp_path: Path
) -> None:
    runner = JobRunner(database, settings, threading.Event())
    short = make_footage(ffmpeg, tmp_path / "short.mp4", Footage(seconds=2))
    source = shelve(tools, short, seconds=2)
    done, dropped = ask(tools, source), ask(tools, source, "square")
    with database.transaction() as session:
        jobs = {job.args["work_id"]: job.id for job in session.scalars(select(Job))
                if job.kind == "form"}  # fmt: skip
        cancel(session, jobs[dropped.id])
    assert runner.look(jobs[done.id]) == "done"
    with database.transaction() as session:
        assert [form.state for form in forms_of(session, source.id)] == ["ready"]
        assert settle_clips(session, tools.storage) == 1
        assert session.get_one(Work, dropped.id).state == "failed"
        # A form stands beside its clip, not in the place of it.
        assert session.get_one(Work, source.id).state == "ready"
        made = session.get_one(Work, done.id)
        before = tools.storage.get(made.mp4_key or "")
    assert make_form(tools, done.id) == {"work_id": done.id, "state": "done before"}
    assert tools.storage.get(made.mp4_key or "") == before


def test_what_cannot_become_a_form_is_refused(tools: Tools, ffmpeg: str, tmp_path: Path) -> None:
    heard = make_footage(ffmpeg, tmp_path / "heard.mp4", Footage(seconds=2, video=False))
    sound = shelve(tools, heard, seconds=2, picture=False)
    short = shelve(
        tools, make_footage(ffmpeg, tmp_path / "short.mp4", Footage(seconds=2)), seconds=2
    )

    def refused(work: Work, change: Callable[[Work], None] | None = None) -> str:
        with pytest.raises(Refused) as error, tools.database.transaction() as session:
            if change is not None:
                change(session.get_one(Work, work.id))
                session.flush()
            request_form(session, work_id=work.id, form="vertical", created_by=None)
        return error.value.code

    assert refused(sound) == "form_no_picture"
    assert refused(short, lambda w: setattr(w, "form", "square")) == "form_of_form"
    assert refused(short, lambda w: setattr(w, "state", "withdrawn")) == "form_source_gone"
    assert refused(short, lambda w: setattr(w, "duration_ticks", 1801 * T)) == "form_too_long"
    ask(tools, short)
    assert refused(short) == "form_under_way"
    ask(tools, short, form="square")
    with pytest.raises(Refused) as unknown, tools.database.transaction() as session:
        request_form(session, work_id="nobody", form="vertical", created_by=None)
    assert unknown.value.code == "clip_not_found"
