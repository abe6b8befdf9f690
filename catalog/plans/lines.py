"""From targets, facts and entries to the lines of a report. Pure.

Asked of one unit or of many at once, a line is made the same way: the facts of all its units are
one pile, so what they share counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from catalog.plans import amounts
from catalog.plans.bench import ZERO, Asked, Bench, Found, Given, Place
from catalog.plans.measures import scale
from catalog.plans.periods import PERIODS, period_of, period_text, span_of, wider
from catalog.plans.report import Cell, Evidence, Line, Source
from catalog.year.facts import Facts


@dataclass(frozen=True, slots=True)
class _Sum:
    """A target reckoned: in its own unit, and as the count that is printed and still owed."""

    target: Fraction
    actual: Fraction | None
    count: Fraction | None
    count_target: Fraction
    unit: str
    cells: tuple[Cell, ...] = ()

    def met(self, op: str) -> bool | None:
        if self.cells:
            return None if self.actual is None else all(cell.met for cell in self.cells)
        if self.actual is None:
            # Where nothing is asked, nothing is missing.
            return True if self.target == 0 and amounts.is_met(ZERO, op, self.target) else None
        return amounts.is_met(self.actual, op, self.target)

    def owed(self, op: str) -> Fraction:
        if self.cells:
            lacks = (amounts.missing(cell.actual, op, cell.target) for cell in self.cells)
            return sum(lacks, ZERO)
        return amounts.missing(self.count, op, self.count_target)


def line(bench: Bench, asked: Asked, places: Sequence[Place], centre: Place) -> Line:
    """One target against what ``places`` did; printed under ``centre``'s name."""
    joint = asked.per == "total" and len(places) < bench.group_sizes.get(asked.who, 0)
    found = bench.find(asked, places)
    if asked.is_share:
        made = _share(bench, asked, places, found)
    elif asked.period in PERIODS:
        made = _by_period(bench.facts, asked, places, found)
    else:
        target = _sum_asked(asked, places)
        made = _Sum(target, found.amount, found.amount, target, asked.unit)
    met = made.met(asked.op)
    return Line(
        code=asked.code,
        indicator=asked.indicator,
        unit=asked.unit,
        who=asked.who,
        level=asked.level,
        period=asked.period,
        parent=asked.parent,
        depth=asked.depth,
        centre_id=centre.id,
        centre_name=centre.name,
        target=made.target,
        op=asked.op,
        actual=made.actual,
        rate=None if made.actual is None else amounts.completion(made.actual, made.target),
        met=None if joint else met,
        owed=ZERO if joint or met else made.owed(asked.op),
        source=_source(found),
        evidence=_evidence(bench, asked, found, places) if bench.detail else (),
        cells=made.cells,
        note=_note(bench, asked, found, made.unit, joint=joint),
        count=made.count,
        count_target=made.count_target,
        owed_unit=made.unit,
        per=asked.per,
        joint=joint,
    )


def _sum_asked(asked: Asked, places: Sequence[Place]) -> Fraction:
    if asked.per != "per_unit" or asked.unit == "%":
        return asked.of(places[0]) if len(places) == 1 else asked.value
    return sum((asked.of(place) for place in places), ZERO)


def _share(bench: Bench, asked: Asked, places: Sequence[Place], found: Found) -> _Sum:
    """A 其中 in percent: of its parent's target, or of what its parent reached."""
    parent = bench.named(asked.parent)
    assert parent is not None  # a plan is checked when it is kept
    of_actual = (asked.denominator or bench.switches.share_of) == "actual"
    if of_actual:
        base = bench.find(parent, places).amount or ZERO
        wanted = base * asked.of(places[0]) / 100
    else:
        times = len(PERIODS.get(parent.period, "1"))
        units = places if parent.per == "per_unit" else places[:1]
        bases = [(parent.of(place) * times, asked.of(place)) for place in units]
        base = sum((of for of, _ in bases), ZERO)
        wanted = sum((of * percent / 100 for of, percent in bases), ZERO)
    # A share of nothing achieved is not reached; one of nothing asked is not asked.
    of_nothing = asked.value if of_actual else ZERO
    target = amounts.share(wanted, base) if wanted else of_nothing
    actual = None if found.amount is None else amounts.share(found.amount, base)
    return _Sum(target, actual, found.amount, wanted, parent.unit)


