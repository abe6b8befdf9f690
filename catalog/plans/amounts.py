"""Exact amounts: completion, comparison, what is owed, progress; rounding only for display. Pure.

Comparison is numeric and unrounded. Text has one decimal, half up, a trailing .0 dropped, and is
never capped at 100 % (COUNTING.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from catalog.plans.report import Line, Progress

OPS: Final[dict[str, Callable[[Fraction, Fraction], bool]]] = {
    ">=": lambda actual, target: actual >= target,
    ">": lambda actual, target: actual > target,
    "<=": lambda actual, target: actual <= target,
    "<": lambda actual, target: actual < target,
    "=": lambda actual, target: actual == target,
}
OP_WORDS: Final = {">=": "不少于", ">": "多于", "<=": "不超过", "<": "少于", "=": "等于"}
_AT_MOST: Final = ("<=", "<")

FORMULA: Final = "年度进度＝各项指标完成率（超过100%的按100%计，未填报的按0计）之和÷项数{number}"


def exact(value: Decimal | int | str) -> Fraction:
    """A decimal number as the fraction it is."""
    return Fraction(Decimal(value))


def completion(actual: Fraction, target: Fraction) -> Fraction | None:
    """actual ÷ target × 100, in percent; None for a target of 0, of which there is no share."""
    return actual / target * 100 if target else None


def is_met(actual: Fraction, op: str, target: Fraction) -> bool:
    """Whether the unrounded amount satisfies the target."""
    return OPS[op](actual, target)


def missing(actual: Fraction | None, op: str, target: Fraction) -> Fraction:
    """How much is still to be done; a ceiling never asks for more."""
    if op in _AT_MOST:
        return Fraction(0)
    return max(target - (actual or Fraction(0)), Fraction(0))


def share(count: Fraction, of: Fraction) -> Fraction:
    """count ÷ of in percent; of nothing it is 0."""
    return count / of * 100 if of else Fraction(0)


def number_text(value: Fraction) -> str:
    """One decimal, half up, a trailing .0 dropped: 112.7, 300."""
    tenths = (abs(value) * 20 + 1) // 2
    sign = "-" if value < 0 and tenths else ""
    whole, tenth = divmod(tenths, 10)
    return f"{sign}{whole}.{tenth}" if tenth else f"{sign}{whole}"


def owed_number(value: Fraction) -> str:
    """What is missing; not 0 where a trace is (a twentieth of a minute)."""
    text = number_text(value)
    return "不到0.1" if value and text == "0" else text


def rate_text(percent: Fraction) -> str:
    """586.7%; never capped."""
    return f"{number_text(percent)}%"


def amount_text(value: Fraction, unit: str) -> str:
    """The number with its unit: 112.7分钟, 50%."""
    return f"{number_text(value)}{unit}"


def done_percent(line: Line) -> Fraction:
    """A line's part in the progress of the whole: its rate, at most 100; unknown is 0."""
    if line.met:
        return Fraction(100)
    if line.op in _AT_MOST or line.rate is None:
        # Over a ceiling there is no share done; nothing entered is nothing shown.
        return Fraction(0)
    return min(line.rate, Fraction(100))


def progress(lines: Iterable[Line]) -> Progress:
    """The mean of min(rate, 100 %) and the worst line, with the formula beside them."""
    done = [(done_percent(line), line.code) for line in lines if not line.joint]
    if not done:
        return Progress(Fraction(0), "", Fraction(0), FORMULA.format(number=0))
    worst, code = min(done, key=lambda pair: pair[0])
    mean = sum((percent for percent, _ in done), Fraction(0)) / len(done)
    return Progress(mean, code, worst, FORMULA.format(number=len(done)))
