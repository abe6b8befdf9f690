"""Lines of programme lists (节目单) as centres write them, to entries. Pure.

A list is a table (tabs, or a sheet's rows) with or without headings, or lines such as
“1、开场舞《欢聚一堂》 表演：文化馆舞蹈队 约5分钟”. Hosts' words (主持人串词), headings, places and
dates between them are no entries.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from catalog.minutes import TICKS_A_SECOND
from catalog.programmes import GENRE_MAX, PERFORMERS_MAX, TIME_MAX_TICKS, TITLE_MAX, Line
from vod.acts import programme_times as times
from vod.acts.programme_times import Raw

CELL_MAX: Final = 500
"""Characters of a line or cell that are read."""

_COLUMNS: Final = {
    "number": "序号 编号 顺序 节目序号 次序 号",
    "title": "节目名称 节目 名称 曲目 剧目 作品名称 作品 节目名 内容 节目内容",
    "genre": "类型 类别 形式 节目类型 节目形式 艺术形式 体裁 表演形式 门类 节目类别",
    "performers": (
        "表演者 演员 表演单位 表演 演出单位 演出者 报送单位 单位 选送单位 演出 表演人员 "
        "演出人员 参演单位 节目单位 表演团队"
    ),
    "about": "时间 开始时间 起始时间 开始 时刻 起止时间 演出时间",
    "length": "时长 长度 用时 预计时长 节目时长 时长(分钟) 分钟",
}
_NAMED: Final = {name: column for column, names in _COLUMNS.items() for name in names.split()}

_WORDS_GENRES: Final = re.compile(
    r"小品|相声|朗诵|诵读|快板|三句半|话剧|评书|讲话|致[辞词]|颁奖|宣读|访谈|演讲|脱口秀|情景剧|讲座|故事|数来宝"
)
_TUNE_GENRES: Final = re.compile(
    r"舞|唱|奏|曲|歌|琴|鼓|乐|笛|箫|葫芦丝|唢呐|二胡|古筝|走秀|时装|旗袍|武术|太极|杂技|魔术|秧歌|花灯"
)
_GENRE: Final = re.compile(rf"{_WORDS_GENRES.pattern}|{_TUNE_GENRES.pattern}|戏|剧|京剧|节目|联唱")

_NUMBERING: Final = re.compile(
    r"\s*(?:第\s*[0-9一二三四五六七八九十百]{1,4}\s*(?:个节目|个|项|号)?[\s:、.,)]*"
    r"|节目\s*[0-9一二三四五六七八九十]{1,3}\s*[:、.,)\s]\s*"
    r"|[((]\s*[0-9一二三四五六七八九十]{1,3}\s*[))]\s*[、.,:]?"
    r"|[0-9]{1,3}\s*(?:[、,:)]|\.(?!\d|$)|\.(?=\d{2,4}年)|-(?=\D)|\s+(?=\D))|[一二三四五六七八九十]{1,3}\s*[、.,:)])\s*"
)
_TALK: Final = re.compile(
    r"[((【\[]?\s*(?:主持人|主持词|串词|串场|报幕|画外音|旁白|[男女甲乙丙丁合AB]\d?\s*:|请欣赏|下面|接下来|"
    r"有请|让我们|尊敬的|各位|感谢|掌声|亲爱的)"
)
_FACTS: Final = re.compile(
    r"\s*(?:演出)?(?:时间|地点|日期|主办|承办|协办|导演|总导演|总策划|策划|监制|舞美|灯光|音响|主持|主题|"
    r"联系人|电话|备注|说明|演出地点|单位名称)(?:单位)?\s*:"
)
_HEADINGS: Final = re.compile(
    r"节目单$|节目表$|演出单$|^第[一二三四五六七八九十]+[篇章幕部乐][章分]?|^[上下]半场|^(?:序|尾声|中场休息|观众入场|暖场|签到)\W*$"
)
_LABEL: Final = re.compile(
    r"(?:表演单位|表演者|表演|演唱者|演唱|演奏者|演奏|朗诵者|朗诵|演出单位|演出者|演出|选送单位|报送单位|"
    r"选送|报送|领舞|领唱|主演|演员|单位|合唱队|伴奏|伴舞|作者|编导|指导老师|指导)\s*:"
)
_LATER_LABEL: Final = re.compile(rf"[\s(]{_LABEL.pattern}")
"""Not within a word: 诗朗诵: is a genre."""
_TITLE: Final = re.compile(r"[《<〈]([^《》<>〈〉]{1,200})[》>〉]")
_CIRCLED: Final = {
    ord(sign): f"{number}、"
    for first in "①❶⓵➀➊"
    for number, sign in enumerate((chr(ord(first) + n) for n in range(10)), start=1)
} | {ord("①") + n: f"{n + 1}、" for n in range(10, 20)}
_ORNAMENT: Final = frozenset(("So", "Sk", "Mn", "Cf"))
"""Kinds of signs people put before a line to make it pretty: 🎤 ★ ◆."""
_BULLETS: Final = "*•·●○■□◦‣-–—~ "
_QUOTED: Final = re.compile(r"[“\"「『]([^“”\"「」『』]{1,60})[”\"」』]")
_BRACKETED: Final = re.compile(r"\(([^()]{2,60})\)\s*$")
_EXCERPT: Final = re.compile(r"\(?(?:选段|选曲|片段|节选)\)?")
_APART: Final = re.compile(
    r"\t|(?<![A-Za-z,.'!?])\s|\s(?![A-Za-z])|——|—|\||/|(?<=[^\x00-\x7f])-(?=[^\x00-\x7f])"
)
"""Between the parts of a line; the words of an English title are one part."""
_EDGE: Final = ' \t:：、,，.。;；-—–·…~()（）[]【】|/"“”'


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry on its way: its times are still as written."""

    title: str
    genre: str = ""
    performers: str = ""
    begin: Raw | None = None
    end: Raw | None = None
    length: float | None = None


