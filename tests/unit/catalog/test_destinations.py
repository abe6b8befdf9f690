"""Where webhooks may go, and when they are tried again."""

from __future__ import annotations

import datetime as dt
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Refused
from catalog.sharing.destinations import allowed, parse
from catalog.sharing.sender import GIVE_UP_AFTER, Answer, next_attempt

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("address", "reaches"),
    [
        ("8.8.8.8", "public private any"),
        ("2400:3200::1", "public private any"),
        ("10.1.2.3", "private any"),
        ("192.168.1.9", "private any"),
        ("100.64.0.7", "private any"),
        ("fd12:3456::1", "private any"),
        ("127.0.0.1", "any"),
        ("127.8.8.8", "any"),
        ("::1", "any"),
        ("::ffff:127.0.0.1", "any"),
        ("64:ff9b::7f00:1", "any"),
        ("2002:7f00:1::", "any"),
        # Where clouds hand out their keys.
        ("169.254.169.254", ""),
        ("169.254.0.23", ""),
        ("::ffff:169.254.169.254", ""),
        ("64:ff9b::a9fe:a9fe", ""),
        ("2002:a9fe:a9fe::", ""),
        ("100.100.100.200", ""),
        ("fd00:ec2::254", ""),
        ("fe80::1", ""),
        ("0.0.0.0", ""),
        ("::", ""),
        ("224.0.0.1", ""),
        ("255.255.255.255", ""),
    ],
)
def test_which_machines_are_out_of_bounds(address: str, reaches: str) -> None:
    found = [
        reach
        for reach in ("public", "private", "any")
        if allowed(ipaddress.ip_address(address), reach)
    ]
    assert " ".join(found) == reaches


def test_an_address_is_taken_apart() -> None:
    place = parse(" https://hook.example.cn:8443/in?k=1&m=2#here ")
    assert place.authority == "hook.example.cn:8443"
    assert place.at("10.0.0.1") == "https://10.0.0.1:8443/in?k=1&m=2"
    place = parse("http://[fd00::5]")
    assert place.authority == "[fd00::5]"
    assert place.at("fd00::5") == "http://[fd00::5]:80/"


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://a/", "file:///etc/passwd", "http://", "//a/b", "http://a:0/", "http://a:99999/",
        "http://user:pass@a/", "http://文化馆.cn/", "http://a b/", "http://a/\r\nx: y",
        "http://[fe80::1%25eth0]/", "http://a/" + "x" * 500, "http://[::1/",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(url)
    assert refused.value.code == "webhook_url"


@given(
    attempts=st.integers(1, 50),
    age=st.integers(0, 4 * 86_400),
    chance=st.floats(0, 1),
    wish=st.none() | st.integers(0, 10**6),
)
def test_tries_go_on_for_three_days_and_no_longer(
    attempts: int, age: int, chance: float, wish: int | None
) -> None:
    made = NOW - dt.timedelta(seconds=age)
    again = next_attempt(attempts, made, NOW, chance, Answer(503, retry_after=wish))
    assert (again is None) == (dt.timedelta(seconds=age) >= GIVE_UP_AFTER)
    if again is not None:
        assert NOW < again <= made + GIVE_UP_AFTER


def test_pauses_grow_and_a_receivers_wish_is_heard() -> None:
    pauses = []
    for attempt in range(1, 8):
        again = next_attempt(attempt, NOW, NOW, 0.0, Answer(500))
        assert again is not None
        pauses.append(again - NOW)
    assert pauses == sorted(pauses)
    assert pauses[0] == dt.timedelta(seconds=30)
    again = next_attempt(1, NOW, NOW, 0.0, Answer(429, retry_after=7200))
    assert again == NOW + dt.timedelta(hours=2)
