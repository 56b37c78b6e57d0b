from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import FormatError
from tailmetrics.formats import LineFormat, open_format
from tailmetrics.settings import Settings

from .logs import unhurried

GOOD = {
    "timestamp": "2024-10-01T00:00:01Z",
    "customer_id": "cust_39",
    "path": "/api",
    "status_code": 200,
    "duration": 0.388,
}
TIME = datetime.fromisoformat("2024-10-01 00:00:01")


def json_lines(**settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, **settings).format_options("json"))  # type: ignore[arg-type, call-arg]


def line_of(**changes: object) -> str:
    return json.dumps(GOOD | changes)


def test_an_object_is_a_record_and_other_keys_are_ignored() -> None:
    parsed = json_lines().parse(line_of(level="info", tags=["a", {"b": None}]).encode(), 0)
    assert parsed.records.rows() == [(TIME, "cust_39", "/api", 200, 0.388, 0)]


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"status_code": "404"}, "status_code", 404),
        ({"status_code": 200.0}, "status_code", 200),
        ({"status_code": 0}, "status_code", 0),
        ({"status_code": -1}, "status_code", 0),
        ({"status_code": "000"}, "status_code", 0),
        ({"status_code": "-"}, "status_code", 0),
        ({"duration": "1.5"}, "duration", 1.5),
        ({"duration": 2}, "duration", 2.0),
        ({"duration": 1e-3}, "duration", 1e-3),
        ({"duration": None}, "duration", None),
        ({"duration": ""}, "duration", None),
        ({"duration": "-"}, "duration", None),
        ({"duration": -1}, "duration", None),
        ({"duration": -1.0}, "duration", None),
        ({"duration": "-1.000"}, "duration", None),
        ({"customer_id": 42}, "customer_id", "42"),
        ({"customer_id": 'ca"fé'}, "customer_id", 'ca"fé'),
        ({"timestamp": 1727740801}, "timestamp", TIME),
        ({"timestamp": "1727740801.0"}, "timestamp", TIME),
    ],
)
def test_values_may_be_numbers_or_text(changes: dict[str, object], column: str, value: object) -> None:
    assert json_lines().parse(line_of(**changes).encode(), 0).records[column].to_list() == [value]


def test_without_a_duration_it_is_null() -> None:
    line = json.dumps({key: value for key, value in GOOD.items() if key != "duration"})
    assert json_lines().parse(line.encode(), 0).records["duration"].to_list() == [None]


def test_keys_of_ones_own_go_into_objects() -> None:
    field_map = "timestamp=t, customer_id=user.id, path=http.request.path, status_code=http.status"
    line = '{"t":1727740801,"user":{"id":"a.b"},"http":{"status":200,"request":{"path":"/x"}}}'
    parsed = json_lines(log_json_fields=field_map).parse(line.encode(), 0)
    assert parsed.records.rows() == [(TIME, "a.b", "/x", 200, None, 0)]


def test_timestamps_of_ones_own_format_are_read() -> None:
    parsed = json_lines(log_timestamp_format="%d.%m.%Y %H:%M").parse(
        line_of(timestamp="01.10.2024 10:30").encode(), 0
    )
    assert parsed.records["timestamp"].to_list() == [datetime.fromisoformat("2024-10-01 10:30")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "line: found '[1]', expected a JSON object"),
        ('{"timestamp":', "line: found '{\"timestamp\":', expected a JSON object"),
        ("{}", "timestamp: found nothing, expected a real time"),
        (line_of(timestamp="soon"), "timestamp: found 'soon', expected a real time"),
        (line_of(customer_id=None), "customer_id: found nothing, expected 1 to 256 characters"),
        (line_of(customer_id="a\0b"), r"customer_id: found 'a\x00b', expected 1 to 256 characters"),
        (line_of(customer_id="a\t\x85"), r"customer_id: found 'a\t\x85', expected 1 to 256 characters"),
        (line_of(path="/\0"), r"path: found '/\x00', expected at least one character, and no NUL"),
        (line_of(path={"a\0": "\0"}), r"""path: found '{"a\x00": "\x00"}', expected at least one"""),
        (line_of(timestamp="\0"), r"timestamp: found '\x00', expected a real time"),
        (line_of(status_code="2\0"), r"status_code: found '2\x00', expected 100 to 599"),
        (line_of(duration="\0"), r"duration: found '\x00', expected a finite decimal number"),
        (line_of(status_code=99), "status_code: found '99', expected 100 to 599"),
        (line_of(status_code=True), "status_code: found 'true', expected 100 to 599"),
        (line_of(status_code="200 OK"), "status_code: found '200 OK', expected 100 to 599"),
        (line_of(status_code=None), "status_code: found nothing, expected 100 to 599"),
        (line_of(status_code=""), "status_code: found '', expected 100 to 599"),
        (line_of(duration="fast"), "duration: found 'fast', expected a finite decimal number"),
        (line_of(duration=-2), "duration: found '-2', expected a finite decimal number"),
        (line_of(duration=[1]), "duration: found '[1]', expected a finite decimal number"),
    ],
)
def test_a_bad_line_is_rejected_with_the_field_what_was_found_and_what_was_expected(
    line: str, reason: str
) -> None:
    found = json_lines().parse(line.encode(), 0).rejects["reason"].item()
    assert found.startswith(reason)


