"""What the ledger can be asked: a target's declared query, checked once, and its words. Pure.

A query is data of the plan: ``{"measure": "records", "kinds": ["news"], …}``. What it counts is
in catalog.plans.measures, by the rules of COUNTING.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

import msgspec

from catalog.errors import Refused
from catalog.models import IMAGE_LEDGERS, ORIGINS, RESOURCE_KINDS

MeasureName = Literal[
    "broadcasts",
    "linked",
    "finished_minutes",
    "finished_hours",
    "raw_minutes",
    "raw_hours",
    "micro_count",
    "micro_minutes",
    "micro_hours",
    "images",
    "records",
    "courses",
    "lessons",
    "clicks",
]
MEASURES: Final[dict[MeasureName, str]] = {
    "broadcasts": "直播、录播场次",
    "linked": "联动直播次数",
    "finished_minutes": "成片分钟",
    "finished_hours": "成片小时",
    "raw_minutes": "素材分钟",
    "raw_hours": "素材小时",
    "micro_count": "微视频条数",
    "micro_minutes": "微视频分钟",
    "micro_hours": "微视频小时",
    "images": "图片幅数",
    "records": "资源条数",
    "courses": "课程门数（章节齐全）",
    "lessons": "课程章节数",
    "clicks": "点击量",
}
Figure = Literal["page_views", "play_starts", "effective_plays", "devices"]
FIGURES: Final[dict[Figure, str]] = {
    "page_views": "页面浏览",
    "play_starts": "播放次数",
    "effective_plays": "有效播放",
    "devices": "观看设备",
}
AV_KINDS: Final = frozenset({"finished", "micro", "audio"})
"""音视频: what is watched or heard. A lesson counts with its course, raw footage is not shown."""

WORD_MAX: Final = 60
LIST_MAX: Final = 20
LESSONS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Query:
    """A target's question to the ledger. Filters that a measure has no use for are refused."""

    measure: MeasureName
    mode: Literal["live", "recorded", "any"] = "any"
    """Of broadcasts: 直播, 录播 or both (直录播)."""
    reshown: bool = False
    """Of broadcasts: a re-showing counts as one (the plan switch of 推广服务点)."""
    origin: Literal["original", "optimised", "any"] = "any"
    """Of finished: 原创, or 优化 (which the minutes of micro-videos belong to)."""
    of: Literal["broadcasts", "any"] = "any"
    """Of finished and raw: only what was made for broadcasts."""
    ledger: Literal["broadcast", "exhibition", "any"] = "any"
    """Of images."""
    kinds: tuple[str, ...] = ()
    """Of records; none: every kind but raw footage, images and lessons."""
    av_only: bool = False
    """Of records: 音视频 alone."""
    edits: bool = False
    """Of records: a record changed in the period counts too, once (更新)."""
    genres: tuple[str, ...] = ()
    """Of records, courses and lessons: codes of 门类."""
    title_has: tuple[str, ...] = ()
    """Only what has one of these words in its title."""
    min_lessons: int = 0
    """Of courses: a course with fewer lessons is not complete."""
    figure: Figure | None = None
    """Of clicks; none: the one the plan reports."""
    scope: Literal["own", "subtree"] = "own"
    """The centre's own, or also of the centres under it."""


_COMMON: Final = {"measure", "title_has", "scope"}
_FOOTAGE: Final = {"of", "origin"}
USES: Final[dict[str, set[str]]] = {
    "broadcasts": {"mode", "reshown"},
    "linked": set(),
    "finished_minutes": _FOOTAGE,
    "finished_hours": _FOOTAGE,
    "raw_minutes": {"of"},
    "raw_hours": {"of"},
    "micro_count": set(),
    "micro_minutes": set(),
    "micro_hours": set(),
    "images": {"ledger"},
    "records": {"kinds", "av_only", "edits", "genres"},
    "courses": {"min_lessons", "genres"},
    "lessons": {"genres"},
    "clicks": {"figure", "mode"},
}
assert set(USES) == set(get_args(MeasureName)) == set(MEASURES)

DEFAULT_KINDS: Final = frozenset(RESOURCE_KINDS) - {"raw", "image", "lesson"}


def query_of(raw: Mapping[str, Any]) -> Query:
    """The query a plan declares. Raises Refused("plan_query", field=…, reason=…)."""
    try:
        query = msgspec.convert(dict(raw), Query)
    except msgspec.ValidationError as error:
        where = re.search(r"\$\.(\w+)", str(error))
        raise _wrong(f"{where[1] if where else 'measure'} 的值认不出") from None
    unknown = set(raw) - {field.name for field in fields(Query)}
    useless = set(raw) - _COMMON - USES[query.measure]
    if unknown:
        raise _wrong(f"没有 {'、'.join(sorted(unknown))} 这个条件")
    if useless:
        raise _wrong(f"“{MEASURES[query.measure]}”用不上 {'、'.join(sorted(useless))} 这个条件")
    if not set(query.kinds) <= set(RESOURCE_KINDS):
        raise _wrong("没有这种资源类别")
    for words in (query.kinds, query.genres, query.title_has):
        if len(words) > LIST_MAX or any(not w or len(w) > WORD_MAX for w in words):
            raise _wrong(f"一个条件最多 {LIST_MAX} 个词，每个最多 {WORD_MAX} 个字")
    if not 0 <= query.min_lessons <= LESSONS_MAX:
        raise _wrong(f"章节数要在 0 和 {LESSONS_MAX} 之间")
    return query


def _wrong(reason: str) -> Refused:
    return Refused("plan_query", field="台账取数", reason=reason)


def query_text(query: Query) -> str:
    """What a query counts, in words, for the editor and the printed report."""
    said = [MEASURES[query.measure]]
    said += {"live": ["直播"], "recorded": ["录播"]}.get(query.mode, [])
    said += {"original": ["原创"], "optimised": ["优化"]}.get(query.origin, [])
    said += {"broadcast": ["直录播图片"], "exhibition": ["展览图片"]}.get(query.ledger, [])
    said += ["音视频"] if query.av_only else []
    said += ["含更新"] if query.edits else []
    said += ["含展播、重播"] if query.reshown else []
    said += ["限直录播活动"] if query.of == "broadcasts" else []
    said += [f"每门不少于{query.min_lessons}章节"] if query.min_lessons else []
    said += [FIGURES[query.figure]] if query.figure else []
    said += ["名称含" + "或".join(query.title_has)] if query.title_has else []
    said += ["含下级馆"] if query.scope == "subtree" else []
    return "，".join(said)


assert set(ORIGINS) == {"original", "optimised"}
assert set(IMAGE_LEDGERS) == {"broadcast", "exhibition"}
