from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats.paths import PathRules, asked_for, customer_regex


def kept(path: str, *patterns: str, keep_query: bool = False) -> str:
    rules = PathRules(keep_query=keep_query, patterns=patterns, exclude=())
    return str(rules.kept(pl.Series([path])).item())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a?b=1", "/a"), ("/a?b?c", "/a"), ("?q", "/"), ("/a", "/a"), ("", ""), ("/a\n?x\ny", "/a\n")],
)
def test_a_path_ends_before_its_query(path: str, expected: str) -> None:
    assert kept(path) == expected


def test_a_query_is_kept_when_asked_for() -> None:
    assert kept("/a?b=1", keep_query=True) == "/a?b=1"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders/17", "/orders/{id}"),
        ("/orders/17/items/3", "/orders/{id}/items/{id}"),
        ("/1/2/3", "/{id}/{id}/{id}"),
        ("/u/123e4567-e89b-42d3-a456-426614174000/x", "/u/{id}/x"),
        ("/blob/0123456789abcdef0123", "/blob/{id}"),
        ("/v1/orders", "/v1/orders"),
        ("/deadbeef", "/deadbeef"),
    ],
)
def test_numbers_uuids_and_long_hexadecimal_parts_are_one_path(path: str, expected: str) -> None:
    assert kept(path, "auto") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders/a-b", "/orders/{id}"),
        ("/orders/a-b?x=/", "/orders/{id}"),
        ("/orders/a/b", "/orders/a/b"),
        ("/orders/", "/orders/"),
        ("/users/x/cart.json", "/users/{name}/cart.json"),
        ("/users/x/cartxjson", "/users/x/cartxjson"),
    ],
)
def test_the_first_pattern_that_fits_stands_for_a_path(path: str, expected: str) -> None:
    assert kept(path, "/orders/{id}", "/users/{name}/cart.json", "/orders/{other}") == expected


def test_a_pattern_without_a_slash_is_refused_with_what_was_expected() -> None:
    with pytest.raises(FormatError, match=r"^LOG_PATH_PATTERNS: found 'orders', expected auto, or a path"):
        kept("/", "orders")


@pytest.mark.parametrize("pattern", ["/api/", "/{customer}/{customer}"])
def test_a_path_that_does_not_say_where_the_customer_is_is_refused(pattern: str) -> None:
    with pytest.raises(FormatError, match=r"^LOG_CUSTOMER: found .*, expected one \{customer\}"):
        customer_regex(pattern)


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (("/health",), ["/health?x", "/health"]),
        (("/health*", "/static/*"), ["/health?x", "/healthz", "/health", "/static/a/b"]),
        (("bots",), ["/bot"]),
        (("agent:curl/*",), ["/static/a/b"]),
        ((), []),
    ],
)
def test_what_is_excluded_is_told_by_path_and_agent(exclude: tuple[str, ...], expected: list[str]) -> None:
    agents = ["Mozilla/5.0", "-", "-", "curl/8", "Mozilla/5.0 (compatible; bingbot/2.0)", "-"]
    paths = ["/health?x", "/healthz", "/health", "/static/a/b", "/bot", "/x"]
    raw = pl.DataFrame({"path": paths, "agent": agents})
    excluded = PathRules(keep_query=False, patterns=(), exclude=exclude).excluded(raw)
    assert (raw.filter(excluded)["path"].to_list() if excluded is not None else []) == expected


def test_of_a_request_line_or_a_url_the_path_is_what_is_asked_for_and_any_other_text_stays() -> None:
    asked = {
        "GET /a b?c HTTP/1.1": "/a b?c",
        "GET /a?b": "/a?b",
        "M-SEARCH * HTTP/1.1": "*",
        "GET http://e.org/a HTTP/1.1": "/a",
        "http://e.org/a?b": "/a?b",
        "wss://u:p@[::1]:80/a": "/a",
        "https://e.org": "/",
        "http://e.org?b": "/?b",
        "http://e.org/a\nb": "/a\nb",
        "": "-",
    }
    others = ["/x HTTP/1.1", "get /a HTTP/1.1", "GET /a b", "/a?b=http://e.org/", "a", "e.org:443", "*", "-"]
    others.append("GET http://e.org/")
    found = asked_for(pl.Series([*asked, *others, None])).to_list()
    assert found == [*asked.values(), *others, None]


@pytest.mark.parametrize("pattern", ["/orders/:id", "/orders/*", "/orders/{id", "/orders/{id}/{", "/orders"])
def test_a_pattern_that_would_change_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(
        FormatError, match=r"^LOG_PATH_PATTERNS: found '/orders.*, expected auto, or a path with"
    ):
        kept("/", pattern)


@pytest.mark.parametrize("entry", ["bot", "Bots", "health", "agents:curl*", "User-Agent:curl*", "agent:"])
def test_what_is_to_be_excluded_and_would_never_be_found_is_refused(entry: str) -> None:
    with pytest.raises(
        FormatError, match=r"^LOG_EXCLUDE: found '.*', expected a glob of paths such as /health"
    ):
        PathRules(keep_query=False, patterns=(), exclude=("/health", entry))


@pytest.mark.parametrize(
    "entry", ["*", "-", "x.example:443", "localhost:443", "*health*", "img/*.png", "[a-c]"]
)
def test_what_a_path_may_be_is_excluded(entry: str) -> None:
    assert not PathRules(keep_query=False, patterns=(), exclude=(entry,)).are_as_logged