class Listing(NamedTuple):
    """What was read of a list."""

    lines: list[Line]
    left_out: list[str]
    """Rows taken for no entry: places, words of hosts, what was not understood."""


def words_chance(genre: str, title: str = "") -> float:
    """How likely an entry is an act of words rather than of music, by what it calls itself."""
    for text in (genre, title):
        if _WORDS_GENRES.search(text):
            return 0.85
        if text and _TUNE_GENRES.search(text) and not (text == title and not genre):
            return 0.05
    return 0.15


def read_rows(rows: Sequence[Sequence[str]]) -> Listing:
    """Entries of rows of cells; a row of one cell is a line."""
    tidy = [[_tidy(cell) for cell in row] for row in rows]
    tidy = [row for row in tidy if any(row)]
    found: list[_Row] = []
    left_out: list[str] = []
    columns: dict[int, str] = {}
    strict = any(_strong(" ".join(row)) for row in tidy)
    for row in tidy:
        if heading := _heading(row):
            columns = heading
            continue
        filled = [cell for cell in row if cell]
        last = found[-1] if found else None
        if columns and len(filled) > 1:
            made = _by_columns(row, columns)
        elif len(filled) > 2 and (cells := _by_looks(filled)):
            made = cells
        else:
            made = _by_words("  ".join(filled), found, strict=strict)
        if made is not None:
            found.append(made)
        elif not found or found[-1] is last:
            left_out.append("  ".join(filled))
    return Listing(_lines(found), left_out)


def _tidy(text: str) -> str:
    """Full-width signs as plain ones, one line."""
    plain = unicodedata.normalize("NFKC", text[:CELL_MAX].translate(_CIRCLED))[:CELL_MAX]
    plain = plain.replace("﹤", "《").replace("﹥", "》")
    plain = "".join(c if c.isprintable() or c == "\t" else " " for c in plain).strip()
    at = 0
    while at < len(plain) and (
        plain[at] in _BULLETS or unicodedata.category(plain[at]) in _ORNAMENT
    ):
        at += 1
    return plain[at:]


