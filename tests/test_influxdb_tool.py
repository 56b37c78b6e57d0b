"""tools/influxdb_test.py: what counts as passed, and which server it asks for."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tools import influxdb_test

from tests.integration.running import free_port


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that runs; what is run does not ask it."""
    monkeypatch.setattr("sys.argv", ["influxdb_test"])
    for name in influxdb_test.GIVEN:
        monkeypatch.setenv(name, "given")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("INFLUXDB_TEST_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print('2 passed, 5 deselected in 1s')", 0),
        ("print('1 passed, 1 skipped in 1s')", 1),
        ("print('1 passed, 1 xfailed in 1s')", 1),
        ("print('2 passed in 1s'); raise SystemExit(1)", 1),
    ],
)
def test_it_passes_when_all_was_run_and_passed(
    given: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: str, status: int
) -> None:
    monkeypatch.setattr(influxdb_test, "PARTS", {"one": ["-c", code], "two": ["-c", "print('1 passed')"]})
    assert influxdb_test.main() == status
    one, two = capfd.readouterr().out.splitlines()[-2:]
    assert one.split()[:2] == ["one", "FAILED" if status else "passed"]
    assert two.split()[:2] == ["two", "passed"]


def test_a_server_that_is_named_in_part_is_refused(given: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFLUXDB_TEST_TOKEN")
    with pytest.raises(SystemExit, match="expected INFLUXDB_TEST_TOKEN as well"):
        influxdb_test.main()


def test_a_server_that_is_named_where_nothing_listens_is_refused(
    given: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUXDB_TEST_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SystemExit, match=r"INFLUXDB_TEST_URL: found http.*, where nothing listens"):
        influxdb_test.main()


@pytest.mark.parametrize(
    ("influxd", "said"),
    [
        ("/bin/true", "Found /bin/true, which did not start"),
        ("/nowhere/influxd", "Found no influxd at /nowhere/influxd, expected"),
    ],
)
def test_what_is_no_influxd_is_named(monkeypatch: pytest.MonkeyPatch, influxd: str, said: str) -> None:
    monkeypatch.setattr("sys.argv", ["influxdb_test"])
    monkeypatch.setenv("INFLUXD", influxd)
    for name in influxdb_test.GIVEN:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match=said):
        influxdb_test.main()
