"""The brake's counters: whose tries are counted as one's."""

from __future__ import annotations

import pytest

from api.brake import _keys


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        # A subscriber has 2^64 addresses to try from.
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:203.0.113.9", "203.0.113.9", True),
        ("nonsense", "other", False),
    ],
)
def test_addresses_of_one_subscriber_are_counted_together(one: str, other: str, same: bool) -> None:
    assert (_keys("admin", one) == _keys("admin", other)) is same
    assert _keys("admin", one)[0] != _keys("wang", one)[0]