def _strong(line: str) -> bool:
    return bool(_TITLE.search(line) or _NUMBERING.match(line)) and not _TALK.match(line)


# --- tables ----------------------------------------------------------------------------------


def _heading(row: Sequence[str]) -> dict[int, str]:
    """Columns by place, if this row is the headings."""
    named = {
        place: _NAMED[name]
        for place, cell in enumerate(row)
        if (name := cell.replace(" ", "").strip("*:")) in _NAMED
    }
    return named if len(named) >= 2 and "title" in named.values() else {}


def _by_columns(row: Sequence[str], columns: dict[int, str]) -> _Row | None:
    cell = {name: row[place] for place, name in columns.items() if place < len(row)}
    title = cell.get("title", "")
    if not title or _no_entry(title):
        return None
    # One cell often holds genre and title: 舞蹈《欢聚一堂》.
    inner = _TITLE.search(title)
    genre = cell.get("genre", "") or (_trim(title[: inner.start()]) if inner else "")
    begin, end, rest = times.take_time(cell.get("about", ""))
    length = times.length_of(cell.get("length", ""))
    if length is None and begin is None:
        length = times.length_of(rest)
    return _Row(
        _named(title) or _trim(title), genre, _trim(cell.get("performers", "")), begin, end, length
    )


def _by_looks(cells: Sequence[str]) -> _Row | None:
    """A row of a table without headings: each cell is what it looks like."""
    begin = end = None
    length = None
    words: list[str] = []
    genre = title = ""
    for cell in cells:
        raw, until, rest = times.take_time(cell)
        if raw is not None and not rest.strip(_EDGE):
            begin, end = begin or raw, end or until
        elif (seconds := times.take_length(cell))[0] is not None and not seconds[1].strip(_EDGE):
            length = seconds[0]
        elif re.fullmatch(r"(?:第?[0-9一二三四五六七八九十]{1,4}[、.)]?|[((].{1,3}[))])", cell):
            continue
        elif (titled := _TITLE.search(cell)) and not title:
            title = _named(cell)
            genre = genre or _trim(_NUMBERING.sub("", cell[: titled.start()], count=1))
        elif not genre and len(cell) <= 8 and _GENRE.search(cell):
            genre = cell
        else:
            words.append(_trim(cell))
    if not title and words:
        title = words.pop(0)
    if not title or _no_entry(title):
        return None
    return _Row(title, genre, "、".join(word for word in words if word), begin, end, length)


# --- lines -----------------------------------------------------------------------------------


def _no_entry(text: str) -> bool:
    return bool(_TALK.match(text) or _FACTS.match(text) or _HEADINGS.search(text))


def _by_words(line: str, before: list[_Row], *, strict: bool) -> _Row | None:
    """The entry of a line; a line that goes on with the one before is added to it."""
    begin, end, rest = times.take_time(line)
    number = _NUMBERING.match(rest)
    body = rest[number.end() :] if number else rest
    if begin is None:
        begin, end, body = times.take_time(body)
    if _no_entry(line) or _no_entry(body):
        return None
    length, body = times.take_length(body)
    body = body.strip()
    if before and not number and begin is None and (_LABEL.match(body) or not body.strip(_EDGE)):
        last = before[-1]
        more = _performers(body)
        before[-1] = replace(
            last,
            performers=last.performers or more,
            length=last.length if length is None else length,
        )
        return None
    titled = _TITLE.search(body)
    if not titled and not number and begin is None and (strict or len(body) > 40):
        return None
    row = _with_title(body) if titled else _without_title(body)
    return replace(row, begin=begin, end=end, length=length) if row.title else None


def _named(text: str) -> str:
    """What stands between 《 and 》; several are one title."""
    return "、".join(_trim(name) for name in _TITLE.findall(text))


