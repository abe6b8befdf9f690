"""AMF 0 against the case table."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtmp import amf0
from ingest.rtmp.amf0 import AmfValue, EcmaArray
from ingest.rtmp.errors import AmfError
from ingest.rtmp.limits import Limits
from tests.unit.ingest import cases


@pytest.mark.parametrize(("wire", "value"), [c[1:] for c in cases.AMF0 + cases.AMF0_READ])
def test_decode(wire: bytes, value: AmfValue) -> None:
    decoded, end = amf0.decode(wire)
    assert decoded == value
    assert type(decoded) is type(value)
    assert end == len(wire)


@pytest.mark.parametrize(("wire", "value"), [c[1:] for c in cases.AMF0])
def test_encode(wire: bytes, value: AmfValue) -> None:
    assert amf0.encode(value) == wire


@pytest.mark.parametrize("wire", [c[1] for c in cases.AMF0_REFUSED])
def test_refused(wire: bytes) -> None:
    with pytest.raises(AmfError):
        amf0.decode(wire)


def test_depth_limit_is_exact_and_named() -> None:
    nested = b"\x0a\x00\x00\x00\x01" * 7 + b"\x05"  # 8 deep
    amf0.decode(nested)
    with pytest.raises(AmfError, match="nesting of 9, limit 8"):
        amf0.decode(b"\x0a\x00\x00\x00\x01" + nested)


def test_value_limit() -> None:
    with pytest.raises(AmfError, match="more than 3 values"):
        amf0.decode_all(b"\x05" * 4, limits=Limits(amf_values=3))


def test_decode_all_reads_to_the_end() -> None:
    assert amf0.decode_all(amf0.encode("a", 1.0, None)) == ["a", 1.0, None]


def test_int_is_a_number() -> None:
    assert amf0.encode(1) == amf0.encode(1.0)


_leaf = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20)
_value = st.recursive(
    _leaf,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4).map(EcmaArray)
    ),
    max_leaves=12,
)


@given(_value)
def test_round_trip(value: AmfValue) -> None:
    wire = amf0.encode(value)
    assert amf0.decode(wire, limits=Limits(amf_depth=100)) == (value, len(wire))


@given(st.binary(max_size=200))
def test_any_bytes(wire: bytes) -> None:
    with contextlib.suppress(AmfError):
        amf0.decode_all(wire)
