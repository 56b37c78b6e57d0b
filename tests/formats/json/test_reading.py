from __future__ import annotations

import json
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.errors import FormatError
from tailmetrics.formats import LineFormat, open_format
from tailmetrics.formats.json.keys import JsonFields
from tailmetrics.formats.json.reading import JsonFormat, extract_by
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import TextFormat
from tailmetrics.settings import Settings
from tests.builders import format_options
from tests.formats.logs import unhurried
from tests.paths import DATA

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


FIELDS = JsonFields({name: (name,) for name in GOOD})
RULES = Rules(format_options("json"))


def by_rules() -> TextFormat:
    return TextFormat(extract_by(FIELDS), RULES, 1 << 20)


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


@pytest.mark.parametrize("slash", ["/", r"\/"])
@pytest.mark.parametrize(
    "request_line", ["GET /api?key=1 HTTP/1.1", "GET /api HTTP/2", "POST  /api  HTTP/1.0 "]
)
def test_a_request_line_tells_the_path(request_line: str, slash: str) -> None:
    lines = "\n".join([line_of(path=request_line).replace("/", slash), line_of()])
    assert json_lines().parse(lines.encode(), 0).records["path"].to_list() == ["/api", "/api"]
    of_path = json_lines(log_customer="/{customer}").parse(lines.encode(), 0)
    assert of_path.records["customer_id"].to_list() == ["api", "api"]


def test_without_a_duration_it_is_null() -> None:
    line = json.dumps({key: value for key, value in GOOD.items() if key != "duration"})
    assert json_lines().parse(line.encode(), 0).records["duration"].to_list() == [None]


@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize("customer", ["", "/{customer},customer_id"])
@pytest.mark.parametrize("url", ["http://shop.example/cart?a", "GET https://shop.example:80/cart HTTP/1.1"])
def test_of_a_url_the_path_is_what_is_behind_the_host(url: str, customer: str, times: int) -> None:
    log = json_lines(log_customer=customer) if customer else json_lines()
    data = (
        f"{line_of(path=url)}\n".replace("://", ":\\/\\/").encode()
        + f"{line_of(path=url)}\n".encode() * times
    )
    assert log.parse(data, 0).records["path"].to_list() == ["/cart"] * (times + 1)


@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize("by_shape", [True, False])
@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"duration_ms": 316}, 0.316),
        ({"duration_ms": "12.5"}, 0.0125),
        ({"latency_ms": 12.5}, 0.0125),
        ({"response_time_ms": 316}, 0.316),
        ({"duration_us": 316}, 0.000316),
        ({"duration_ns": 1e6}, 0.001),
        ({"duration_seconds": 2}, 2.0),
        ({"duration_s": 0.25}, 0.25),
        ({"duration_ms": "1.5s"}, 1.5),
        ({"duration_ms": None}, None),
        ({"duration_ms": ""}, None),
        ({"duration_ms": -1}, None),
        ({"duration": "-", "took_ms": 12}, 0.012),
        ({"duration": 2, "duration_ms": 2001}, 2.001),
        ({"other_ms": 3}, None),
    ],
)
def test_the_name_of_a_key_may_tell_the_unit_of_a_duration(
    changes: dict[str, object], seconds: float | None, by_shape: bool, times: int
) -> None:
    line = json.dumps({key: value for key, value in GOOD.items() if key != "duration"} | changes)
    data = f"{line}\n".encode() * times
    parsed = (json_lines() if by_shape else json_lines(log_customer="/{customer},customer_id")).parse(data, 0)
    assert parsed.records["duration"].to_list() == [seconds] * times


@pytest.mark.parametrize("times", [1, 300])
def test_the_name_of_a_key_of_ones_own_tells_its_unit(times: int) -> None:
    field_map = "timestamp=t,customer_id=h,path=u,status_code=s,duration=d.took_ms"
    line = '{"t":1727740801,"h":"a","u":"/","s":200,"d":{"took_ms":12}}\n'
    for unit in ("", "ms"):
        log = json_lines(log_json_fields=field_map, log_duration_unit=unit)
        assert log.parse(line.encode() * times, 0).records["duration"].to_list() == [0.012] * times


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


# The same lines by three ways: by the shape that many lines have, by the rules, and by Python's parser.

