"""The command line: `xitai up`, its parts, and local administration of a running instance.

Commands speak to the database of the instance on the data folder. Imports are inside commands:
`xitai broadcast list` should not wait for Celery or FFmpeg's libraries to load.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import click

from api.cli_clips import clip
from api.cli_parts import data_option, http_option, json_option, rtmp_option
from api.cli_parts import local as _local
from api.cli_parts import settings as _settings
from api.cli_parts import tell as _tell
from api.cli_returns import plan, report, returns
from api.cli_upload import upload

PARTS = {"live": ("live",), "edit": ("edit",), "work": ("vod", "catalog")}
"""Short names of the workers an instance runs. What people wait for (edit) has its own: a long
upload or an analysis holds up no clip."""

# --- the tree of commands --------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@data_option
@click.version_option(package_name="xitai", prog_name="xitai")
def cli() -> None:
    """Xitai: live broadcasts that are kept, replayed at once, and counted honestly."""


@cli.command()
@data_option
@http_option
@rtmp_option
def up() -> None:
    """Run everything on this machine; prints "ready URL" when every part answers."""
    from api.up import run

    sys.exit(run(_settings()))


@cli.command()
@data_option
@http_option
def web() -> None:
    """Run the web part alone: pages, API, HLS edge."""
    from api.server import run_web
    from infra.telemetry import configure_logging

    settings = _settings()
    configure_logging(settings, "web")
    sys.exit(run_web(settings))


@cli.command()
@data_option
@rtmp_option
def ingest() -> None:
    """Run the ingest part alone: encoders in, feed logs kept and served."""
    from ingest.main import run_ingest

    run_ingest(_settings())


@cli.command()
@data_option
@click.option("--queues", metavar="NAME,…", help="Queues: live, or some of vod,edit,catalog.")
@click.option("--part", type=click.Choice(sorted(PARTS)), help="Short for one set of queues.")
@click.option("--slots", type=click.IntRange(1, 64), help="Jobs at a time.")
def worker(queues: str | None, part: str | None, slots: int | None) -> None:
    """Run a worker alone."""
    from api.handlers import HANDLER_MODULES
    from infra.queue import QUEUES, parts_of, run_worker
    from infra.telemetry import configure_logging

    if (queues is None) == (part is None):
        raise click.UsageError("Give either --queues or --part.")
    wanted = PARTS[part] if part else tuple(q.strip() for q in (queues or "").split(",") if q)
    if not wanted or set(wanted) - set(QUEUES) or ("live" in wanted and set(wanted) != {"live"}):
        raise click.UsageError(f"--queues is live, or some of {','.join(QUEUES[1:])}.")
    settings = _settings()
    name = parts_of(wanted)[-1]
    configure_logging(settings, name)
    modules = HANDLER_MODULES["worker-live" if "live" in wanted else "worker-work"]
    sys.exit(run_worker(settings, wanted, name, modules, slots=slots))


@cli.command()
@data_option
def beat() -> None:
    """Run the clock alone: reconciler and periodic work. One per installation."""
    from api.handlers import PERIODIC
    from infra.health import start_keep_alive
    from infra.queue import run_beat
    from infra.telemetry import configure_logging

    settings = _settings()
    configure_logging(settings, "beat")
    end = start_keep_alive(settings, "beat")
    try:
        run_beat(settings, PERIODIC)
    finally:
        end()


@cli.command()
@data_option
@json_option
def doctor(as_json: bool) -> None:
    """Say what is missing or weak on this machine, in plain words."""
    from infra.doctor import tell_doctor
    from transcode.sandbox_check import sandbox_findings

    sys.exit(tell_doctor(_settings(), as_json=as_json, more=(sandbox_findings,)))


# --- broadcasts ------------------------------------------------------------------------------


@cli.group()
@data_option
def broadcast() -> None:
    """Make, show, list and end broadcasts."""


@broadcast.command("create")
@data_option
@json_option
@click.option("--title", required=True, help="Name of the show.")
@click.option("--centre", help="Centre, by name or id; the oldest when left out.")
@click.option("--mode", type=click.Choice(["live", "recorded"]), default="live", show_default=True)
@click.option("--planned", metavar="ISO", help="Announced start, e.g. 2026-02-10T19:30.")
@click.option("--description", default="", help="A few words for viewers.")
@click.option("--contract", default="", help="Contract of the studio that makes it.")
def broadcast_create(
    title: str,
    centre: str | None,
    mode: str,
    planned: str | None,
    description: str,
    contract: str,
    as_json: bool,
) -> None:
    """Make a broadcast; prints its push address and the stream key, this once only."""
    with _local() as local:
        made = local.create(
            title=title,
            centre=centre,
            mode=mode,
            planned=_when(planned),
            description=description,
            contract=contract,
        )
    _tell(
        made,
        as_json,
        lambda: (
            f"{made.title}  {made.id}\n"
            f"观看地址  {made.watch_url}\n"
            f"推流地址  {made.publish.rtmp_url}\n"
            f"推流码    {made.publish.stream_key}（只显示这一次）"
        ),
    )


@broadcast.command("show")
@data_option
@json_option
@click.argument("broadcast_id", metavar="ID")
def broadcast_show(broadcast_id: str, as_json: bool) -> None:
    """State, takes, gaps, minutes and plays of a broadcast."""
    from api.told import told_broadcast

    with _local() as local:
        found = local.show(broadcast_id)
    _tell(found, as_json, lambda: told_broadcast(found))


@broadcast.command("list")
@data_option
@json_option
@click.option("--state", help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
def broadcast_list(state: str | None, limit: int, as_json: bool) -> None:
    """Broadcasts, latest first."""
    from api.told import told_list

    with _local() as local:
        found = local.listing(state=state, limit=limit)
    items = {"items": [item.model_dump(mode="json") for item in found]}
    _tell(items, as_json, lambda: told_list(found))


@broadcast.command("end")
@data_option
@json_option
@click.argument("broadcast_id", metavar="ID")
def broadcast_end(broadcast_id: str, as_json: bool) -> None:
    """End a broadcast for good; ending twice is ending once."""
    from api.told import told_broadcast

    with _local() as local:
        found = local.end(broadcast_id)
    _tell(found, as_json, lambda: told_broadcast(found))


@broadcast.command("rotate-key")
@data_option
@json_option
@click.argument("broadcast_id", metavar="ID")
def broadcast_rotate_key(broadcast_id: str, as_json: bool) -> None:
    """A new stream key; the old one stops working at the encoder's next try."""
    with _local() as local:
        key = local.rotate_key(broadcast_id)
    _tell(
        {"id": broadcast_id, "publish": key.model_dump()},
        as_json,
        lambda: f"推流地址  {key.rtmp_url}\n推流码    {key.stream_key}（只显示这一次）",
    )


