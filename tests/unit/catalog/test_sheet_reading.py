"""Workbooks from outside: every broken, huge or strange one is refused in a sentence."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import random
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from api.sentences import SENTENCES
from catalog.errors import Refused
from catalog.records import kinds
from catalog.records.fields import FIELDS, clean
from catalog.records.sheet_columns import COLUMNS, TOO_LONG, shown
from catalog.records.sheet_reading import ROWS_MAX, UNPACKED_MAX, Bad, read

GENRES = {"dance": "舞蹈", "heritage": "非遗"}
TODAY = dt.date(2026, 1, 31)


def book(*rows: Sequence[Any]) -> io.BytesIO:
    made = Workbook()
    sheet = made.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    out = io.BytesIO()
    made.save(out)
    return out


def parts(out: io.BytesIO) -> dict[str, bytes]:
    with zipfile.ZipFile(out) as found:
        return {name: found.read(name) for name in found.namelist()}


def packed(contents: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in contents.items():
            made.writestr(name, data)
    return out


def refusal(file: io.BytesIO) -> str:
    with pytest.raises(Refused) as refused:
        read(file, GENRES)
    code = refused.value.code
    # Whatever it is, there is a sentence for it, and it can be filled in.
    assert SENTENCES[code].text.format(**refused.value.facts)
    return code


def test_what_is_no_workbook() -> None:
    assert refusal(io.BytesIO(b"")) == "sheet_not_xlsx"
    assert refusal(io.BytesIO("编号,题名\n,三跳\n".encode("gb18030"))) == "sheet_not_xlsx"
    assert refusal(io.BytesIO("编号,题名\n,三跳\n".encode("utf-16"))) == "sheet_not_xlsx"
    assert refusal(io.BytesIO(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))) == "sheet_old"
    assert refusal(packed({"word/document.xml": b"<x/>"})) == "sheet_not_xlsx"
    assert refusal(io.BytesIO(b"PK\x03\x04 and then nothing")) == "sheet_broken"
    whole = book(["题名"], ["三跳"]).getvalue()
    assert refusal(io.BytesIO(whole[: len(whole) // 2])) == "sheet_broken"
    assert refusal(packed({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<"})) in (
        "sheet_broken", "sheet_not_xlsx",
    )  # fmt: skip


def test_a_cell_of_a_hundred_megabytes_is_refused_unread() -> None:
    contents = parts(book(["题名"], ["三跳"]))
    name = next(n for n in contents if n.endswith("sheet1.xml"))
    big = b"x" * (100 << 20)
    contents[name] = contents[name].replace(b"</sheetData>", b"<!--" + big + b"--></sheetData>")
    bomb = packed(contents)
    assert len(bomb.getvalue()) < 1 << 20
    began = time.monotonic()
    assert refusal(bomb) == "sheet_bomb"
    assert time.monotonic() - began < 1
    # Smaller than the limit, yet packed as nothing people write is.
    contents[name] = contents[name].replace(big, big[: UNPACKED_MAX // 2])
    assert refusal(packed(contents)) == "sheet_bomb"


def test_a_zip_that_lies_about_its_size_is_not_unpacked_further() -> None:
    contents = parts(book(["题名"], ["三跳"]))
    name = next(n for n in contents if n.endswith("sheet1.xml"))
    contents[name] += b"<!--" + b"y" * (100 << 20) + b"-->"
    bomb = bytearray(packed(contents).getvalue())
    with zipfile.ZipFile(io.BytesIO(bytes(bomb))) as found:
        sizes = {entry.filename: entry.file_size for entry in found.infolist()}
    said = sizes[name].to_bytes(4, "little")
    at = bomb.rindex(said)  # in the directory at the end, which is what is believed
    bomb[at : at + 4] = (1000).to_bytes(4, "little")
    assert refusal(io.BytesIO(bytes(bomb))) == "sheet_broken"


def test_entities_do_not_explode() -> None:
    contents = parts(book(["题名"], ["三跳"]))
    name = next(n for n in contents if n.endswith("sheet1.xml"))
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 20}">' for n in range(1, 9))
    dtd = f'<!DOCTYPE worksheet [<!ENTITY a0 "{"z" * 50}">{levels}]>'.encode()
    start = contents[name].index(b"<worksheet")
    contents[name] = dtd + contents[name][start:].replace(b"&#19977;&#36339;", b"&a8;")
    began = time.monotonic()
    assert refusal(packed(contents)) == "sheet_broken"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_few_entities_are_not_taken_either(encoding: str) -> None:
    """Each within what the parser itself puts up with, together thousands of times the file."""
    contents = parts(book(["题名"], ["三跳"]))
    name = next(n for n in contents if n.endswith("sheet1.xml"))
    dtd = f'<!--{" " * 100_000}--><!DOCTYPE worksheet [<!ENTITY a "{"z" * 1000}">]>'
    text = contents[name].decode().replace("&#19977;&#36339;", "&a;" * 100)
    at = text.index("<worksheet")
    contents[name] = f'<?xml version="1.0" encoding="{encoding}"?>{dtd}{text[at:]}'.encode(encoding)
    assert refusal(packed(contents)) == "sheet_broken"


def test_headings_are_found_or_the_file_is_refused() -> None:
    found = read(book(["2025 年资源"], [], ["题名 *", "类型*", None], ["三跳", "成片"]), GENRES)
    assert [(row.number, row.kind, row.fields) for row in found.good] == [
        (4, "finished", {"title": "三跳"})
    ]
    assert refusal(book(["三跳", "成片"])) == "sheet_headings"
    assert refusal(book(["题名", "标题"], ["三跳"])) == "sheet_heading"
    assert refusal(book(["题名", "题名"], ["三跳"])) == "sheet_heading_twice"
    assert refusal(book(["题名"], *([f"第 {n} 场"] for n in range(ROWS_MAX + 1)))) == "sheet_rows"


def test_bad_rows_are_told_with_number_and_reason() -> None:
    found = read(
        book(
            ["编号", "题名", "类型", "日期", "门类", "次序", "已确认", "语种"],
            [None, "好的", "图片", dt.date(2025, 5, 1), "非遗", 3, "是", "傣语（西双版纳）；汉语"],
            [None, "坏的", "电影", "去年", "杂技", "三", "也许", "火星语"],
            [None, "=1+1", "成片", None, None, None, None, None],
            [None, None, None, None, None, None, None, None],
            [None, "好的", "成片", "2025年2月30日", None, 1.5, None, None],
            ["r1", "甲", None, None, None, None, None, None],
            ["r1", "乙", None, None, None, None, None, None],
        ),
        GENRES,
    )
    assert [row.number for row in found.good] == [2, 7]
    assert found.good[0].fields == {
        "title": "好的", "event_date": "2025-05-01", "genre_id": "heritage", "position": 3,
        "confirmed": True, "languages": ["khb", "zh"],
    }  # fmt: skip
    told = {(bad.row, bad.column): bad.reason for bad in found.bad}
    assert told[4, "题名"] == "是公式，请改成值"
    assert told[6, "日期"] == "没有 2025年2月30日 这一天"
    assert told[8, "编号"] == "和第 7 行是同一个编号"
    assert set(told) == {
        (3, "日期"), (3, "门类"), (3, "次序"), (3, "已确认"), (3, "语种"), (3, "类型"),
        (4, "题名"), (6, "日期"), (6, "次序"), (8, "编号"),
    }  # fmt: skip
    assert all(isinstance(bad, Bad) for bad in found.bad)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("=+-@；、 中"),
    max_size=30,
)


@given(
    title=TEXT,
    day=st.dates(dt.date(1900, 1, 1), TODAY),
    genre=st.none() | st.sampled_from(list(GENRES)),
    languages=st.lists(st.sampled_from(list(kinds.LANGUAGES)), unique=True, max_size=5),
    people=st.lists(
        st.fixed_dictionaries(
            {"name": TEXT.filter(lambda t: t.strip(" ") and not set(t) & set(";；、()（）")),
             "role": st.sampled_from(list(kinds.PEOPLE_ROLES))}
        ),
        max_size=5,
    ),
    licence=st.sampled_from(list(kinds.LICENCES)),
    position=st.integers(0, kinds.POSITION_MAX),
    confirmed=st.booleans(),
)  # fmt: skip
def test_what_a_cell_shows_is_what_it_is_read_as(**given_fields: Any) -> None:
    fields = {
        "title": given_fields["title"], "event_date": given_fields["day"],
        "genre_id": given_fields["genre"], "languages": given_fields["languages"],
        "people": given_fields["people"], "licence": given_fields["licence"],
        "position": given_fields["position"], "confirmed": given_fields["confirmed"],
        "origin": "original", "licence_until": None,
    }  # fmt: skip
    if not given_fields["title"].strip():
        fields["title"] = "无题"
    kept = clean(fields, today=TODAY)
    back = {
        column.name: column.read(shown(column, kept[column.name], GENRES), GENRES)  # type: ignore[literal-required]
        for column in COLUMNS
        if column.name in kept
    }
    assert clean(back, today=TODAY) == kept


def test_every_field_has_its_column_and_long_texts_stay_at_home() -> None:
    assert {column.name for column in COLUMNS} == set(FIELDS)
    (body,) = (column for column in COLUMNS if column.name == "body")
    assert shown(body, "长" * 40_000, GENRES) == TOO_LONG
    found = read(book(["编号", "题名", "正文"], ["r1", "三跳", TOO_LONG]), GENRES)
    assert found.good[0].fields == {"title": "三跳"}


def survives(file: io.BytesIO) -> None:
    """Whatever is in it: nothing but a refusal may come out of reading it."""
    with contextlib.suppress(Refused):
        read(file, GENRES)


@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")
def test_damage_anywhere_is_a_refusal_or_a_reading() -> None:
    dice = random.Random(3)
    whole = book(
        ["题名", "类型", "日期"], *(["三跳", "成片", dt.date(2025, 1, 1)] for _ in range(9))
    )
    contents = parts(whole)
    for _ in range(150):
        name = dice.choice(list(contents))
        data = bytearray(contents[name])
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.choice(b"<>&\"'/=0x\xff a")
        survives(packed({**contents, name: bytes(data)}))
    raw = whole.getvalue()
    for _ in range(150):
        data = bytearray(raw)
        for _ in range(dice.randrange(1, 9)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        survives(io.BytesIO(bytes(data)))