def _by_period(facts: Facts, asked: Asked, places: Sequence[Place], found: Found) -> _Sum:
    """Asked every month or quarter: each has to reach the target by itself. What they reach on
    average counts; a rich month pays for no poor one, and where none is poor nothing is cut."""
    target = _sum_asked(asked, places)
    cells = _cells(facts, asked, target, found)
    actual = None
    if any(cell.actual is not None for cell in cells):
        reached = [cell.actual or ZERO for cell in cells]
        if not all(cell.met for cell in cells):
            reached = [min(value, target) for value in reached]
        actual = sum(reached, ZERO) / len(cells)
    return _Sum(target, actual, actual, target, asked.unit, cells)


def _cells(facts: Facts, asked: Asked, target: Fraction, found: Found) -> tuple[Cell, ...]:
    pieces: Counter[str] = Counter()
    for hit in found.hits:
        pieces[period_of(hit.date, asked.period)] += hit.amount
    divisor = scale(asked.query) if asked.query else 1
    sums = {period: Fraction(amount, divisor) for period, amount in pieces.items()}
    for row in found.given:
        key = wider(row.period, asked.period)
        sums[key] = sums.get(key, ZERO) + row.value
    made = []
    for period in PERIODS[asked.period]:
        begin, end = span_of(period, facts.first.year)
        known = period in sums or (asked.query is not None and begin <= facts.last)
        actual = sums.get(period, ZERO) if known else None
        met: bool | None = None
        if actual is not None:
            met = amounts.is_met(actual, asked.op, target)
            met = None if not met and end > facts.last else met
        made.append(Cell(period, target, actual, met))
    return tuple(made)


# --- what is said -----------------------------------------------------------------------------


def _source(found: Found) -> Source:
    if found.given:
        return "hand"
    return "none" if found.amount is None else "ledger"


def _evidence(
    bench: Bench, asked: Asked, found: Found, places: Sequence[Place]
) -> tuple[Evidence, ...]:
    rows = bench.rows(asked.query, places) if asked.query else ()
    if not found.given:
        return rows
    names = {place.id: place.name for place in places}
    return (*rows, *(_entered(row, asked, names[row.centre_id]) for row in found.given))


def _entered(row: Given, asked: Asked, centre: str) -> Evidence:
    title = f"{centre}填报：{asked.indicator}" + (
        f"（{period_text(row.period)}）" if row.period else ""
    )
    return Evidence("entry", str(row.id), title, row.date, row.value, row.note)


def _note(bench: Bench, asked: Asked, found: Found, unit: str, *, joint: bool) -> str:
    said = []
    if found.given and found.ledger:
        ledger = amounts.amount_text(found.ledger, unit)
        hand = amounts.amount_text(found.hand or ZERO, unit)
        said.append(f"其中台账{ledger}，手工填报{hand}")
    if joint:
        said.append(f"由{bench.group_sizes[asked.who]}个单位合计完成")
    return "；".join(said)


def rolled_up(whole: Line, of_units: Iterable[Line]) -> Line:
    """The line of several units: asked of each, it is met when each has met it."""
    lines = list(of_units)
    if whole.per == "total" or len(lines) < 2:
        return whole
    done = sum(line.met is True for line in lines)
    met = done == len(lines)
    note = f"{len(lines)}个单位中{done}个完成"
    return replace(
        whole,
        met=met if met or whole.actual is not None else None,
        owed=sum((line.owed for line in lines), ZERO),
        note=f"{note}；{whole.note}" if whole.note else note,
    )
