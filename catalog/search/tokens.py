"""Chinese text → the words it is indexed under, and what was typed → the words it must have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

import opencc
import rjieba

_SIMPLIFIED: Final = opencc.OpenCC("t2s")
_HAN: Final = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS: Final = re.compile(f"(?P<han>[{_HAN}]+)|(?P<number>[0-9]+)|(?P<word>[^\\W0-9_{_HAN}]+)")
_HAN_RUN: Final = re.compile(f"[{_HAN}]")
_LETTERS: Final = re.compile("[a-z]+")
INITIALS: Final = (2, 3)
"""Lengths of the runs of initials that are indexed."""
SILENT: Final = frozenset("的了和与及在是之等个年月日第")
"""Characters that say nothing by themselves, unless they are all that was typed."""
LONGEST_WORD: Final = 40


def fold(text: str) -> str:
    """One spelling for all: full width, capitals and traditional characters are gone."""
    simplified: str = _SIMPLIFIED.convert(unicodedata.normalize("NFKC", text))
    return simplified.lower()


def tokens(text: str) -> list[str]:
    """What ``text`` is found by: jieba's words, every two characters in a row, each character."""
    found: set[str] = set()
    for kind, run in _runs(fold(text)):
        if kind == "han":
            found.update(rjieba.cut_for_search(run))
            found.update(map("".join, pairwise(run)))
            found.update(run)
        else:
            found.add(run)
            found.update(_letter_runs(run))
    return sorted(found)


def initials(text: str) -> str:
    """First letters of the pinyin, Latin letters as they are, a space where anything else is."""
    return initials_of_folded(fold(text))


def initials_of_folded(folded: str) -> str:
    """The same for text that ``fold`` has written."""
    parts: list[str] = []
    end = 0
    for match in _RUNS.finditer(folded):
        if match.start() > end:
            parts.append(" ")
        end = match.end()
        parts.append(
            "".join(map(_initials, rjieba.cut(match[0]))) if match["han"] else
            match[0] if match["word"] else " "
        )  # fmt: skip
    return "".join(parts)


def letter_tokens(text: str) -> list[str]:
    """The runs of two and three initials ``text`` is found by."""
    return sorted(set(_letter_runs(initials(text))))


def query_of(typed: str) -> list[str]:
    """The tokens a record must have, all of them, to be found by what was typed.

    A longer word asks for its pieces of two characters, so that it does not matter how jieba cut
    the text it stands in; letters are the letters themselves or initials, in runs of three.
    """
    pieces: dict[str, None] = {}
    for word in words_of(typed):
        length = INITIALS[-1] if is_letters(word) else 2 if _HAN_RUN.match(word) else len(word)
        starts = range(max(1, len(word) - length + 1))
        pieces.update(dict.fromkeys(word[at : at + length] for at in starts))
    return list(pieces)


def words_of(typed: str) -> list[str]:
    """The words in what was typed, in one spelling; those that say nothing only if all do."""
    words: list[str] = []
    for kind, run in _runs(fold(typed)):
        words += rjieba.cut(run) if kind == "han" else [run]
    return [word for word in words if word not in SILENT] or words


def is_letters(word: str) -> bool:
    """Whether a word is Latin letters, which may be initials."""
    return _LETTERS.fullmatch(word) is not None


def _runs(folded: str) -> Iterator[tuple[str, str]]:
    for match in _RUNS.finditer(folded):
        yield match.lastgroup or "", match[0][:LONGEST_WORD] if match["han"] is None else match[0]


def _letter_runs(text: str) -> Iterator[str]:
    for run in _LETTERS.findall(text):
        for length in INITIALS:
            yield from (run[at : at + length] for at in range(len(run) - length + 1))


@lru_cache(maxsize=100_000)
def _initials(word: str) -> str:
    # Its dictionary is large, and a command that writes nothing down never looks into it.
    import pypinyin

    return "".join(
        letters if letters.isascii() and letters.isalpha() else " "
        for letters in pypinyin.lazy_pinyin(word, style=pypinyin.Style.FIRST_LETTER)
    )