@pytest.mark.parametrize("half", [r"\ud800", r"\udfff", r"\uDBFF\u0041", r"\ud800\ue000", r"\ude80\ud83d"])
def test_half_of_a_surrogate_pair_is_rejected_as_what_it_is(half: str) -> None:
    for field in ("timestamp", "customer_id", "path", "status_code", "duration"):
        line = line_of(**{field: "a HALF z"}).replace("HALF", half)
        parsed = json_lines().parse(f"{line}\n{line_of()}".encode(), 0)
        [reason] = parsed.rejects["reason"]
        assert reason == (
            f"line: found {half[:6]}, which is half of a surrogate pair, expected whole characters"
        )
        assert parsed.rejects["line"].to_list() == [line]
        assert parsed.records.height == 1


@pytest.mark.parametrize("half", [r"\ud800", r"\udfff", r"\uDBFF\u0041", r"\ud800\ue000", r"\ude80\ud83d"])
def test_half_of_a_surrogate_pair_under_another_key_is_ignored(half: str) -> None:
    line = line_of(agent="a HALF z").replace("HALF", half)
    assert json_lines().parse(line.encode(), 0).records.rows() == [(TIME, "cust_39", "/api", 200, 0.388, 0)]


def test_a_whole_pair_and_a_backslash_before_an_u_are_text() -> None:
    line = line_of(customer_id="ROCKET", path="/BACKSLASH").replace("ROCKET", r"\ud83d\ude80")
    line = line.replace("BACKSLASH", r"\\ud800")
    assert json_lines().parse(line.encode(), 0).records.rows() == [
        (TIME, "\U0001f680", r"/\ud800", 200, 0.388, 0)
    ]


def test_very_deep_nesting_is_rejected() -> None:
    line = b'{"timestamp":' + b"[" * 200_000
    assert json_lines().parse(line, 0).rejects["offset"].to_list() == [0]


_lines = st.one_of(
    st.just(line_of()),
    st.sampled_from(
        ["", "{", "}", "{}", "null", "nope", '{"path":"/x"', '{"a":[1', "2]}", "{},{}", '{"a":"\\ud800"}']
    )
    | st.sampled_from(
        ['{"path":NaN}', '{"path":1e400}', '{"path":01}', '{"path":' + "9" * 50 + "}", "{" * 3000]
    ),
    st.dictionaries(
        st.sampled_from([*GOOD, "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    ).map(lambda changes: line_of(**changes)),
)


@unhurried
@given(st.lists(_lines, max_size=6), st.integers(1, 20))
def test_what_a_line_is_does_not_depend_on_its_neighbours(lines: list[str], times: int) -> None:
    read = json_lines()
    alone = [read.parse(f"{line}\n".encode(), 5) for line in lines]
    together = read.parse("".join(f"{line}\n" for line in lines * times).encode(), 5)
    assert together.records.drop("offset").rows() == [
        row for parsed in alone * times for row in parsed.records.drop("offset").rows()
    ]


@pytest.mark.parametrize(
    "field_map",
    [
        "",
        "timestamp=a",
        "timestamp=a,customer_id=b,path=c,status_code=d,host=e",
        "timestamp=a,customer_id=b,path=c,status_code=d,path=e",
        "timestamp=a,customer_id=b,path=c,status_code=a.b",
        "timestamp=a.b,customer_id=b,path=c,status_code=a",
        "timestamp=a..b,customer_id=b,path=c,status_code=d",
    ],
)
def test_a_wrong_map_is_named_when_the_format_is_opened(field_map: str) -> None:
    with pytest.raises(FormatError, match=r"^LOG_JSON_FIELDS: found '.*', expected "):
        json_lines(log_json_fields=field_map)
