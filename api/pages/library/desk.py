"""What the routes of the 资源库 share: who asks, one transaction each, refusals as sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from api.pages.backend import Backend, Person
from api.pages.guard import same_origin, staff
from api.pages.render import Renderer, translations, wishes
from api.pages.view import NotAllowed, NotFound
from api.pages.words import Translate
from api.rights import Action, may
from api.sentences import sentence
from catalog.errors import Missing, Refused

T = TypeVar("T")

FIELDS_MAX: Final = 1_000
"""Fields of one form: 300 people are 600 of them."""
PART_MAX: Final = 1 << 20
FILES_MAX: Final = 200
"""Files of one form that are looked at; how many are taken the form itself says."""


@dataclass(frozen=True)
class Notice:
    """What a page says at its head about what was just done."""

    text: str
    bad: bool = False


DONE: Final = {
    "made": "登记好了。",
    "saved": "改好了，记成了新的一版。",
    "same": "没有要改的地方。",
    "filed": "文件换好了。",
    "submitted": "已经送去初审。",
    "approved": "已通过。",
    "published": "三审都已通过，现在发布了。",
    "returned": "已退回修改，意见写在记录里。",
    "withdrawn": "已撤下。记录和录像都还在。",
    "restored": "已恢复成草稿。",
    "down": "已紧急下架。页面和播放地址都已关掉。",
    "up": "已解除下架。",
    "moved": "顺序改好了。",
    "genre": "门类词表改好了。",
    "hook": "改好了。",
    "ping": "已发出一条测试消息，几秒后刷新看结果。",
    "package": "开始打包了，进度在下面，关掉这一页也会做完。",
    "acts": "保存好了。观众在回看里能按节目跳转。",
    "clips": "开始剪了，进度在下面，关掉这一页也会做完。",
    "form": "开始做了，关掉这一页也会做完。",
    "list": "节目单存好了。",
    "nothing": "还没有选中任何一件。",
}
"""What `?done=` may make a page say: a fixed list, so that no link puts words on our pages."""


class Desk:
    """The backend and the renderer, with the manners every route has."""

    def __init__(self, backend: Backend, renderer: Renderer) -> None:
        self.backend = backend
        self.renderer = renderer

    async def person(self, request: Request, action: Action = "resource.see") -> Person:
        """Who asks, if they may. Raises SignInNeeded, NotAllowed."""
        user = await staff(request, self.backend)
        assert isinstance(user, Person)
        if not may(user.role, action):
            raise NotAllowed
        return user

    async def run(self, work: Callable[[Session], T]) -> T:
        """One transaction; what is not there, or not theirs, is a 404 page. Raises Refused."""
        try:
            return await self.backend.run(work)
        except Missing as error:
            raise NotFound from error

    def page(
        self,
        request: Request,
        template: str,
        data: Mapping[str, Any],
        user: Person,
        *,
        status: int = 200,
    ) -> Response:
        data = {"notice": done(request), **data}
        return self.renderer.page(request, template, data, user=user, status=status, private=True)


def done(request: Request) -> Notice | None:
    code = request.query_params.get("done")
    text = DONE.get(code or "")
    return Notice(say(request)(text), bad=code == "nothing") if text else None


def say(request: Request) -> Translate:
    return translations(wishes(request).language).gettext


def refusal(error: Refused, request: Request) -> str:
    """The sentence of a refusal."""
    return sentence(error.code, error.facts, say(request))


async def form_of(request: Request, fields: int = FIELDS_MAX) -> FormData:
    """A posted form of our own page, of at most so many ``fields``; nothing is read before the
    asker is known."""
    same_origin(request)
    return await request.form(max_files=0, max_fields=fields)


@asynccontextmanager
async def files_of(request: Request, part_bytes: int = PART_MAX) -> AsyncIterator[FormData]:
    """A posted form with files, which are gone at the block's end; ``part_bytes``: the largest
    field that is no file."""
    same_origin(request)
    async with request.form(
        max_files=FILES_MAX, max_fields=FIELDS_MAX, max_part_size=part_bytes
    ) as form:
        yield form


def text(form: FormData, name: str, most: int = 20_000) -> str:
    """One text of a form, trimmed and bounded; "" when it is missing or a file."""
    value = form.get(name)
    return value.strip()[:most] if isinstance(value, str) else ""


def texts(form: FormData, name: str) -> list[str]:
    return [value.strip() for value in form.getlist(name) if isinstance(value, str)]


def uploads(form: FormData, name: str) -> list[UploadFile]:
    """Files that were really chosen: an empty field sends one without a name."""
    return [
        value for value in form.getlist(name) if isinstance(value, UploadFile) and value.filename
    ]


def back_to(path: str) -> str:
    """Where a list's form leads back to: only to the list itself."""
    return path if path == "/desk/library" or path.startswith("/desk/library?") else "/desk/library"


def with_done(path: str, code: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}done={code}"
