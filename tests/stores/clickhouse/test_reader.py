"""Questions to ClickHouse's engine end in time, and those that nobody waits for end there, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from tailmetrics.errors import StoreError, StoreRefused, StoreUnavailable
from tailmetrics.stores.clickhouse.address import Address
from tailmetrics.stores.clickhouse.reader import SETTINGS, ClickHouseReader, Statements
from tailmetrics.urls import StoreUrl
from tests import servers
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers

_LONG = (
    "SELECT sum(sleepEachRow(0.1)) FROM numbers(600) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)
_SECONDS = 30.0


def _reader(url: str, timeout_seconds: float = _SECONDS) -> ClickHouseReader:
    return ClickHouseReader(Address.of(StoreUrl.parse(url)), timeout_seconds)


@pytest.fixture(scope="module")
def url() -> str:
    return servers.clickhouse().new_database()


@pytest.fixture
def reader(url: str) -> Iterator[ClickHouseReader]:
    opened = _reader(url)
    yield opened
    opened.close()


async def _long(statements: Statements) -> pl.DataFrame:
    return await statements.frame(_LONG)


async def _running(reader: ClickHouseReader, number: int) -> int:
    """Wait until so many of the long statements run, for a while; returns how many do."""
    running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(sleep%'"
    end = time.monotonic() + _SECONDS
    while True:
        found = (await reader.ask(lambda statements: statements.frame(running))).item()
        if found == number or time.monotonic() > end:
            return int(found)
        await asyncio.sleep(0.02)


class TestFrame:
    def test_parameters_are_values_whatever_they_hold(self, reader: ClickHouseReader, ask: Ask[Any]) -> None:
        texts = [
            "it's",
            'a "quote"',
            "back\\slash",
            "{x:String}",
            "tab\tline\nend",
            "\U0001f680",
            "%s",
            "'; --",
        ]
        given = {"one": texts[0], "all": texts, "least": -62135596800000000, "small": 5e-324, "large": 1e308}
        found = ask(
            reader.ask(
                lambda statements: statements.frame(
                    "SELECT {one:String} AS one, {all:Array(String)} AS all, {least:Int64} AS least, "
                    "{small:Float64} AS small, {large:Float64} AS large",
                    given,
                )
            )
        )
        assert found.to_dicts() == [given]

    def test_many_long_texts_are_asked_for_at_once(self, reader: ClickHouseReader, ask: Ask[Any]) -> None:
        texts = [f"{number:0250}" for number in range(350)]
        found = ask(
            reader.ask(
                lambda statements: statements.frame("SELECT length({all:Array(String)})", {"all": texts})
            )
        )
        assert found.item() == 350

    def test_what_the_server_does_not_take_is_an_error_with_its_words(
        self, reader: ClickHouseReader, ask: Ask[Any]
    ) -> None:
        with pytest.raises(StoreError, match="nonsense"):
            ask(reader.ask(lambda statements: statements.frame("SELECT nonsense")))

    def test_all_settings_of_questions_are_known_to_the_server(
        self, reader: ClickHouseReader, ask: Ask[Any]
    ) -> None:
        names = {"names": [*SETTINGS, "max_execution_time"]}
        known = "SELECT name FROM system.settings WHERE name IN {names:Array(String)} ORDER BY name"
        found = ask(reader.ask(lambda statements: statements.frame(known, names)))
        assert found["name"].to_list() == sorted(names["names"])


class TestAsk:
    def test_a_question_is_stopped_when_its_time_is_over_at_the_server_too(
        self, reader: ClickHouseReader, url: str, ask: Ask[Any]
    ) -> None:
        impatient = _reader(url, 0.5)
        with pytest.raises(StoreUnavailable, match=r"longer than 0\.5 seconds \(QUERY_TIMEOUT_SECONDS\)"):
            ask(impatient.ask(_long))
        assert ask(_running(reader, 0)) == 0
        impatient.close()

    def test_a_question_that_nobody_waits_for_any_more_ends_at_the_server(
        self, reader: ClickHouseReader, ask: Ask[Any]
    ) -> None:
        async def give_up() -> tuple[int, int]:
            asking = asyncio.ensure_future(reader.ask(_long))
            before = await _running(reader, 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            return before, await _running(reader, 0)

        assert ask(give_up()) == (1, 0)

    def test_the_loop_of_the_caller_goes_on_meanwhile(self, reader: ClickHouseReader, ask: Ask[Any]) -> None:
        async def both() -> list[str]:
            order: list[str] = []

            async def question() -> None:
                await reader.ask(lambda statements: statements.frame("SELECT sleep(0.3)"))
                order.append("answer")

            async def other() -> None:
                await asyncio.sleep(0)
                order.append("other")

            await asyncio.gather(question(), other())
            return order

        assert ask(both()) == ["other", "answer"]

    def test_a_server_that_is_away_is_unavailable(self, url: str, ask: Ask[Any]) -> None:
        head, _, _ = url.rpartition(":")
        away = _reader(f"{head}:1/somewhere")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            ask(away.ask(_long))
        away.close()

    def test_a_wrong_password_is_refused(self, url: str, ask: Ask[Any]) -> None:
        wrong = _reader(url.replace("pass%2Fw%40rd", "wrong"))
        with pytest.raises(StoreRefused, match="password"):
            ask(wrong.ask(_long))
        wrong.close()

    def test_who_may_only_read_is_answered(self, url: str, ask: Ask[Any]) -> None:
        reading = _reader(url.replace("tailmetrics:", "reader:"))
        assert ask(reading.ask(lambda statements: statements.frame("SELECT 1"))).item() == 1
        reading.close()

    def test_a_closed_reader_is_unavailable(self, url: str, ask: Ask[Any]) -> None:
        closed = _reader(url)
        closed.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            ask(closed.ask(_long))
