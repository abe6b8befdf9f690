"""Commands about plans and returns: load a plan, bring an old year in, freeze, write the report."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli_parts import Stop, data_option, json_option, settings, tell

if TYPE_CHECKING:
    from api.answers_returns import BroughtInAnswer
    from api.local_returns import LocalReturns
    from catalog.returns.shown import Format

FORMATS = ("xlsx", "docx", "csv", "json")
LEVELS = ("province", "prefecture", "county", "station")

plan_option = click.option("--plan", required=True, metavar="P", help="Plan, by code or id.")
year_option = click.option("--year", required=True, type=click.IntRange(2000, 2200))


def _local() -> LocalReturns:
    from api.local_returns import LocalReturns

    return LocalReturns.open(settings(), Stop)


# --- plans -----------------------------------------------------------------------------------


@click.group()
@data_option
def plan() -> None:
    """Plans and their targets."""


@plan.command("load")
@data_option
@json_option
@click.argument("name")
@click.option("--centre", help="Centre that keeps it, by name or id; the oldest when left out.")
@click.option("--level", type=click.Choice(LEVELS), help="Make the centre, at this level.")
def plan_load(name: str, centre: str | None, level: str | None, as_json: bool) -> None:
    """Load a shipped plan (see `xitai plan list`)."""
    with _local() as local:
        made = local.load_plan(name, centre, level)
    tell(
        made,
        as_json,
        lambda: (
            f"已载入《{made['title']}》（{made['code']}），由{made['centre']}管理："
            f"{made['targets']} 项任务，{made['units']} 个单位。"
        ),
    )


@plan.command("list")
@data_option
@json_option
def plan_list(as_json: bool) -> None:
    """Plans kept here, and those that can be loaded."""
    with _local() as local:
        found = local.plans()
    lines = [f"{p['code']}  {p['year']}  {p['centre']}  {p['title']}" for p in found["items"]]
    loadable = [f"可载入  {t['name']}  {t['year']}  {t['title']}" for t in found["templates"]]
    tell(found, as_json, lambda: "\n".join((*(lines or ["还没有计划。"]), *loadable)))


# --- returns ---------------------------------------------------------------------------------


@click.group("return")
@data_option
def returns() -> None:
    """Frozen returns, and old years brought in."""


@returns.command("import")
@data_option
@json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@plan_option
@year_option
@click.option("--create-centres", is_flag=True, help="Make centres the plan does not know.")
def return_import(file: Path, plan: str, year: int, create_centres: bool, as_json: bool) -> None:
    """Bring an old year in from a YAML file: values kept by hand, past broadcasts.

    Twice is once. Rows that are wrong are told, the others are kept. A shipped plan that is not
    loaded yet is loaded, and the file's centres are made for it.
    """
    with _local() as local:
        made = local.bring_in(file, plan=plan, year=year, create_centres=create_centres)
    tell(made, as_json, lambda: _told(made))


def _told(made: BroughtInAnswer) -> str:
    lines = [
        f"导入 {made.entries} 项数据、{made.broadcasts} 场直录播；{made.unchanged} 项已有，未变。"
    ]
    if made.centres_made:
        lines.append(f"新建文化馆：{'、'.join(made.centres_made)}。")
    lines += [f"未导入  {bad.where}：{bad.message}" for bad in made.bad]
    lines += [
        f"与原表不同  {row.where}：{row.what}原表为 {row.printed}，这里为 {row.ours}"
        for row in made.unlike
    ]
    return "\n".join(lines)


@returns.command("freeze")
@data_option
@json_option
@plan_option
@year_option
@click.option("--centre", help="Root of the subtree it speaks for; the plan's own when left out.")
@click.option("--cut-off", metavar="ISO", help="Until then (a day: all of it); else until now.")
@click.option("--why", default="", help="Why there is another revision.")
def return_freeze(
    plan: str, year: int, centre: str | None, cut_off: str | None, why: str, as_json: bool
) -> None:
    """Freeze a plan's numbers of a year as the next revision."""
    with _local() as local:
        kept = local.freeze(plan=plan, centre=centre, year=year, cut_off=_when(cut_off), why=why)
    tell(
        kept,
        as_json,
        lambda: (
            f"{kept.centre}{kept.year}年第{kept.revision}版已冻结  {kept.id}\n"
            f"SHA-256  {kept.sha256}"
            + "".join(f"\n更正  {d.centre}：{d.name} {d.old} → {d.new}" for d in kept.corrections)
        ),
    )


@returns.command("list")
@data_option
@json_option
@click.option("--plan", metavar="P", help="Plan, by code or id.")
@click.option("--year", type=click.IntRange(2000, 2200))
def return_list(plan: str | None, year: int | None, as_json: bool) -> None:
    """Returns, newest first."""
    with _local() as local:
        found = local.returns(plan, year)
    items = {"items": [item.model_dump(mode="json") for item in found]}
    lines = [
        f"{item.id}  {item.year}  第{item.revision}版  {item.centre}  {item.plan}" for item in found
    ]
    tell(items, as_json, lambda: "\n".join(lines) or "还没有上报。")


# --- the report ------------------------------------------------------------------------------


def _years(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, int]:
    first, _, last = value.partition("-")
    if not (first.isascii() and first.isdecimal() and 2000 <= int(first) <= 2200) or (
        last and not (last.isascii() and last.isdecimal() and int(first) <= int(last) <= 2200)
    ):
        raise click.BadParameter("a year, or first-last: 2020, 2016-2025.")
    return int(first), int(last or first)


@click.command("report")
@data_option
@json_option
@plan_option
@click.option("--centre", metavar="C", help="By name or id; the plan's own when left out.")
@click.option("--year", "years", required=True, metavar="Y", callback=_years, help="Or Y-Y.")
@click.option("--format", "form", required=True, type=click.Choice(FORMATS))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--return", "revision", type=click.IntRange(1), help="That frozen revision.")
@click.option("--done", default="", help="二、主要做法 (docx).")
@click.option("--problems", default="", help="三、存在问题 (docx).")
@click.option("--next-year", default="", help="四、下年计划 (docx).")
def report(
    plan: str,
    centre: str | None,
    years: tuple[int, int],
    form: Format,
    out: Path,
    revision: int | None,
    done: str,
    problems: str,
    next_year: str,
    as_json: bool,
) -> None:
    """The self-inspection of a plan's year: 自查明细表, or 自查报告 (docx)."""
    from catalog.returns.shown import Words

    last = -1

    def beat(share: float) -> None:
        nonlocal last
        if (percent := int(share * 10) * 10) > last:
            last = percent
            click.echo(f"{percent:3d}%", err=True)

    with _local() as local:
        made = local.export_report(
            plan=plan, centre=centre, years=years, form=form, out=out, revision=revision,
            words=Words(done, problems, next_year), beat=beat,
        )  # fmt: skip
    tell(made, as_json, lambda: f"已写入 {out}：{made['centre']}，{made['units']} 个单位。")


def _when(text: str | None) -> dt.datetime | None:
    """An aware time; without an offset it is China's. A day alone is meant with all its hours."""
    if text is None:
        return None
    from catalog.clock import CHINA, china_date
    from catalog.plans.compute import end_of

    try:
        if len(text) == len("2020-12-31"):
            day = dt.date.fromisoformat(text)
            return None if day == china_date(dt.datetime.now(dt.UTC)) else end_of(day)
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--cut-off: {text!r} is no ISO time.") from None
    return at if at.tzinfo else at.replace(tzinfo=CHINA)
