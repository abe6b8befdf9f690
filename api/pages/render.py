"""Turns a template and its data into a page: Jinja, gettext, built assets, the viewer's wishes."""

from __future__ import annotations

import gettext
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import opencc
import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.pages import words
from api.pages.guard import seal
from api.pages.view import PageConfig, User

HERE = Path(__file__).parent
ASSETS = HERE / "frontend" / "dist"
LANGUAGES = {"zh_CN": "简体中文", "zh_Hant": "繁體中文", "en": "English"}
LANGUAGE_COOKIE = "xitai_lang"
ELDER_COOKIE = "xitai_elder"


@dataclass(frozen=True)
class Wishes:
    """What this viewer asked of the pages, kept in cookies."""

    language: str
    elder: bool


def wishes(request: Request) -> Wishes:
    asked = request.cookies.get(LANGUAGE_COOKIE, "")
    if asked not in LANGUAGES:
        asked = _accepted(request.headers.get("accept-language", ""))
    # English covers what viewers see; half a desk in it would be worse than none.
    if asked == "en" and request.url.path.startswith(("/desk", "/setup")):
        asked = "zh_CN"
    return Wishes(asked, request.cookies.get(ELDER_COOKIE) == "1")


def _accepted(header: str) -> str:
    """First language of the header we have; the house language when there is none."""
    for item in header.split(","):
        tag = item.split(";")[0].strip().lower()
        if tag.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo")):
            return "zh_Hant"
        if tag.startswith("zh"):
            return "zh_CN"
        if tag.startswith("en"):
            return "en"
    return "zh_CN"


class Traditional(gettext.NullTranslations):
    """Our simplified words in traditional script, by OpenCC: complete without a catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self._convert = cache(opencc.OpenCC("s2hk").convert)

    def gettext(self, message: str) -> str:
        return str(self._convert(message))


@cache
def translations(language: str) -> gettext.NullTranslations:
    # Message ids are the Chinese words, so zh_CN needs no catalogue.
    if language == "zh_Hant":
        return Traditional()
    return gettext.translation("xitai", HERE / "locale", [language], fallback=True)


@cache
def manifest() -> dict[str, str]:
    """Source name to built file name; written by frontend/build.mjs."""
    loaded: dict[str, str] = json.loads((ASSETS / "manifest.json").read_text("utf-8"))
    return loaded


def qr_svg(text: str, label: str) -> Markup:
    """A QR code as inline SVG; it carries no style, so the CSP stays closed."""
    code = segno.make(text, error="m", micro=False)
    svg = code.svg_inline(scale=4, border=2, omitsize=True, svgclass="qr-code", lineclass=None)
    named = Markup('<svg role="img" aria-label="{}" ').format(label)
    return Markup(svg.replace("<svg ", str(named), 1))


def spark(values: list[float], width: int = 240, height: int = 56) -> str:
    """Points of an SVG polyline, oldest left, zero at the bottom."""
    if len(values) < 2:
        return ""
    top = max(max(values), 1e-9) * 1.1
    step = width / (len(values) - 1)
    return " ".join(
        f"{i * step:.1f},{height - value / top * (height - 2) - 1:.1f}"
        for i, value in enumerate(values)
    )


@cache
def _environment(language: str, *, auto_reload: bool) -> Environment:
    """Shared by all Renderers of a process: a template is compiled once."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=auto_reload,
    )
    env.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    say = translations(language).gettext
    env.filters |= {
        "clock": words.clock,
        "minutes": words.minutes,
        "lasting": partial(_swap(words.lasting), say),
        "rate": words.rate,
        "size": words.size,
        "people": str if language == "en" else words.people,
    }
    env.globals |= {"asset": _asset, "icons": _icons, "spark": spark, "qr": qr_svg}
    return env


class Renderer:
    """Makes pages as one installation wants them."""

    def __init__(self, config: PageConfig) -> None:
        self._config = config
        self._zone = ZoneInfo(config.timezone)

    @property
    def zone(self) -> ZoneInfo:
        return self._zone

    def environment(self, language: str) -> Environment:
        return _environment(language, auto_reload=not self._config.production)

    def page(
        self,
        request: Request,
        template: str,
        data: Mapping[str, Any],
        *,
        user: User | None = None,
        status: int = 200,
        private: bool = False,
    ) -> HTMLResponse:
        """A whole page or a fragment of one, sealed with its headers."""
        wish, nonce, now = wishes(request), secrets.token_urlsafe(12), datetime.now(UTC)
        say = translations(wish.language).gettext
        base = (self._config.public_url or str(request.base_url)).rstrip("/")
        context = {
            "wish": wish,
            "languages": LANGUAGES,
            "lang_tag": {"zh_CN": "zh-CN", "zh_Hant": "zh-Hant", "en": "en"}[wish.language],
            "nonce": nonce,
            "now": now,
            "user": user,
            "here": quote(request.url.path),
            "base_url": base,
            "when": lambda at: words.when(at, now, self._zone, say),
            "day": lambda at: words.day(at, self._zone, say),
            "until": lambda at: words.until(at, now, say),
            "iso": lambda at: at.astimezone(self._zone).isoformat(timespec="seconds"),
            **data,
        }
        html = self.environment(wish.language).get_template(template).render(context)
        response = HTMLResponse(html, status)
        response.headers["vary"] = "Cookie, Accept-Language"
        seal(response, self._config, nonce, private=private)
        return response


def _swap(function: Any) -> Any:
    """A filter gets its value first; ours that speak take the translator first, by partial."""
    return lambda say, value: function(value, say)


def _asset(name: str) -> str:
    return f"/static/{manifest()[name]}"


@cache
def _icons() -> Markup:
    """The SVG symbols of the few icons in use, to stand once in each page."""
    return Markup((ASSETS / manifest()["icons.svg"]).read_text("utf-8"))
