"""Records as Dublin Core."""

from __future__ import annotations

import datetime as dt

import pytest

from catalog.models import RESOURCE_KINDS, Centre, Resource
from catalog.records.dublin_core import DCMI_TYPES, ELEMENTS, dublin_core, duration


def record(**fields: object) -> Resource:
    given: dict[str, object] = {
        "id": "r1", "kind": "finished", "title": "三跳", "description": "", "languages": [],
        "keywords": [], "place": "", "people": [], "rights_holder": "", "licence": "centre",
        "licence_until": None, "source": "", "parent_id": None, "lineage": [], "work_id": None,
        "broadcast_id": None, "event_date": dt.date(2020, 1, 7), "duration_ticks": 0,
        "media_type": "", "size_bytes": 0,
    }  # fmt: skip
    return Resource(**{**given, **fields})


CENTRE = Centre(id="c1", name="勐海县文化馆", path="c1/")


def test_every_element_has_its_field() -> None:
    found = dublin_core(
        record(
            description="布朗族歌舞", languages=["khb", "zh"], keywords=["布朗族", "村晚"],
            place="勐海县打洛镇", rights_holder="勐海县文化馆", licence="nation",
            licence_until=dt.date(2030, 12, 31), source="县广播电视台", lineage=["r0"],
            parent_id="r9", broadcast_id="b1", duration_ticks=62 * 90_000 + 45_000,
            size_bytes=1024,
            people=[
                {"name": "岩温", "role": "performer"},
                {"name": "玉香", "role": "director"},
                {"name": "张三", "role": "other"},
            ],
        ),
        CENTRE,
        "https://live.example.cn",
        genre="歌舞",
    )  # fmt: skip
    assert tuple(found) == ELEMENTS
    assert found == {
        "title": ["三跳"],
        "creator": ["玉香"],
        "subject": ["歌舞", "布朗族", "村晚"],
        "description": ["布朗族歌舞"],
        "publisher": ["勐海县文化馆"],
        "contributor": ["岩温（表演）", "张三"],
        "date": ["2020-01-07"],
        "type": ["MovingImage", "成片"],
        "format": ["video/mp4", "PT1M2.5S", "1024 bytes"],
        "identifier": ["urn:xitai:resource:r1", "https://live.example.cn/r/r1"],
        "source": ["县广播电视台"],
        "language": ["khb", "zh"],
        "relation": ["urn:xitai:resource:r9", "urn:xitai:resource:r0"],
        "coverage": ["勐海县打洛镇"],
        "rights": ["勐海县文化馆", "全国共享（至 2030-12-31）"],
    }


def test_what_is_not_known_is_not_said() -> None:
    found = dublin_core(record(kind="news"), CENTRE, "https://live.example.cn")
    assert {name for name, values in found.items() if values} == {
        "title", "publisher", "date", "type", "identifier", "rights",
    }  # fmt: skip


def test_every_kind_has_a_type() -> None:
    assert set(DCMI_TYPES) == set(RESOURCE_KINDS)


@pytest.mark.parametrize(
    ("ticks", "said"),
    [
        (90_000, "PT1S"),
        (90, "PT0.001S"),
        (3600 * 90_000, "PT1H0S"),
        (3723 * 90_000 + 45_000, "PT1H2M3.5S"),
    ],
)
def test_lengths(ticks: int, said: str) -> None:
    assert duration(ticks) == said
