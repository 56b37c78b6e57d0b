"""Line protocol: what goes in comes out."""

from __future__ import annotations

import re

import polars as pl
import pytest

from tailmetrics.stores.influxdb.line_protocol import decoded, encoded, point, record_lines
from tests.builders import at, records_of
from tests.stores.influxdb.panels import PAGE

HOSTILE = [
    "plain",
    'it\'s "quoted"',
    "${x}",
    "a,b=c d",
    "ends with a backslash\\",
    "\\,\\=\\ ",
    "100%5C",
    "%",
    "\U0001f680",
    "line\nend\r\n\t\0",
    "x" * 10_000,
]


def lines_of(customer_id: str, path: str, duration: float | None = 0.1, tick: str = "s") -> list[str]:
    records = records_of([(at("2024-10-10"), customer_id, path, 200, duration)])
    place = pl.DataFrame({"tick": [tick], "lane": ["l-0"], "time": [7]})
    return record_lines(pl.concat([records, place], how="horizontal")).to_list()


def test_a_record_is_one_line() -> None:
    assert lines_of("a", "/x") == [
        'requests_s,customer_id=a,lane=l-0,status_code=200 duration=0.1,path="/x" 7'
    ]


def test_a_record_without_a_duration_says_so() -> None:
    assert lines_of("a", "/x", None) == [
        'requests_s,customer_id=a,lane=l-0,status_code=200 untimed=true,path="/x" 7'
    ]


def test_a_time_that_cannot_be_kept_is_a_field() -> None:
    [line] = lines_of("a", "/x", tick="far")
    assert line.endswith(',path="/x",us=1728518400000000i 7')


def test_the_page_about_the_bucket_names_just_the_measurements_tags_and_fields_that_there_are() -> None:
    lines = [*lines_of("a", "/"), *(lines_of("a", "/", None, tick)[0] for tick in ("ms", "us", "far"))]
    written = set()
    for line in lines:
        series, fields, _ = line.split(" ")
        measurement, *tags = series.split(",")
        written |= {measurement, *(pair.partition("=")[0] for pair in (*tags, *fields.split(",")))}
    interface = PAGE.partition("## The interface")[2].partition("### Time")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", interface, re.MULTILINE)) == written


@pytest.mark.parametrize(
    ("customer_id", "tag"),
    [
        ("a b", "a\\ b"),
        ("a,b=c", "a\\,b\\=c"),
        ("a\\", "a%5C"),
        ("100%", "100%25"),
        ("a\nb", "a%0Ab"),
        ('"\u00fc"', '"\u00fc"'),
    ],
)
def test_a_tag_is_escaped_by_the_rules_of_line_protocol(customer_id: str, tag: str) -> None:
    assert lines_of(customer_id, "/")[0].startswith(f"requests_s,customer_id={tag},lane=")


@pytest.mark.parametrize(
    ("path", "field"), [('a"b', 'a\\"b'), ("a\\", "a\\\\"), ("a\nb", "a%0Ab"), ("a b,c=d", "a b,c=d")]
)
def test_a_text_is_escaped_by_the_rules_of_line_protocol(path: str, field: str) -> None:
    assert f'path="{field}" 7' in lines_of("a", path)[0]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
def test_no_text_makes_another_line(text: str) -> None:
    assert "\n" not in lines_of(text, text)[0]
    assert "\n" not in point("m", {"tag": text}, {"field": text}, 1)


def test_what_was_encoded_is_decoded() -> None:
    texts = [*HOSTILE, *(encoded(text) for text in HOSTILE)]
    assert decoded(pl.Series([encoded(text) for text in texts])).to_list() == texts
