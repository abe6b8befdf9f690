"""What `--cut-off` means: a day with all its hours, a time as it is written."""

from __future__ import annotations

import datetime as dt

import click
import pytest

from api.cli_returns import _when
from catalog.clock import CHINA, china_date


def test_a_day_is_meant_whole() -> None:
    found = _when("2020-12-31")
    assert found is not None
    assert found.astimezone(CHINA).isoformat() == "2020-12-31T23:59:59.999999+08:00"
    at_noon = _when("2020-12-31T12:00")
    assert at_noon == dt.datetime(2020, 12, 31, 4, tzinfo=dt.UTC)
    today = china_date(dt.datetime.now(dt.UTC))
    assert _when(today.isoformat()) is None  # as far as today has come
    ahead = _when((today + dt.timedelta(days=1)).isoformat())
    assert ahead is not None
    assert ahead > dt.datetime.now(dt.UTC)  # and is refused
    with pytest.raises(click.UsageError):
        _when("2020-02-30")
