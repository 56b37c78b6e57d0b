"""Which log a name belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.tailing.rotation import LogNames, chain
from tests.builders import log_path

PIECES = ("1", "2", "10", "2024", "20241010", "20241010T101010Z", "old", "bak")
SEPARATORS = (".", "_", "-", "~")


def names_of(*patterns: str, found: tuple[str, ...] = ()) -> LogNames:
    """The names of logs in the folder /logs, of which some were found."""
    names = LogNames([log_path(f"/logs/{pattern}", f"format {pattern}") for pattern in patterns])
    names.add(f"/logs/{name}" for name in found)
    return names


@st.composite
def log_names(draw: st.DrawFn) -> str:
    """Names of a stem and up to four marks, behind it and behind a suffix."""
    name = draw(st.sampled_from(["web", "h2", "node-a", "x.y"]))
    for suffix in ("", draw(st.sampled_from(["", ".log", ".txt"]))):
        name += suffix
        for _ in range(draw(st.integers(0, 2))):
            name += draw(st.sampled_from(SEPARATORS)) + draw(st.sampled_from(PIECES))
    return name + draw(st.sampled_from(["", "", ".gz", ".xz", ".bz2", ".zst"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.log", ["web.log"]),
        ("web.log.gz", ["web.log"]),
        ("web-1.log.2.gz", ["web-1.log.2", "web-1.log", "web.log"]),
        ("app.2.log", ["app.2.log", "app.log"]),
        ("h2_2.log.old", ["h2_2.log.old", "h2_2.log", "h2.log"]),
        ("node-10.access.log.3", ["node-10.access.log.3", "node-10.access.log"]),
        ("web-1-20241010.log", ["web-1-20241010.log", "web-1.log", "web.log"]),
        ("x.log-2024-10-10", ["x.log-2024-10-10", "x.log-2024-10", "x.log-2024", "x.log"]),
        ("x.log.1.gz.2", ["x.log.1.gz.2", "x.log.1", "x.log"]),
        ("x.log-20241010T101010Z", ["x.log-20241010T101010Z", "x.log"]),
        ("web1.log", ["web1.log"]),
        ("x.log.1.xz", ["x.log.1", "x.log"]),
        ("x.log-20241010.bz2", ["x.log-20241010", "x.log"]),
        ("x-1.log.zst", ["x-1.log", "x.log"]),
    ],
)
def test_one_piece_of_a_mark_is_taken_off_at_a_time(name: str, expected: list[str]) -> None:
    assert chain(f"/logs/{name}") == tuple(f"/logs/{each}" for each in expected)


@given(log_names())
def test_the_chain_of_each_name_in_a_chain_is_the_rest_of_it(name: str) -> None:
    names = chain(f"/logs/{name}")
    assert [chain(each) for each in names] == [names[place:] for place in range(len(names))]


@given(log_names(), st.lists(st.sampled_from(PIECES), max_size=3), st.sampled_from(SEPARATORS))
def test_a_log_that_an_entry_names_has_what_is_derived_from_its_name(
    name: str, pieces: list[str], separator: str
) -> None:
    log = chain(f"/logs/{name}")[0].removeprefix("/logs/")
    rotated = "".join([log, *(separator + piece for piece in pieces), ".gz"])
    assert names_of(log).log_of(f"/logs/{rotated}") == f"/logs/{log}"


@pytest.mark.parametrize(
    ("pattern", "found", "path", "log"),
    [
        ("web-1.log", (), "web-1.log.1", "web-1.log"),
        ("web-1.log", (), "web-1-20241010.log.gz", "web-1.log"),
        ("*.log", ("web-1.log",), "web-1.log.1", "web-1.log"),
        ("*.log", ("web-1.log", "web-1-20241010.log"), "web-1-20241010.log", "web-1.log"),
        ("*.log", ("web-1.log", "web-2.log"), "web-2.log", "web-2.log"),
        ("*.log", ("web.log", "web-2.log"), "web-2.log", "web.log"),
        ("*.log", (), "x.log.1", "x.log"),
        ("x.log*", ("x.log", "x.log.1"), "x.log.1", "x.log"),
        ("x.log*", ("x.log.1", "x.log.2"), "x.log.2", "x.log.2"),
        ("other", (), "x-1.log.1", "x.log"),
    ],
)
def test_the_log_of_a_name(pattern: str, found: tuple[str, ...], path: str, log: str) -> None:
    assert names_of(pattern, found=found).log_of(f"/logs/{path}") == f"/logs/{log}"


def test_an_exact_entry_is_a_log_of_its_own_beside_one_that_it_could_be_derived_from() -> None:
    names = names_of("web.log", "web-1.log", found=("web.log", "web-1.log"))
    assert not names.is_rotation_of("/logs/web-1.log", "/logs/web.log")


@pytest.mark.parametrize(
    ("path", "other", "expected"),
    [
        ("web-1.log", "web-2.log", False),
        ("web-1.log.1", "web-2.log.1", False),
        ("web-1.log.1", "web-1.log", True),
        ("web-1.log.1", "web-1.log.2.gz", True),
        ("app-2024-11-01.log", "app-2024-11-02.log", True),
        ("app-20241101.log", "app-20241102.log.1", True),
        ("app-2024.log", "app-2025.log", False),
        ("web-1.log", "web-1.log", False),
    ],
)
def test_relatives_within_a_glob_that_names_no_common_log(path: str, other: str, expected: bool) -> None:
    found = tuple(name for name in (path, other) if name.endswith(".log"))
    names = names_of("*.log", found=(*found, "web-1.log", "web-2.log"))
    assert names.is_rotation_of(f"/logs/{path}", f"/logs/{other}") == expected


def test_what_was_made_of_a_log_stays_its_own_when_the_log_is_not_there_for_a_while() -> None:
    names = names_of("x.log*", found=("x.log", "x.log.1"))
    names.add(["/logs/x.log.1", "/logs/x.log.2"])
    assert names.is_rotation_of("/logs/x.log.1", "/logs/x.log.2")


@pytest.mark.parametrize(("path", "expected"), [("a-1.log", False), ("a-1.log.1", True), ("b.txt", False)])
def test_whether_rotation_made_a_name_of_one_that_is_followed(path: str, expected: bool) -> None:
    assert names_of("a-1.log").is_derived(f"/logs/{path}") == expected


def test_the_format_of_a_rotated_file_is_that_of_the_first_name_before_rotation_with_an_entry() -> None:
    names = names_of("web-1.log", "web.log")
    formats = [names.format_of_rotated(f"/logs/{name}") for name in ("web-1.log.1", "web-2.log.1", "x.log")]
    assert [each and each.name for each in formats] == ["format web-1.log", "format web.log", None]


def test_entries_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert LogNames([log_path("web-1.log")]).log_of("web-1.log.1") == f"{tmp_path}/web-1.log"
