"""The best first: how well a title answers what was typed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from catalog.search.tokens import fold, initials_of_folded, is_letters, words_of

Item = TypeVar("Item")


def ranked(found: Iterable[tuple[str, Item]], typed: str) -> list[Item]:
    """(folded title, item), the newest first → items, the best first, of equals the newest.

    Titles that have what was typed in one piece come first, sooner if they begin with it, then
    those with more of its words.
    """
    whole = fold(typed)
    words = words_of(typed)
    scored = [(_score(title, whole, words), item) for title, item in found]
    return [item for _, item in sorted(scored, key=lambda pair: pair[0], reverse=True)]


def _score(title: str, whole: str, words: Sequence[str]) -> tuple[bool, int, bool]:
    has = sum(1 for word in words if _has(title, word))
    return whole in title, has, title.startswith(whole)


def _has(title: str, word: str) -> bool:
    return word in title or (is_letters(word) and word in initials_of_folded(title))
