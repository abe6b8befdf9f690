"""Builds uploaded originals for the tests of this folder and runs their jobs as workers would."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from catalog.models import Centre, Chunk, InitSection, Rendition, Segment, Upload, Work
from infra.database import Database
from infra.ids import public_id
from infra.jobs import JobRunner
from infra.settings import Settings
from infra.storage import Storage, open_storage
from infra.tables import Job
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader
from vod import chunked
from vod.chunked import jobs as _handlers  # noqa: F401 - they register
from vod.tools import Tools

KINDS = ("chunks", "chunk", "chunks_end")


@dataclass(slots=True)
class Studio:
    """An instance with one centre, whose workers are told when to look."""

    settings: Settings
    database: Database
    storage: Storage = field(init=False)
    runner: JobRunner = field(init=False)

    def __post_init__(self) -> None:
        self.storage = open_storage(self.settings)
        self.runner = JobRunner(self.database, self.settings, threading.Event())
        with self.database.transaction() as session:
            if session.get(Centre, "c1") is None:
                session.add(Centre(id="c1", name="县文化馆", path="c1/"))

    @property
    def tools(self) -> Tools:
        return Tools(self.settings, self.database, self.storage)

    def upload(self, path: Path, *, broadcast_id: str | None = None) -> str:
        """An original in storage and the work that is promised of it; the work's id."""
        upload_id = public_id()
        key = f"originals/{upload_id}/original{path.suffix}"
        self.storage.put_file(key, path)
        with self.database.transaction() as session:
            upload = Upload(
                id=upload_id,
                centre_id="c1",
                purpose="recording",
                state="registered",
                file_name=path.name,
                title="村晚录像",
                size_bytes=path.stat().st_size,
                sha256=public_id(64),
                storage_key=key,
                broadcast_id=broadcast_id,
            )
            session.add(upload)
            session.flush()
            return chunked.begin(session, upload).id

    def due(self) -> list[tuple[int, str]]:
        """Our open jobs, in the order workers would be told of them."""
        with self.database.transaction() as session:
            rows = session.execute(
                select(Job.id, Job.kind)
                .where(Job.state == "queued", Job.kind.in_(KINDS))
                .order_by(Job.id)
            )
            return [(job_id, kind) for job_id, kind in rows]

    def look(self, job_id: int) -> str | None:
        """What a worker makes of a job, whatever pause it is in."""
        with self.database.transaction() as session:
            session.get_one(Job, job_id).not_before = None
        return self.runner.look(job_id)

    def run(self, work_id: str, *, looks: int = 400) -> Work:
        """Let one worker go on until nothing is left to do; the work then."""
        for _ in range(looks):
            jobs = self.due()
            if not jobs:
                return self.work(work_id)
            # Chunks first: the whole would only look, and wait.
            job_id, _ = min(jobs, key=lambda job: (job[1] == "chunks", job[0]))
            self.look(job_id)
        raise AssertionError(f"still open: {self.due()}")

    def work(self, work_id: str) -> Work:
        with self.database.transaction() as session:
            return session.get_one(Work, work_id)

    def jobs(self, work_id: str, kind: str = "chunk") -> list[Job]:
        with self.database.transaction() as session:
            found = session.scalars(
                select(Job).where(Job.kind == kind, Job.args["work_id"].astext == work_id)
            )
            return sorted(found, key=lambda job: job.id)

    def chunks(self, work_id: str) -> list[Chunk]:
        with self.database.transaction() as session:
            query = select(Chunk).where(Chunk.work_id == work_id).order_by(Chunk.number)
            return list(session.scalars(query))

    def rungs(self, work_id: str) -> list[str]:
        with self.database.transaction() as session:
            token = session.get_one(Work, work_id).media_token
            return sorted(session.scalars(select(Rendition.name).where(Rendition.token == token)))

    def joined(self, work_id: str, rung: str, folder: Path) -> Path:
        """A rung's segments behind its one init section."""
        with self.database.transaction() as session:
            token = session.get_one(Work, work_id).media_token
            row = session.scalars(
                select(Rendition).where(Rendition.token == token, Rendition.name == rung)
            ).one()
            init = session.scalars(
                select(InitSection).where(InitSection.rendition_id == row.id)
            ).one()
            segments = session.scalars(
                select(Segment).where(Segment.rendition_id == row.id).order_by(Segment.msn)
            ).all()
        blobs = [(init.storage_key, init.byte_offset or 0, init.size_bytes)]
        blobs += [(s.storage_key, s.byte_offset, s.size_bytes) for s in segments]
        path = folder / f"{work_id}-{rung}.mp4"
        with path.open("wb") as out:
            for key, at, size in blobs:
                out.write(self.storage.open_range(key, at, at + size))
        return path


def times_in(path: Path) -> list[int]:
    """When every picture (frame of sound) of a joined rung is shown, in order; ticks."""
    shown: list[int] = []
    for track, sample in samples_of(path):
        shown.append((sample.dts + sample.cts) * 90_000 // track.timescale)
    return sorted(shown)


def samples_of(path: Path) -> list[tuple[fmp4.Track, fmp4.Sample]]:
    """Every sample of a one-track file, as it lies there."""
    reader = FragmentReader()
    found: list[tuple[fmp4.Track, fmp4.Sample]] = []
    track: fmp4.Track | None = None
    for item in reader.feed(path.read_bytes()):
        if isinstance(item, fmp4.InitSection):
            assert track is None, "one init section"
            (track,) = item.tracks
        else:
            assert track is not None
            found += [(track, sample) for sample in item.samples]
    return found


def decoded_times(path: Path) -> list[int]:
    """When FFmpeg shows the pictures of a file, in order; ticks."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        times = [
            round(frame.pts * frame.time_base * 90_000)
            for frame in container.decode(stream)
            if frame.pts is not None and frame.time_base is not None
        ]
    return times


def decoded_sound(path: Path, rate: int = 48_000) -> NDArray[np.float32]:
    """Stereo samples of a file, (count, 2), as they come out of the decoder one after another."""
    parts: list[Any] = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "stereo", rate)
        for frame in container.decode(container.streams.audio[0]):
            frame.pts = None
            parts += [f.to_ndarray().reshape(-1, 2) for f in resampler.resample(frame)]
        parts += [f.to_ndarray().reshape(-1, 2) for f in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32, copy=False)
