"""A return as CSV (one line a row, for spreadsheets) and as JSON (all of it, exact)."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any, BinaryIO

import msgspec

from catalog.cells import csv_text
from catalog.plans.report import Line, PlanReport, UnitReport, to_json
from catalog.returns.sentences import broadcast_sentences, sum_sentence, unit_sentences
from catalog.returns.shown import PERIODS, SOURCES, Paper, lines_of, periods_text, shown

COLUMNS = (
    "年份", "单位", "指标编号", "指标", "计量单位", "时段", "目标", "实际", "完成率", "是否完成",
    "尚欠", "数据来源", "依据项数", "依据", "备注",
)  # fmt: skip
EVIDENCE_SHOWN = 20
"""Titles of evidence in one field; the others are counted."""


def write_csv(paper: Paper, out: BinaryIO) -> None:
    """UTF-8 with the mark Excel looks for; text that looks like a formula is quoted."""
    wrapped = io.TextIOWrapper(out, "utf-8-sig", newline="", write_through=True)
    table = csv.writer(wrapped)
    table.writerow(COLUMNS)
    for report, unit, line in lines_of(paper):
        table.writerow(_fields(report, unit, line))
    wrapped.detach()


def _fields(report: PlanReport, unit: UnitReport, line: Line) -> list[str]:
    told = shown(line)
    titles = [row.title for row in line.evidence[:EVIDENCE_SHOWN]]
    more = len(line.evidence) - len(titles)
    together = "（合并）" if unit is report.total else ""
    return [
        str(report.year),
        csv_text(unit.centre_name + together),
        csv_text(line.code),
        csv_text(line.indicator),
        csv_text(told.unit),
        csv_text(PERIODS.get(line.period, line.period)),
        told.target_text,
        told.actual_text,
        told.rate_text,
        told.state,
        told.owed_text,
        SOURCES[line.source],
        str(len(line.evidence)),
        csv_text("；".join(titles) + (f"；另{more}项" if more else "")),
        csv_text("；".join(part for part in (told.note, periods_text(line)) if part)),
    ]


def write_json(paper: Paper, out: BinaryIO) -> None:
    """``rows``: every line as printed. ``reports``: the same exact, fractions as [n, d], with
    the evidence. ``sentences``: as the 自查报告 has them."""
    stamp = paper.stamp
    whole: dict[str, Any] = {
        "shape": "xitai-report-1",
        "years": [report.year for report in paper.reports],
        "centre": paper.reports[-1].root_name,
        "plan": paper.reports[-1].code,
        "cut_off": paper.reports[-1].cut_off.isoformat(),
        "rule_version": paper.reports[-1].rule_version,
        "return": None
        if stamp is None
        else {
            "id": stamp.return_id,
            "revision": stamp.revision,
            "cut_off": stamp.cut_off.isoformat(),
            "frozen_at": stamp.frozen_at.isoformat(),
            "frozen_by": stamp.frozen_name,
            "sha256": stamp.sha256,
            "why": stamp.why,
        },
        "rows": rows_of(paper),
        "sentences": [
            {
                "year": report.year,
                "units": unit_sentences(report, paper.names),
                "sum": sum_sentence(report.total.broadcasts),
                "broadcasts": broadcast_sentences(report.total.broadcasts),
            }
            for report in paper.reports
        ],
        "corrections": [asdict(found) for found in paper.corrections],
        "built_on": list(paper.built_on),
        "reports": [to_json(report) for report in paper.reports],
    }
    # Ten years of evidence are a hundred megabytes: the standard library takes a minute.
    out.write(msgspec.json.encode(whole) + b"\n")


def rows_of(paper: Paper) -> list[dict[str, Any]]:
    """Every line as printed, machine-readable."""
    return [_row(*found) for found in lines_of(paper)]


def _row(report: PlanReport, unit: UnitReport, line: Line) -> dict[str, Any]:
    told = shown(line)
    return {
        "year": report.year,
        "centre_id": unit.centre_id,
        "centre": unit.centre_name,
        "rolled_up": unit is report.total,
        "code": line.code,
        "indicator": line.indicator,
        "unit": told.unit,
        "period": line.period,
        "target": told.target_text,
        "actual": told.actual_text or None,
        "rate": told.rate_text or None,
        "met": line.met,
        "state": told.state,
        "owed": told.owed_text,
        "source": line.source,
        "evidence": len(line.evidence),
        "note": told.note,
    }
