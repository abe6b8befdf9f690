"""`xitai upload`: files sent in from a shell, to this machine's Xitai or to one far away."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli_parts import Stop, data_option, local

if TYPE_CHECKING:
    from api.upload_client import Sender

WORDS = {
    "receiving": "正在传", "checking": "检查中", "stuck": "检查没有做完", "making": "转码中",
    "ready": "可以看了", "failed": "没有做成", "refused": "没有收下", "removed": "已取消",
}  # fmt: skip


@click.command("upload")
@data_option
@click.argument(
    "files", metavar="FILE…", nargs=-1, required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True),
)  # fmt: skip
@click.option("--title", default="", help="Title; several files get a number each.")
@click.option("--centre", help="Centre, by name or id; one's own, or the oldest, when left out.")
@click.option("--broadcast", help="The show it belongs to, by id.")
@click.option("--exhibition", help="The exhibition photographs are for, by id.")
@click.option("--insist", is_flag=True, help="Take it in although the same file is here already.")
@click.option("--wait", is_flag=True, help="Wait until it is watchable, or refused.")
@click.option("--server", metavar="URL", help="A Xitai elsewhere; this machine's when left out.")
@click.option(
    "--token", envvar="XITAI_TOKEN", help="API token for --server (better: XITAI_TOKEN).",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a file, each on a line."
)
def upload(
    files: tuple[Path, ...],
    title: str,
    centre: str | None,
    broadcast: str | None,
    exhibition: str | None,
    insist: bool,
    wait: bool,
    server: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Send recordings and photographs in. Interrupted, the same command goes on where it was.

    Exit codes: 0 all of it is in, 1 something was refused or failed, 2 misused.
    """
    wishes = {"centre": centre, "broadcast": broadcast, "exhibition": exhibition}
    given = {name: value for name, value in wishes.items() if value}
    if insist:
        given["insist"] = "1"
    well = True
    with _sender(server, token) as sender:
        for number, path in enumerate(files, start=1):
            name = f"{title}（{number}）" if title and len(files) > 1 else title
            told = _one(sender, path, {**given, **({"title": name} if name else {})}, wait)
            well = well and told["error"] is None
            click.echo(json.dumps(told, ensure_ascii=False) if as_json else _told(told))
    sys.exit(0 if well else 1)


@contextmanager
def _sender(server: str | None, token: str | None) -> Iterator[Sender]:
    from api.upload_client import Sender, Unreachable

    if server is not None and not token:
        raise click.UsageError("--server needs a token: set XITAI_TOKEN.")
    try:
        if server is not None and token:
            yield Sender.to(server, token, local=False)
            return
        with local() as here, here.lent_token() as (url, secret):
            yield Sender.to(url, secret, local=True)
    except Unreachable:
        raise Stop(
            "upload_unreachable", "连不上服务器，已传的部分都在；再运行一次同样的命令就会接着传。"
        ) from None
    except KeyboardInterrupt:
        raise Stop("upload_stopped", "停在这里；再运行一次同样的命令就会接着传。") from None


def _one(sender: Sender, path: Path, meta: dict[str, str], wait: bool) -> dict[str, Any]:
    """Send one file; what is told of it."""
    from api.upload_client import PICTURES, Refusal

    purpose = "photo" if path.suffix.lower() in PICTURES else "recording"
    shown = _Shown(path.name)
    empty = {"file": str(path), "id": None, "stage": "refused"}
    try:
        upload_id = sender.send(path, {"purpose": purpose, **meta}, shown.sending)
        found = (sender.wait if wait else sender.show)(upload_id, shown.becoming)
    except Refusal as why:
        return {**empty, "error_code": why.code, "error": why.sentence}
    except OSError as error:
        return {**empty, "error_code": "file_unreadable", "error": f"文件读不出来：{error}"}
    found["file"] = str(path)
    if found["path"]:
        found["watch_url"] = str(sender.client.base_url).rstrip("/") + str(found["path"])
    if found["stage"] == "failed" and found["error"] is None:
        found["error_code"], found["error"] = "work_failed", "转码没有做成，请在“任务”里看原因。"
    return found


class _Shown:
    """Progress on stderr: a line when a percent or a stage is new."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = ""

    def sending(self, share: float | None, note: str) -> None:
        self._say("正在传" if share is not None else f"稍后再试：{note}", share)

    def becoming(self, share: float | None, stage: str) -> None:
        self._say(WORDS.get(stage, stage), share)

    def _say(self, word: str, share: float | None) -> None:
        line = f"{'…' if share is None else f'{share:4.0%}'} {word}  {self._name}"
        if line != self._said:
            self._said = line
            click.echo(line, err=True)


def _told(told: dict[str, Any]) -> str:
    word = WORDS.get(told["stage"], told["stage"])
    lines = [f"{told['file']}  {told['id'] or '—'}  {word}"]
    if told["error"]:
        lines.append(f"原因      {told['error']}")
    if told.get("watch_url"):
        lines.append(f"观看地址  {told['watch_url']}")
    return "\n".join(lines)
