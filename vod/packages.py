"""The job of a submission package: masters, the catalogue sheet and checksums in one bag."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from catalog.records import sheets
from catalog.sharing.bag import BagWriter
from catalog.sharing.packages import PREFIX, Packed, contents, outdated
from infra.ids import secret_token
from infra.instance import http_url
from infra.jobs import JobContext, JobFailed, job_handler
from infra.storage import NotFound
from vod.encode import Beat, EncodeError
from vod.jobs import tools_of, verdicts
from vod.masters import Master, master_of
from vod.tools import Tools

SHEET: Final = "catalogue.xlsx"
NO_FILE: Final = "（无文件）"
_SHARE_MASTERS: Final = 0.9


class PackageError(Exception):
    """A record whose media is not what the catalogue says; the message is for people."""


@job_handler("package", stall_seconds=1800.0)
def _package(ctx: JobContext) -> dict[str, Any]:
    ids = [str(key) for key in ctx.args["resource_ids"]]
    try:
        with verdicts():
            return make_package(
                tools_of(ctx),
                ctx.job_id,
                ids,
                str(ctx.args.get("centre", "")),
                ctx.heartbeat,
                # The last time, what cannot be had is left out, and said.
                forgiving=ctx.attempt >= ctx.held.max_attempts,
            )
    except PackageError as error:
        raise JobFailed("package_damaged", str(error), retry=False) from error


@job_handler("packages")
def _packages(ctx: JobContext) -> dict[str, Any]:
    """Promised by beat: packages nobody can fetch any more go."""
    storage = tools_of(ctx).storage
    keys = list(storage.list(PREFIX))
    with ctx.db.transaction() as session:
        old = outdated(session, keys, dt.datetime.now(dt.UTC))
    for key in old:
        storage.delete(key)
        ctx.heartbeat()
    return {"dropped": len(old)}


def make_package(
    tools: Tools,
    job_id: int,
    ids: list[str],
    centre: str,
    beat: Beat,
    *,
    forgiving: bool = False,
) -> dict[str, Any]:
    """Pack the records into a bag in storage; what and where, as the job's result.

    Raises PackageError, StorageError, EncodeError and what ``beat`` raises; then nothing is kept.
    """
    now = dt.datetime.now(dt.UTC)
    with tools.database.transaction() as session:
        records = contents(session, ids)
    name = f"xitai-{now:%Y%m%d}-{job_id}"
    with tools.work_folder("package") as folder:
        path = folder / "bag.zip"
        with BagWriter(path, name, made=now) as bag:
            files, missing = _masters(tools, records, bag, folder, beat, forgiving)
            _sheet(tools, records, files, bag, folder, beat)
            bag.finish(
                {
                    "Source-Organization": centre,
                    "External-Identifier": name,
                    "External-Description": f"文化馆数字资源报送包，{len(records)} 条",
                    "Bag-Software-Agent": "Xitai",
                }
            )
        beat(_SHARE_MASTERS, "正在保存")
        size = path.stat().st_size
        tools.require_room(size)
        # A secret in the name: an attempt that lost its lease must not write over its successor's.
        key = f"{PREFIX}{job_id}-{secret_token()}.zip"
        tools.storage.put_file(key, path)
    return {
        "key": key,
        "name": f"{name}.zip",
        "bytes": size,
        "records": len(records),
        "files": len(files),
        "missing": missing,
    }


def _masters(
    tools: Tools,
    records: list[Packed],
    bag: BagWriter,
    folder: Path,
    beat: Beat,
    forgiving: bool,
) -> tuple[dict[str, str], list[str]]:
    """Put the masters into the bag: id → path, and the ids whose media was not to be had."""
    files: dict[str, str] = {}
    missing: list[str] = []
    for index, record in enumerate(records):
        share = _part_of(beat, index, len(records))
        share(0.0, f"{index + 1}/{len(records)} {record.title}")
        try:
            master = master_of(tools, record, folder, share)
        except (NotFound, EncodeError):
            if not forgiving:
                raise
            missing.append(record.id)
            continue
        if master is None:
            continue
        path = f"{record.kind}/{record.id}.{master.extension}"
        digest = bag.add_file(path, master.path, lambda: beat(None, None))
        _compare(record, digest)
        files[record.id] = f"data/{path}"
        _put_away(master)
    return files, missing


def _compare(record: Packed, digest: str) -> None:
    """What is handed on is what the catalogue registered."""
    if record.file_key is not None and record.sha256 not in (None, digest):
        raise PackageError(f"“{record.title}”（{record.id}）的文件与登记的校验值不符，没有打包。")


def _put_away(master: Master) -> None:
    if not master.borrowed:
        master.path.unlink()


def _sheet(
    tools: Tools,
    records: list[Packed],
    files: dict[str, str],
    bag: BagWriter,
    folder: Path,
    beat: Beat,
) -> None:
    path = folder / SHEET
    beat(None, "正在编目录")
    named = {record.id: files.get(record.id, NO_FILE) for record in records}
    with path.open("wb") as out, tools.database.transaction() as session:
        sheets.export(
            session, [record.id for record in records], out, http_url(tools.settings), files=named
        )
    bag.add_file(SHEET, path, lambda: beat(None, None))


def _part_of(beat: Beat, index: int, count: int) -> Callable[[float | None, str | None], None]:
    """A beat whose whole is one record of many."""

    def part(share: float | None, note: str | None) -> None:
        done = None if share is None else _SHARE_MASTERS * (index + share) / count
        beat(done, note)

    return part
