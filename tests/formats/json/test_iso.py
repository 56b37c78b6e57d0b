from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.json.iso import HEAD_BYTES, iso_times
from tailmetrics.formats.json.values import Values
from tailmetrics.formats.timestamps import EPOCH_START, reader
from tests.formats.logs import unhurried


def read(texts: list[str]) -> list[tuple[datetime, bool] | None]:
    values = Values.of([f'"{text}"'.encode() for text in texts])
    times, zoned, fits = iso_times(values.data, values.starts, values.ends)
    return [
        (EPOCH_START + timedelta(microseconds=int(time)), bool(is_zoned)) if fit else None
        for time, is_zoned, fit in zip(times, zoned, fits, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "time", "zoned"),
    [
        ("2024-10-01T00:00:01Z", "2024-10-01 00:00:01", True),
        ("2024-10-01t00:00:01z", "2024-10-01 00:00:01", True),
        ("2024-10-01 00:00:01", "2024-10-01 00:00:01", False),
        ("2024-10-01 00:00:01,123", "2024-10-01 00:00:01.123000", False),
        ("2024-10-01T00:00:01.123456789Z", "2024-10-01 00:00:01.123456", True),
        ("2024-10-01T00:00:01.5+05:30", "2024-09-30 18:30:01.500000", True),
        ("2024-10-01T00:00:01-03:30", "2024-10-01 03:30:01", True),
    ],
)
def test_a_time_is_read_by_its_bytes(text: str, time: str, zoned: bool) -> None:
    assert read([text]) == [(datetime.fromisoformat(time), zoned)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-10-01",
        "2024-10-01X00:00:01Z",
        "2024-10-01T00:00:60Z",
        "2024-10-01T24:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-10-01T00:00:00+24:00",
        "2024-10-01T00:00:00.Z",
        "2024-10-01T00:00:00.1.5Z",
        "2024-10-01T00:00:00.1234567890Z",
        "2024-10-01T00:00:00.1234567x9Z",
        "2024-10-01T00:00:00+0200",
        "2024-10-01T00:00:00ZZ",
        "0000-01-01T00:00:00Z",
    ],
)
def test_any_other_text_is_left_to_the_rules(text: str) -> None:
    assert read([text, "2024-10-01T00:00:01Z"])[0] is None


_parts = st.sampled_from(["", ".", ",", ".5", ".123", ".123456", ".123456789", ".1x", ".0000001"])
_zones = st.sampled_from(["", "Z", "z", "+00:00", "-03:30", "+23:59", "+24:00", "+02", " Z", "Zz"])


@unhurried
@given(st.lists(st.tuples(st.datetimes(), st.sampled_from("Tt _"), _parts, _zones), min_size=1, max_size=9))
def test_what_is_read_is_what_the_rules_read(written: list[tuple[datetime, str, str, str]]) -> None:
    texts = [
        time.strftime("%Y").zfill(4) + time.strftime(f"-%m-%d{mark}%H:%M:%S{part}{zone}")
        for time, mark, part, zone in written
    ]
    rules = reader("UTC", "").read(pl.Series(texts))
    for found, expected in zip(read(texts), rules, strict=True):
        assert found is None or expected is None or found[0] == expected


def test_what_is_looked_at_behind_the_begin_of_a_text_is_told() -> None:
    assert len("2024-10-01T00:00:00") <= HEAD_BYTES
