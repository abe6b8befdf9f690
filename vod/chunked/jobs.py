"""The jobs of this package: thin shells over ``whole`` and ``make``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from infra.jobs import JobCancelled, JobContext, JobFailed, JobWaits, job_handler
from infra.tables import Job
from vod.chunked.begin import KIND
from vod.chunked.make import make_chunk
from vod.chunked.pack import PackError
from vod.chunked.plan import PlanError
from vod.chunked.rows import CHUNK, CLEAN, stop_chunks
from vod.chunked.whole import abandon, bring_about, clean, fail
from vod.jobs import tools_of, verdicts
from vod.originals.confined import ReadError
from vod.tools import Tools

_UNREADABLE: Final = {
    "unreadable": "原片读不出来，可能已损坏，请检查文件后重新上传。",
    "original_missing": "原片不在存储里了，请重新上传。",
    "original_changed": "原片与上传时不一致，请重新上传。",
    "reader_hangs": "读取原片时停住了，请再试一次。",
    "nothing_to_show": "这个文件里没有能播放的画面或声音。",
}
_FAILURES_MAX: Final = 3
_AGAIN: Final = frozenset(("reader_hangs",))


@contextmanager
def _judged() -> Iterator[None]:
    try:
        with verdicts():
            yield
    except (ReadError, PlanError) as error:
        sentence = _UNREADABLE[error.code]
        if isinstance(error, ReadError) and str(error) != error.code:
            sentence = f"{sentence}\n{error}"
        raise JobFailed(error.code, sentence, retry=error.code in _AGAIN) from error
    except PackError as error:
        raise JobFailed("not_as_planned", f"转码结果与计划不符，没有采用。\n{error}") from error


@job_handler(KIND, stall_seconds=1800.0)
def _chunks(ctx: JobContext) -> dict[str, Any]:
    tools, work_id = tools_of(ctx), str(ctx.args["work_id"])
    try:
        with _judged():
            return _looked(ctx, tools, work_id)
    except JobCancelled:
        with ctx.db.transaction() as session:
            stop_chunks(session, work_id)
            abandon(session, work_id)
        raise
    except JobFailed as verdict:
        if not verdict.retry or ctx.attempt >= ctx.held.max_attempts:
            fail(tools, work_id)
        raise


def _looked(ctx: JobContext, tools: Tools, work_id: str) -> dict[str, Any]:
    try:
        return bring_about(tools, work_id, ctx.heartbeat)
    except JobWaits:
        # A look is over before the next heartbeat: the wish to stop may have come during it.
        with ctx.db.transaction() as session:
            if session.get_one(Job, ctx.job_id).cancel_requested:
                raise JobCancelled from None
        raise


@job_handler(CHUNK, backoff_seconds=(5.0, 30.0))
def _chunk(ctx: JobContext) -> dict[str, Any]:
    try:
        with _judged():
            number = int(ctx.args["number"])
            return make_chunk(tools_of(ctx), str(ctx.args["work_id"]), number, ctx.heartbeat)
    except JobFailed as verdict:
        if verdict.retry and ctx.attempt >= _FAILURES_MAX:
            raise JobFailed(verdict.code, verdict.sentence, retry=False) from verdict
        raise


@job_handler(CLEAN, backoff_seconds=(5.0, 60.0))
def _clean(ctx: JobContext) -> dict[str, Any]:
    with _judged():
        return clean(tools_of(ctx), str(ctx.args["work_id"]))