def _with_title(body: str) -> _Row:
    first = _TITLE.search(body)
    assert first is not None
    last = list(_TITLE.finditer(body))[-1]
    head, tail = body[: first.start()], body[last.end() :]
    # 表演：舞蹈队《…》 or 王建国 独唱《…》: whoever stands in front is no genre.
    performers = ""
    if found := _LATER_LABEL.search(head):
        performers, head = _trim(head[found.end() :]), head[: found.start()]
    words = head.split()
    genre = _trim(head)
    if len(words) > 1 and _GENRE.search(words[-1]):
        performers = performers or _trim(" ".join(words[:-1]))
        genre = _trim(words[-1])
    tail = _EXCERPT.sub("", tail.lstrip(), count=1) if _EXCERPT.match(tail.lstrip()) else tail
    return _Row(_named(body), genre, _performers(tail) or performers)


def _without_title(body: str) -> _Row:
    """No 《》: 舞蹈：欢聚一堂 表演：…, 独唱 我的祖国 王建国, or the title alone."""
    performers = ""
    if found := _LATER_LABEL.search(body):
        performers, body = _trim(body[found.end() :]), body[: found.start()]
    if (quoted := _QUOTED.search(body)) and _genre_alone(body[: quoted.start()]):
        # 小品“回家” 曲艺队
        rest = _performers(body[quoted.end() :])
        return _Row(_trim(quoted[1]), _trim(body[: quoted.start()]), performers or rest)
    body = re.sub(r"[【】\[\]]", " ", body)
    if not performers and (found := _BRACKETED.search(body)) and body[: found.start()].strip():
        performers, body = _trim(found[1]), body[: found.start()]
    words = [word for part in _APART.split(body) if (word := _trim(part))]
    if len(words) == 1 and ":" in words[0]:
        words = [word for part in words[0].split(":", 1) if (word := _trim(part))]
    words = [
        w
        for word in words
        for w in ([_trim(x) for x in word.split(":", 1)] if ":" in word else [word])
        if w
    ]
    if not words:
        return _Row("")
    genre = ""
    if len(words) > 1 and len(words[0]) <= 8 and _GENRE.search(words[0]):
        genre = words.pop(0)
    title, *others = words
    if not genre and others and len(others[0]) <= 8 and _GENRE.fullmatch(others[0]):
        genre = others.pop(0)
    return _Row(title, genre, performers or "、".join(others))


def _genre_alone(text: str) -> bool:
    text = _trim(text)
    return not text or (len(text) <= 8 and _GENRE.search(text) is not None)


def _performers(text: str) -> str:
    """Who performs, without the label in front, labels after it kept: 舞蹈队 指导:李老师."""
    text = _trim(text)
    if found := _LABEL.match(text):
        text = text[found.end() :]
    return _trim(re.sub(r"\s+", " ", text))


def _trim(text: str) -> str:
    text = text.strip(_EDGE)
    # A bracket that was opened inside is closed again.
    return text + ")" if text.count("(") > text.count(")") else text


# --- the list --------------------------------------------------------------------------------


def _lines(rows: Sequence[_Row]) -> list[Line]:
    abouts, unit = times.resolve([row.begin for row in rows])
    made = []
    for row, about in zip(rows, abouts, strict=True):
        length = row.length
        if length is None and row.begin is not None and row.end is not None:
            length = times.span(row.begin, row.end, unit)
        made.append(
            Line(
                title=row.title[:TITLE_MAX],
                genre=row.genre[:GENRE_MAX],
                performers=row.performers[:PERFORMERS_MAX],
                about_ticks=_ticks(about),
                length_ticks=_ticks(length) or None,
            )
        )
    return made


def _ticks(seconds: float | None) -> int | None:
    ticks = None if seconds is None else round(seconds * TICKS_A_SECOND)
    return ticks if ticks is not None and 0 <= ticks <= TIME_MAX_TICKS else None
