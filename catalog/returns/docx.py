"""自查报告: a return as a Word document in five chapters, its sentences written by the numbers.

What Xitai cannot know (how it was done, what was hard, what comes next) staff say themselves;
where they have said nothing a line asks them to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO, Final

from docx import Document
from docx.enum.section import WD_ORIENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor

from catalog.cells import clean
from catalog.minutes import minutes_text
from catalog.plans.report import PlanReport
from catalog.returns.differences import WORDS
from catalog.returns.sentences import (
    MODES,
    STANDINGS,
    broadcast_sentences,
    owed_sentence,
    progress_sentences,
    sum_sentence,
    unit_sentences,
)
from catalog.returns.shown import RULES, SOURCES, Paper, periods_text, shown, units_of

BODY, HEADING = "仿宋", "黑体"
"""Faces official documents are set in; a machine without them takes its own."""
CHAPTERS: Final = ("一、基本情况", "二、主要做法", "三、存在问题", "四、下年计划", "附件")
TO_BE_WRITTEN: Final = "（此处请补充。）"

LINES = ("单位", "指标", "目标", "实际", "完成率", "是否完成", "依据", "备注")
_LINE_WIDTHS = (4.2, 5.6, 2.2, 2.2, 2.0, 2.0, 3.0, 3.9)
BROADCASTS = ("序号", "日期", "名称", "形式", "成片", "素材", "图片", "点击量")
_BROADCAST_WIDTHS = (1.3, 2.6, 10.0, 2.0, 2.2, 2.2, 2.0, 2.6)

Beat = Callable[[float], None]


def write_docx(paper: Paper, out: BinaryIO, beat: Beat = lambda _: None) -> None:
    """Write the document. ``beat`` is told how much is done, 0 to 1."""
    last = paper.reports[-1]
    document = Document()
    _styles(document)
    document.core_properties.title = clean(f"{last.root_name}{paper.years}年自查报告")
    document.core_properties.author = clean(last.root_name)
    _title(document, paper)
    _heading(document, CHAPTERS[0])
    for report in paper.reports:
        _figures(document, paper, report)
    for chapter, words in (
        (CHAPTERS[1], paper.words.done),
        (CHAPTERS[2], paper.words.problems),
        (CHAPTERS[3], paper.words.next_year),
    ):
        _heading(document, chapter)
        if chapter == CHAPTERS[2]:
            _owed(document, paper)
        _own_words(document, words)
    _appendix(document, paper, beat)
    document.save(out)


# --- chapters --------------------------------------------------------------------------------


def _title(document: Any, paper: Paper) -> None:
    last = paper.reports[-1]
    title = document.add_paragraph(clean(f"{last.root_name}{paper.years}年自查报告"), style="Title")
    title.alignment = WD_ALIGN_PARAGRAPH.CENTER
    under = f"《{last.title}》{f'（{last.document}）' if last.document else ''}"
    _centred(document, under)
    _centred(document, f"数据截至 {paper.cut_off()}")
    if paper.stamp is None:
        _centred(document, paper.state())
    else:
        why = f"（更正：{paper.stamp.why}）" if paper.stamp.why else ""
        _centred(document, f"第{paper.stamp.revision}版{why}")


def _figures(document: Any, paper: Paper, report: PlanReport) -> None:
    """一、基本情况 of a year: progress, the units' sentences, the broadcasts'."""
    if len(paper.reports) > 1:
        _heading(document, f"{report.year}年", level=2)
    for sentence in progress_sentences(report):
        _text(document, sentence)
    for sentence in unit_sentences(report, paper.names):
        _text(document, sentence)
    _text(document, sum_sentence(report.total.broadcasts))
    for sentence in broadcast_sentences(report.total.broadcasts):
        _text(document, sentence)


def _owed(document: Any, paper: Paper) -> None:
    for report in paper.reports:
        for unit in report.units:
            if said := owed_sentence(unit, paper.names):
                year = f"{report.year}年，" if len(paper.reports) > 1 else ""
                _text(document, f"{year}{said}")


def _own_words(document: Any, words: str) -> None:
    said = [line.strip() for line in words.splitlines() if line.strip()]
    for line in said or [TO_BE_WRITTEN]:
        _text(document, line)


def _appendix(document: Any, paper: Paper, beat: Beat) -> None:
    section = document.add_section()
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = section.page_height, section.page_width
    _heading(document, CHAPTERS[4])
    _text(document, f"口径 {paper.reports[-1].rule_version}。{RULES}")
    _text(document, paper.state())
    for number, report in enumerate(paper.reports):
        _heading(document, f"{report.year}年自查明细表", level=2)
        _table(document, LINES, _LINE_WIDTHS, _line_rows(report))
        if report.total.broadcasts:
            _heading(document, f"{report.year}年直录播活动明细", level=2)
            _table(document, BROADCASTS, _BROADCAST_WIDTHS, _broadcast_rows(report))
        beat((number + 1) / len(paper.reports))
    if paper.corrections:
        _heading(document, "与上一版的差异", level=2)
        rows = [(d.centre_name, WORDS[d.what], d.name, d.old, d.new) for d in paper.corrections]
        _table(document, ("单位", "类别", "名称", "原为", "现为"), (4, 2, 6, 6.5, 6.5), rows)
    if paper.built_on:
        _heading(document, "下级单位已上报的版本", level=2)
        below = [
            (c["centre_name"], f"第{c['revision']}版", c["sha256"], str(len(c["differs"])))
            for c in paper.built_on
        ]
        _table(document, ("单位", "版次", "校验值 SHA-256", "不一致处"), (6, 2, 14, 3), below)


def _line_rows(report: PlanReport) -> Iterable[Sequence[str]]:
    for unit in units_of(report):
        together = "（合并）" if unit is report.total else ""
        for line in unit.lines:
            told = shown(line)
            rows = f"{SOURCES[line.source]}{f' {len(line.evidence)} 项' if line.evidence else ''}"
            yield (
                unit.centre_name + together,
                "　" * line.depth + line.indicator,
                told.target_text + told.unit,
                told.actual_text + (told.unit if told.actual is not None else ""),
                told.rate_text,
                told.state,
                rows,
                "；".join(part for part in (told.note, periods_text(line)) if part),
            )


def _broadcast_rows(report: PlanReport) -> Iterable[Sequence[str]]:
    for line in report.total.broadcasts:
        yield (
            str(line.nr) if line.nr else "—",
            line.date.isoformat(),
            line.title,
            STANDINGS[line.standing] + MODES[line.mode],
            f"{minutes_text(line.finished_ticks)}分钟",
            f"{minutes_text(line.raw_ticks)}分钟",
            f"{line.images}幅",
            f"{line.clicks}次",
        )


# --- parts -----------------------------------------------------------------------------------


def _styles(document: Any) -> None:
    for name, face, size, bold in (
        ("Normal", BODY, 14, False),
        ("Title", HEADING, 22, True),
        ("Heading 1", HEADING, 16, True),
        ("Heading 2", HEADING, 14, True),
    ):
        style = document.styles[name]
        style.font.name = face
        # Word takes the face of Chinese text from here, and only from here.
        style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), face)
        style.font.size = Pt(size)
        style.font.bold = bold
        style.font.color.rgb = RGBColor(0, 0, 0)
        for line in style.element.findall(f".//{qn('w:pBdr')}"):
            line.getparent().remove(line)
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.4)


def _heading(document: Any, text: str, level: int = 1) -> None:
    document.add_heading(clean(text), level=level)


def _text(document: Any, text: str) -> None:
    paragraph = document.add_paragraph(clean(text))
    # Two characters, as Chinese paragraphs begin.
    paragraph.paragraph_format.first_line_indent = Pt(28)
    paragraph.paragraph_format.line_spacing = 1.5


def _centred(document: Any, text: str) -> None:
    document.add_paragraph(clean(text)).alignment = WD_ALIGN_PARAGRAPH.CENTER


def _table(
    document: Any,
    headings: Sequence[str],
    widths: Sequence[float],
    rows: Iterable[Sequence[str]],
) -> None:
    """A table with its first row repeated on each page.

    python-docx looks up a cell by walking the table; ten years of rows are put together as XML,
    each a copy of one pattern in which only the texts are put.
    """
    table = document.add_table(rows=1, cols=len(headings), style="Table Grid")
    table.autofit = False
    for column, width in zip(table.columns, widths, strict=True):
        column.width = Cm(width)
    head = table.rows[0]._tr
    for cell in head.tc_lst:
        _run(cell)
    pattern = copy.deepcopy(head)
    for look in head.iter(qn("w:rPr")):
        look.insert(0, OxmlElement("w:b"))
    _fill(head, headings)
    head.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    for row in rows:
        made = copy.deepcopy(pattern)
        _fill(made, row)
        table._tbl.append(made)


def _run(cell: Any) -> None:
    """An empty run of small type, for a text to be put in."""
    run = cell.p_lst[0].add_r()
    size = OxmlElement("w:sz")
    size.set(qn("w:val"), "20")
    run.get_or_add_rPr().append(size)
    text = OxmlElement("w:t")
    text.set(qn("xml:space"), "preserve")
    run.append(text)


def _fill(row: Any, texts: Sequence[str]) -> None:
    for place, text in zip(row.iter(qn("w:t")), texts, strict=True):
        place.text = clean(text)
