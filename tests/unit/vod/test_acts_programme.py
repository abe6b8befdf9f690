"""Programme lists as centres write them."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from catalog.errors import Refused
from catalog.programmes import LINES_MAX, _clean
from vod.acts.programme import TEXT_MAX, Line, read_pdf, read_text, read_xlsx, words_chance

SECOND = 90_000


def told(lines: list[Line]) -> list[tuple[str, str, str]]:
    return [(line.genre, line.title, line.performers) for line in lines]


def seconds(lines: list[Line], name: str) -> list[float | None]:
    values = [getattr(line, name) for line in lines]
    return [None if value is None else value / SECOND for value in values]


LINES = """\
2024年县乡村春晚节目单
时间：1月20日19:30  地点：文化广场
主持人：张三、李四
主持人串词：尊敬的各位领导，大家好，请欣赏舞蹈《春天》
第一篇章  春回大地
一、开场舞《欢聚一堂》  表演：文化馆舞蹈队
主持人上场
二、男声独唱《我和我的祖国》 演唱：王建国
男：下面请欣赏小品《不在节目单上》
3. 小品《回家过年》（表演者：城关镇代表队）约12分钟
4、诗朗诵：《沁园春·雪》   朗诵者：李玉香
（5）舞蹈 《茉莉花》 曼景村文艺队 5分30秒
第六个节目：器乐合奏《喜洋洋》……老年大学
7.歌曲联唱《山路十八弯》《十送红军》
   表演：艺术团
   时长：八分钟
