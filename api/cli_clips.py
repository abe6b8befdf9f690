"""`xitai clip`: micro-videos out of broadcasts and works, from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from api.cli_parts import Stop, data_option, json_option, tell
from api.cli_parts import local as _local
from api.sentences import sentence

if TYPE_CHECKING:
    from api.answers import ClipAnswer

_SOURCES: Final = ("works", "broadcasts")
_STATES: Final = {
    "making": "正在制作",
    "ready": "已做好",
    "failed": "没有做成",
    "withdrawn": "已下架",
}


class InOrder(click.Command):
    """A command that keeps in ``ctx.meta["in order"]`` in which order its options were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta["in order"] = [param.name for param in order]
        return super().parse_args(ctx, args)


@click.group()
@data_option
def clip() -> None:
    """Cut micro-videos out of broadcasts and works."""


@clip.command("create", cls=InOrder)
@data_option
@json_option
@click.option("--work", "works", multiple=True, metavar="ID", help="A work or a broadcast.")
@click.option("--broadcast", "broadcasts", multiple=True, metavar="ID", help="A broadcast.")
@click.option("--in", "starts", multiple=True, type=float, metavar="S", help="Seconds into it.")
@click.option("--out", "stops", multiple=True, type=float, metavar="S", help="Seconds into it.")
@click.option("--title", help="Its name; the source's when left out.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is made.")
@click.pass_context
def clip_create(
    ctx: click.Context,
    works: tuple[str, ...],
    broadcasts: tuple[str, ...],
    starts: tuple[float, ...],
    stops: tuple[float, ...],
    title: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Cut stretches out, to the frame, and put them one after the other.

    Each --in with its --out is a stretch of the --work (or --broadcast) named before it; where
    only one is named, it may stand anywhere.
    """
    given = {"works": works, "broadcasts": broadcasts, "starts": starts, "stops": stops}
    pieces = pieces_in_order(ctx.meta["in order"], given)

    def progress(share: float | None, note: str) -> None:
        click.echo(f"{'…' if share is None else f'{share:4.0%}'} {note}".rstrip(), err=True)

    with _local() as local:
        made = local.clip(pieces, title, progress if wait else None, broadcasts)
    tell(made, as_json, lambda: told_clip(made))


@clip.command("show")
@data_option
@json_option
@click.argument("clip_id", metavar="ID")
def clip_show(clip_id: str, as_json: bool) -> None:
    """A clip: how far it is, where it plays, how it was made."""
    with _local() as local:
        found = local.show_clip(clip_id)
    tell(found, as_json, lambda: told_clip(found))


def pieces_in_order(
    order: list[str], given: dict[str, tuple[Any, ...]]
) -> list[tuple[str, float, float]]:
    """(source, in, out) out of options in the order they were typed. Raises Stop, UsageError."""
    named = given["works"] + given["broadcasts"]
    if not named:
        raise click.UsageError("Name a --work or a --broadcast.")
    if not given["starts"] or len(given["starts"]) != len(given["stops"]):
        raise Stop("clip_pairs", sentence("clip_pairs", {}))
    left = {name: iter(given[name]) for name in (*_SOURCES, "starts", "stops")}
    source = named[0] if len(named) == 1 else None
    starts: list[tuple[str, float]] = []
    stops: list[float] = []
    for name in order:
        if name in _SOURCES:
            source = next(left[name])
        elif name == "starts":
            if source is None:
                raise click.UsageError("--in before any --work: which one is it of?")
            starts.append((source, next(left[name])))
        elif name == "stops":
            stops.append(next(left[name]))
    return [(key, start, stop) for (key, start), stop in zip(starts, stops, strict=True)]


def told_clip(found: ClipAnswer) -> str:
    """A clip on a few lines."""
    length = "" if found.seconds is None else f"  {found.seconds} 秒"
    lines = [f"{found.title}  {found.id}  {_STATES.get(found.state, found.state)}{length}"]
    if found.state == "making" and found.progress is not None:
        lines.append(f"进度      {found.progress:.0%} {found.note}".rstrip())
    if found.state == "failed" and found.error:
        lines.append(f"原因      {found.error}")
    lines.append(f"观看地址  {found.watch_url}")
    if found.mp4_url:
        lines.append(f"下载地址  {found.mp4_url}")
    if found.made:
        lines.append(f"制作      {found.made}")
    return "\n".join(lines)
