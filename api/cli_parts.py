"""What the commands share: their options, how they answer, and the instance they speak to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from api.local import Local
    from infra.settings import Settings


def _use_data(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        os.environ["XITAI_DATA"] = str(value)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_use_data,
    expose_value=False,
    help="Data folder of the instance (also XITAI_DATA).",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)


def _setting(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def use(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        if value is not None:
            os.environ[f"XITAI_{name}"] = value

    return use


http_option = click.option(
    "--http", metavar="HOST:PORT", callback=_setting("HTTP"), expose_value=False,
    help="Address of the web face.",
)  # fmt: skip
rtmp_option = click.option(
    "--rtmp", metavar="HOST:PORT", callback=_setting("RTMP"), expose_value=False,
    help="Address encoders push to.",
)  # fmt: skip


class Stop(click.ClickException):
    """A refusal: one plain sentence and a stable code on stderr, exit code 1."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        # Asked here: by the time it is shown the command's context is gone.
        ctx = click.get_current_context(silent=True)
        self._as_json = ctx is not None and bool(ctx.params.get("as_json"))

    def show(self, file: Any = None) -> None:
        if self._as_json:
            error = {"error": {"code": self.code, "message": self.message}}
            click.echo(json.dumps(error, ensure_ascii=False), err=True)
        else:
            click.echo(self.message, err=True)


def settings() -> Settings:
    from pydantic import ValidationError

    from infra.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        lines = [f"XITAI_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise click.UsageError("\n".join(lines)) from None


def tell(answer: BaseModel | dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    """The one thing a command prints."""
    if not as_json:
        click.echo(text())
        return
    whole = answer if isinstance(answer, dict) else answer.model_dump(mode="json", by_alias=True)
    click.echo(json.dumps(whole, ensure_ascii=False, indent=2))


def local() -> Local:
    """The instance on the data folder. Raises Stop when none runs there."""
    from api.local import Local

    return Local.open(settings(), Stop)