八、三句半 夸夸咱们村 村民小组
"""


def test_lines_with_the_hosts_words_and_headings_between_them() -> None:
    lines = read_text(LINES).lines
    assert told(lines) == [
        ("开场舞", "欢聚一堂", "文化馆舞蹈队"),
        ("男声独唱", "我和我的祖国", "王建国"),
        ("小品", "回家过年", "城关镇代表队"),
        ("诗朗诵", "沁园春·雪", "李玉香"),
        ("舞蹈", "茉莉花", "曼景村文艺队"),
        ("器乐合奏", "喜洋洋", "老年大学"),
        ("歌曲联唱", "山路十八弯、十送红军", "艺术团"),
        ("三句半", "夸夸咱们村", "村民小组"),
    ]
    assert seconds(lines, "length_ticks") == [None, None, 720, None, 330, None, 480, None]
    assert seconds(lines, "about_ticks") == [None] * 8


def test_a_pasted_table_with_headings() -> None:
    lines = read_text(
        "序号\t时间\t节目类型\t节目名称\t表演单位\t时长\n"
        "1\t19:30\t歌伴舞\t《欢聚一堂》\t文化馆\t4'30\"\n"
        "2\t19:35\t独唱\t我的祖国\t王建国\t5分钟\n"
        "3\t19:41-19:50\t小品\t回家过年\t城关镇\t\n"
    ).lines
    assert told(lines) == [
        ("歌伴舞", "欢聚一堂", "文化馆"),
        ("独唱", "我的祖国", "王建国"),
        ("小品", "回家过年", "城关镇"),
    ]
    assert seconds(lines, "about_ticks") == [0, 300, 660]
    assert seconds(lines, "length_ticks") == [270, 300, 540]


def test_a_table_without_headings_past_midnight() -> None:
    lines = read_text(
        "23:50\t舞蹈\t欢聚一堂\t文化馆舞蹈队\n"
        "23:56\t独唱\t茉莉花\t李玉香\n"
        "0:03\t合唱\t难忘今宵\t全体演员"
    ).lines
    assert told(lines) == [
        ("舞蹈", "欢聚一堂", "文化馆舞蹈队"),
        ("独唱", "茉莉花", "李玉香"),
        ("合唱", "难忘今宵", "全体演员"),
    ]
    assert seconds(lines, "about_ticks") == [0, 360, 780]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["00:00:10", "00:04:30", "01:09:00"], [10, 270, 4140]),
        (["0:10", "4:30", "9:00"], [10, 270, 540]),
        (["0:00", "0:05", "0:11", "1:02"], [0, 300, 660, 3720]),
        (["19:35", "19:40", "20:05"], [0, 300, 1800]),
        (["19:35:00", "19:40:30"], [0, 330]),
        (["88:10", "93:00"], [5290, 5580]),
        # A slip of the pen says nothing.
        (["19:35", "19:30", "19:50"], [0, None, 900]),
        # The few that have a time are far apart: it is the clock's nevertheless.
        (["19:30", "19:36", "20:50"], [0, 360, 4800]),
        (["晚上7:30", "晚上7:36"], [0, 360]),
        (["下午3点半", "下午3点40分", "16时整"], [0, 600, 1800]),
    ],
)
def test_what_times_mean(written: list[str], meant: list[float | None]) -> None:
    lines = read_text("\n".join(f"{time} 舞蹈《第{n}个》" for n, time in enumerate(written))).lines
    assert seconds(lines, "about_ticks") == meant


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("约5分钟", 300),
        ("5分30秒", 330),
        ("（时长：十二分钟）", 720),
        ("4′20″", 260),
        ("3分半", 210),
        ("一小时10分", 4200),
        ("45秒", 45),
        ("5min", 300),
        ("", None),
    ],
)
def test_lengths(written: str, length: float | None) -> None:
    (line,) = read_text(f"1、舞蹈《茉莉花》 表演：舞蹈队 {written}").lines
    assert seconds([line], "length_ticks") == [length]
    assert line.performers == "舞蹈队"


@pytest.mark.parametrize(
    ("pasted", "entries"),
    [
        ("①开场舞《春》\n⑪独唱《夏》 王丽", [("开场舞", "春", ""), ("独唱", "夏", "王丽")]),
        ("🎤1、舞蹈《春🎉》\n★ 2、独唱《夏》", [("舞蹈", "春🎉", ""), ("独唱", "夏", "")]),
        ("- 舞蹈《春》\n* 独唱《夏》", [("舞蹈", "春", ""), ("独唱", "夏", "")]),
        ("1、【舞蹈】春【文化馆】\n2、【独唱】夏【王丽】",
         [("舞蹈", "春", "文化馆"), ("独唱", "夏", "王丽")]),
        ("1、小品“回家” 曲艺队\n2、独唱“夏”", [("小品", "回家", "曲艺队"), ("独唱", "夏", "")]),
        ("1-开场舞-春-舞蹈队\n2-独唱-夏-王丽",
         [("开场舞", "春", "舞蹈队"), ("独唱", "夏", "王丽")]),
        ("1.舞蹈《春》\n2.50年代金曲联唱", [("舞蹈", "春", ""), ("", "50年代金曲联唱", "")]),
        ("1、独唱 My Heart Will Go On 王丽", [("独唱", "My Heart Will Go On", "王丽")]),
        ("1、歌唱祖国（合唱团）", [("", "歌唱祖国", "合唱团")]),
        ("1、京剧《贵妃醉酒》选段 表演者：梅小兰", [("京剧", "贵妃醉酒", "梅小兰")]),
        # The words of a title are no time, whatever they say.
        ("1、歌曲《18:30的末班车》\n2、小品《最后5分钟》 曲艺队",
         [("歌曲", "18:30的末班车", ""), ("小品", "最后5分钟", "曲艺队")]),
        # From a spreadsheet: no heading over the numbers, a cell of two lines.
        ('\t节目名称\t演出者\t时长\n1\t舞蹈《春》\t"文化馆\n曼蚌村"\t5分钟\n2\t独唱《夏》\t王丽\t4分钟',
         [("舞蹈", "春", "文化馆、曼蚌村"), ("独唱", "夏", "王丽")]),
    ],
)  # fmt: skip
def test_lines_as_people_number_and_mark_them(
    pasted: str, entries: list[tuple[str, str, str]]
) -> None:
    assert told(read_text(pasted).lines) == entries


def test_bare_titles_are_entries_only_where_nothing_says_more() -> None:
    bare = read_text("欢聚一堂\n\n我的祖国\n")
    assert [line.title for line in bare.lines] == ["欢聚一堂", "我的祖国"]
    assert bare.left_out == []
    numbered = read_text("1、欢聚一堂\n大家鼓掌\n2、我的祖国")
    assert [line.title for line in numbered.lines] == ["欢聚一堂", "我的祖国"]
    assert numbered.left_out == ["大家鼓掌"]


def test_what_goes_on_with_an_entry_is_not_left_out() -> None:
    listing = read_text(
        "地点：村口戏台\n1、舞蹈《春》\n表演：舞蹈队\n主持人：请看下一个\n2、独唱《夏》"
    )
    assert [line.performers for line in listing.lines] == ["舞蹈队", ""]
    assert listing.left_out == ["地点:村口戏台", "主持人:请看下一个"]


def test_words_and_tunes() -> None:
    assert words_chance("小品") > 0.5 > words_chance("", "")
    assert words_chance("配乐诗朗诵") > 0.5
    assert words_chance("女声独唱") < 0.1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "programme_no_lines"),
        ("主持人：张三\n地点：广场", "programme_no_lines"),
        ("字" * (TEXT_MAX + 1), "programme_text_long"),
        ("\n".join(f"{n}、舞蹈《甲》" for n in range(LINES_MAX + 1)), "programme_too_long"),
    ],
)
def test_refused_texts(text: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read_text(text)
    assert refused.value.code == code


def test_a_workbook(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["2024年春晚节目单"])
    sheet.append(["序号", "开始时间", "节目形式", "节目名称", "演出单位", "时长"])
    sheet.append([1, dt.time(19, 30), "舞蹈", "欢聚一堂", "文化馆", dt.timedelta(minutes=4)])
    sheet.append([2, dt.time(19, 36), "独唱", "《茉莉花》", "李玉香", 5])
    book.save(tmp_path / "list.xlsx")
    lines = read_xlsx(tmp_path / "list.xlsx").lines
    assert told(lines) == [("舞蹈", "欢聚一堂", "文化馆"), ("独唱", "茉莉花", "李玉香")]
    assert seconds(lines, "about_ticks") == [0, 360]
    assert seconds(lines, "length_ticks") == [240, 300]


def test_a_workbook_that_swells_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", "<a/>")
        parts.writestr("xl/worksheets/sheet1.xml", b"0" * (70 << 20))
    with pytest.raises(Refused) as refused:
        read_xlsx(tmp_path / "bomb.xlsx")
    assert refused.value.code == "sheet_bomb"


def test_pdf_of_text(tmp_path: Path) -> None:
    (tmp_path / "list.pdf").write_bytes(_pdf("1. Dance <<Together>> 5:00".replace("<<", "\xab")))
    # The fonts every reader has know no Chinese; what matters here is that text comes out.
    lines = read_pdf(tmp_path / "list.pdf").lines
    assert "Dance" in lines[0].title


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"nothing of the kind", "programme_pdf_broken"), (None, "programme_pdf_picture")],
)
def test_refused_pdfs(tmp_path: Path, data: bytes | None, code: str) -> None:
    (tmp_path / "x.pdf").write_bytes(_pdf("") if data is None else data)
    with pytest.raises(Refused) as refused:
        read_pdf(tmp_path / "x.pdf")
    assert refused.value.code == code


def _pdf(text: str) -> bytes:
    """One page that says ``text``."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode("latin-1"))
    page[NameObject("/Contents")] = writer._add_object(stream)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(
            "0123456789一二十、.:：()（）《》\t 分秒钟约-'\"第个表演舞蹈独唱小品王\x00\u3000﹤",
            max_size=40,
        ),
        max_size=12,
    )
)
def test_whatever_is_pasted_every_entry_can_be_kept(rows: list[str]) -> None:
    try:
        lines = read_text("\n".join(rows)).lines
    except Refused:
        lines = []
    for line in lines:
        kept = _clean(1, line)
        assert kept.title
