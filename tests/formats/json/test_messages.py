from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.json.messages import OtherMessages


@pytest.mark.parametrize(
    ("line", "is_of_caddy"),
    [
        ('{"ts":1,"msg":"serving"}', True),
        ('{"ts":1,"msg":"a","path":"/a","status":null}', True),
        ('{"ts":1,"msg":"a","logger":"tls.issuance","url":"/a","code":200}', True),
        ('{"ts":1,"msg":"a","logger":"https","url":"/a","code":200}', False),
        ('{"time":1,"msg":"serving"}', False),
        ("{}", False),
    ],
)
def test_a_message_is_of_caddy_by_its_time_and_logger(line: str, is_of_caddy: bool) -> None:
    text = pl.Series(["x", line, '{"ts":1}'])
    found = OtherMessages().are_of_caddy(text, pl.Series([False, True, False]))
    assert found.to_list() == [False, is_of_caddy, False]


def test_of_no_messages_none_is_of_caddy() -> None:
    none = pl.Series([], dtype=pl.Boolean())
    assert OtherMessages().are_of_caddy(pl.Series([], dtype=pl.String()), none).is_empty()