# --- exports -----------------------------------------------------------------------------------


@cli.group()
@data_option
def export() -> None:
    """Write reports."""


export.add_command(report)
cli.add_command(clip)
cli.add_command(upload)
cli.add_command(plan)
cli.add_command(returns)


@export.command("minutes")
@data_option
@json_option
@click.option("--year", required=True, type=click.IntRange(2000, 2200))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--centre", help="Only this centre and those under it.")
def export_minutes(year: int, out: Path, centre: str | None, as_json: bool) -> None:
    """Finished and raw minutes of a year as an Excel workbook."""
    with _local() as local:
        number = local.export_minutes(year, out, centre)
    _tell(
        {"year": year, "broadcasts": number, "out": str(out)},
        as_json,
        lambda: f"已写入 {out}：{year} 年 {number} 场。",
    )


# --- plays -----------------------------------------------------------------------------------


@cli.group()
@data_option
def plays() -> None:
    """Figures of plays."""


@plays.command("roll-up")
@data_option
@json_option
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Work these days out anew …")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="… up to this one (today).")
def plays_roll_up(since: dt.datetime | None, until: dt.datetime | None, as_json: bool) -> None:
    """Bring the days' figures up to date; doing it again changes nothing."""
    first, last = since and since.date(), until and until.date()
    if (first is None and last is not None) or (first and last and last < first):
        raise click.UsageError("--until needs a --since before it")
    with _local() as local:
        changed = local.roll_up_plays(first, last)
    _tell({"changed": changed}, as_json, lambda: f"播放统计已更新，改动 {changed} 条。")


# --- accounts --------------------------------------------------------------------------------


@cli.group()
@data_option
def admin() -> None:
    """Accounts and tokens."""


@admin.command("create-user")
@data_option
@json_option
@click.option("--login", required=True)
@click.option("--name", default="", help="As colleagues see it.")
@click.option("--role", default="staff", show_default=True)
@click.option("--centre", help="Centre, by name or id; made when there is none of that name.")
@click.option("--contract", default="", help="Of a studio: the one contract it sees.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def admin_create_user(
    login: str,
    name: str,
    role: str,
    centre: str | None,
    contract: str,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Make an account."""
    with _local() as local:
        made = local.create_user(
            login=login,
            name=name,
            role=role,
            centre=centre,
            password=_password(password_stdin),
            contract=contract,
        )
    _tell(
        made, as_json, lambda: f"账号 {made['login']}（{made['role']}，{made['centre']}）已建好。"
    )


@admin.command("token")
@data_option
@json_option
@click.option("--role", required=True)
@click.option("--centre", help="Reach of the token; all centres when left out.")
@click.option("--label", default="", help="What it is for.")
@click.option("--contract", default="", help="Of a studio: the one contract it sees.")
@click.option("--days", type=int, default=365, show_default=True)
def admin_token(
    role: str, centre: str | None, label: str, contract: str, days: int, as_json: bool
) -> None:
    """Make an API token; printed this once only."""
    with _local() as local:
        made = local.token(role=role, centre=centre, label=label, contract=contract, days=days)
    _tell(made, as_json, lambda: str(made["token"]))


@admin.command("rebuild-search")
@data_option
@json_option
def admin_rebuild_search(as_json: bool) -> None:
    """Make search anew from the records; searches wait meanwhile."""
    with _local() as local:
        made = local.rebuild_search()
    _tell(made, as_json, lambda: f"{made['records']} 条记录都能搜到了。")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Give the password with --password-stdin.")
    asked: str = click.prompt("密码", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def _when(text: str | None) -> Any:
    """An aware time; without an offset it is China's."""
    if text is None:
        return None
    from catalog.clock import CHINA

    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--planned: {text!r} is no ISO time.") from None
    return at if at.tzinfo else at.replace(tzinfo=CHINA)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 refused or failed, 2 misused."""
    cli(prog_name="xitai")


if __name__ == "__main__":
    main()