_KEYS = [*GOOD, "http", "http.status", "a", "é", 'k"\\\n', "\u2028"]
_written = st.one_of(
    st.sampled_from(
        ["1e3", "-0", "200.0", "200", "0.388", "1" * 40, "1E-2", "-1.5", "true", "false", "null"]
    ),
    st.sampled_from(
        ['""', '"-"', '"200"', '"200 OK"', '"2024-10-01T00:00:01.5Z"', "1727740801123", '"a?b=c"']
    ),
    st.sampled_from(
        [r'"\ud83d\ude80"', r'"\ud800"', r'"\u0000"', r'"\/a\u0026"', '"\x7f"', '"\x80"', '"客é"']
    ),
    st.sampled_from(["{}", "[]", "[1,[2]]", '{"status":"404"}', '{"a":{"a":[{}]}}', '[{"timestamp":1}]']),
    st.sampled_from(["01", "1.", ".5", "NaN", "Infinity", "+1", "tru", "", '"', '"a\tb"', "'a'", "{", "]"]),
    st.text(max_size=5).map(json.dumps),
    st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


@st.composite
def _objects(draw: st.DrawFn) -> str:
    """An object as it is written, perhaps with keys twice, in any order and with what is no JSON."""
    members = [
        (key, json.dumps(value) if draw(st.integers(0, 3)) else draw(_written)) for key, value in GOOD.items()
    ]
    members += draw(st.lists(st.tuples(st.sampled_from(_KEYS), _written), max_size=2))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return "{" + comma.join(f"{json.dumps(key)}{colon}{value}" for key, value in members) + "}"


class _Number(str):
    __slots__ = ()


def _refuse(name: str) -> None:
    raise ValueError(name)


def _by_python(line: str) -> dict[str, str | None] | None:
    """The values that are text, a number or nothing, by Python's parser."""
    try:
        found = json.loads(line, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
    except ValueError:
        return None
    return {key: value for key, value in found.items() if value is None or isinstance(value, str)}


@unhurried
@given(st.lists(_objects(), min_size=1, max_size=4))
def test_many_lines_of_a_shape_are_read_as_by_the_rules(lines: list[str]) -> None:
    data = "".join(f"{line}\n" for line in [line_of(), *lines] * 150).encode()
    parsed, expected = JsonFormat(FIELDS, RULES, 1 << 20).parse(data, 5), by_rules().parse(data, 5)
    assert_frame_equal(parsed.records, expected.records)
    assert_frame_equal(parsed.rejects, expected.rejects)
    assert parsed.records.height >= 150


@unhurried
@given(_objects())
def test_the_values_of_a_line_are_those_that_python_reads(line: str) -> None:
    [row] = extract_by(JsonFields({name: (name,) for name in GOOD}))(pl.Series([line])).rows(named=True)
    expected = _by_python(line)
    if expected is None:
        assert row["problem"].startswith("line: found ")
        return
    for name in ("timestamp", "customer_id", "path", "duration"):
        if name in expected and not _has_half(expected[name]):
            is_missing = expected[name] in ("", "-")
            nothing = {"duration": None, "path": "-"}.get(name, expected[name])
            assert row[name] == (nothing if is_missing else expected[name])


def _has_half(text: str | None) -> bool:
    return text is not None and any("\ud800" <= character <= "\udfff" for character in text)


def test_an_escaped_path_is_the_path_that_it_means() -> None:
    line = line_of().replace("/api", r"\/a\u0026b?c")
    parsed = json_lines(log_keep_query=True).parse(f"{line}\n".encode() * 300, 0)
    assert parsed.records["path"].unique().to_list() == ["/a&b?c"]


@pytest.mark.parametrize("status", ["200.0", '"200"', "200", '"200.0"'])
def test_a_status_may_be_written_as_a_float(status: str) -> None:
    line = line_of().replace('"status_code": 200', f'"status_code": {status}')
    assert json_lines().parse(line.encode(), 0).records["status_code"].to_list() == [200]


@pytest.mark.parametrize("status", ["200.5", '"200 OK"', "true", "2e2", "[200]"])
def test_any_other_status_is_a_reject(status: str) -> None:
    line = line_of().replace('"status_code": 200', f'"status_code": {status}')
    [reason] = json_lines().parse(line.encode(), 0).rejects["reason"]
    assert reason.startswith("status_code: found ")


@pytest.mark.parametrize("customer", [True, False, {"id": 1}, [1], []])
def test_a_customer_that_is_neither_text_nor_a_number_is_a_reject(customer: object) -> None:
    [reason] = json_lines().parse(line_of(customer_id=customer).encode(), 0).rejects["reason"]
    assert reason.startswith("customer_id: found ")
    assert reason.endswith(", expected text or a number")


def test_a_customer_may_be_looked_for_under_several_keys() -> None:
    field_map = "timestamp=t,customer_id=user.id|host,path=p,status_code=http.status"
    rest = '"t":1727740801,"p":"/","http.status":200'
    lines = [f'{{"user":{{"id":"u"}},"host":"h",{rest}}}', f'{{"user":{{"id":"-"}},"host":"h",{rest}}}']
    lines += [f'{{"user":null,"host":"h",{rest}}}', f'{{"host":"h",{rest}}}', f'{{"user.id":"d",{rest}}}']
    parsed = json_lines(log_json_fields=field_map).parse("\n".join(lines * 200).encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["u", "h", "h", "h", "d"] * 200


def test_further_columns_are_extracted_too() -> None:
    keys = {name: (name,) for name in GOOD} | {"user": ("auth.user",), "address": ("ip", "remote.ip")}
    found = extract_by(JsonFields(keys))(
        pl.Series([line_of(auth={"user": "bob"}, ip="-", remote={"ip": "::1"})])
    )
    assert found.select("user", "address").rows() == [("bob", "::1")]


def test_epochs_of_any_size_numbers_as_names_and_floats_as_states_are_read() -> None:
    field_map = (
        "timestamp=EdgeStartTimestamp,customer_id=ClientRequestHost,path=ClientRequestURI,"
        "status_code=EdgeResponseStatus,duration=EdgeTimeToFirstByteMs"
    )
    log = json_lines(log_json_fields=field_map, log_duration_unit="ms")
    parsed = log.parse((DATA / "logs" / "cf.json").read_bytes(), 0)
    april = datetime.fromisoformat("2024-04-10 23:00:00.123000")
    assert parsed.records.drop("offset").rows() == [
        (april, "shop.example", "/", 200, 0.023),
        (april, "shop.example", "/", 200, 0.023),
        (TIME, "42", "/", 200, None),
        (TIME, "x", "/", 200, None),
    ]
    assert parsed.rejects["reason"].to_list() == [
        "status_code: found '200 OK', expected 100 to 599, or 0, -1, 000 or - for no answer"
    ]


def test_a_duration_that_was_not_measured_is_none() -> None:
    field_map = "timestamp=t,customer_id=h,path=u,status_code=s,duration=d"
    parsed = json_lines(log_json_fields=field_map).parse((DATA / "json_dash_duration.log").read_bytes(), 0)
    assert parsed.records["duration"].to_list() == [0.01, None, None]
    assert parsed.records["status_code"].to_list() == [200, 502, 499]


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    "line",
    [
        "nope",
        "x" * 80,
        "客" * 81,
        "x" * 5000,
        '{"a":"\\ud800"',
        " ",
        "\u2003",
        "'a'",
        '{"a":"\\u0041',
        "[1]",
        "{}",
    ],
)
def test_a_damaged_line_is_told_as_by_the_rules(line: str, times: int) -> None:
    data = f"{line_of()}\n{line}\n".encode() * times
    parsed, expected = JsonFormat(FIELDS, RULES, 1 << 20).parse(data, 5), by_rules().parse(data, 5)
    assert_frame_equal(parsed.rejects, expected.rejects)
    assert (parsed.records.height, parsed.blanks) == (times, expected.blanks)


@pytest.mark.parametrize("times", [1, 100])
def test_a_damaged_line_costs_no_other(times: int) -> None:
    lines = [line_of(), line_of()[:-9], line_of(duration=2), "\x00", '{"a":', line_of(path="/客")]
    parsed = json_lines().parse("\n".join(lines * times).encode(), 0)
    assert parsed.records["duration"].to_list() == [0.388, 2.0, 0.388] * times
    assert parsed.rejects.height == 3 * times


@pytest.mark.parametrize(
    "field_map",
    [
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
