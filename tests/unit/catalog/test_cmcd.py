"""CMCD as players write it, in both versions; and whatever else a browser may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.cmcd import PlayQuality, members, play_quality


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Version 1, as in section 4 of CTA-5004.
        (
            ('bl=21300,br=3200,bs,cid="faec5fc2-ac30-11ea-bb37-0242ac130002",d=4004,dl=18500,'
            'mtp=48100,nor="..%2F300kbps%2Ftrack.m4v",ot=v,pr=1.08,rtp=12000,sf=d,'
            'sid="6e2fb550-c457-11e9-bb97-0800200c9a66",st=v,su,tb=6000'),
            PlayQuality(
                bitrate_kbps=3200, top_bitrate_kbps=6000, throughput_kbps=48100, live=False
            ),
        ),
        # Version 2: inner lists, with a token for what each item is of.
        (
            'bsa=(2),bsda=(1500),cid="q,=(z",msd=812,pb=(2400;v 128;a),sta=p,st=ll,tb=(2500;v),v=2',
            PlayQuality(
                startup_ms=812, rebuffers=2, rebuffer_ms=1500, bitrate_kbps=2528,
                top_bitrate_kbps=2500, live=True,
            ),
        ),
        # The mean, when the player keeps one, says more than the moment.
        ("br=900,cn.xitai-mbr=1800", PlayQuality(bitrate_kbps=1800)),
        ('bsa=(1) , msd=5;x=1, odd="\\"",tb=7', PlayQuality(5, 1, top_bitrate_kbps=7)),
        ("msd=99999999999,tb=-4,mtp=abc,bsa=()", None),
        ("=1,,;;", None),
        ("", None),
        ('sid="x",v=2', None),
    ],
)  # fmt: skip
def test_what_cmcd_says(text: str, found: PlayQuality | None) -> None:
    assert play_quality(text) == found


@given(st.text(max_size=600))
def test_anything_may_come(text: str) -> None:
    play_quality(text)


@given(st.text(alphabet='abc=(),";\\ 01.v-', max_size=120))
def test_anything_like_it_may_come(text: str) -> None:
    for value in members(text).values():
        assert len(value) <= len(text)
    play_quality(text)
