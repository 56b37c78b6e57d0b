"""Notes as points: pieces that fit into a field, and one process at a time that replaces them."""

from __future__ import annotations

import asyncio

import polars as pl
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.base import Note
from tailmetrics.stores.influxdb import notes
from tailmetrics.stores.influxdb.notes import note_of
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.stores.influxdb.stub import Stub, settings_of_stub

FIELD_BYTES = 64 * 1024


def pieces(*texts: str) -> dict[str, pl.DataFrame]:
    return {"note": pl.DataFrame({"piece": [str(place) for place in range(len(texts))], "_value": texts})}


def keep(store: InfluxDBStore, text: str, version: int) -> bool:
    return asyncio.run(store.keep_note("name", text, version))


@pytest.mark.parametrize("sign", ["x", "%", "\U0001f680", '"', "\\", "\n"], ids=ascii)
def test_no_piece_is_longer_than_a_field_may_be(stub: Stub, store: InfluxDBStore, sign: str) -> None:
    assert keep(store, sign * 40_000, 0)
    fields = [line.partition("text=")[2] for line in stub.lines("bucket_meta", "note,")]
    assert len(fields) > 1
    assert max(len(field.encode()) for field in fields) < FIELD_BYTES


def test_what_is_left_of_a_longer_text_counts_no_more() -> None:
    assert note_of(pieces("8 1 short", "7 2 of before")) == Note(8, "short")


@pytest.mark.parametrize("texts", [("8 2 new", "7 2 old"), ("7 2 old", "8 2 new"), ("8 2 new",)])
def test_a_note_that_is_being_replaced_is_not_read_mixed(texts: tuple[str, ...]) -> None:
    with pytest.raises(StoreUnavailable, match="has not stored a note whole yet"):
        note_of(pieces(*texts))


def test_of_two_processes_the_one_that_comes_later_is_told_so(stub: Stub, store: InfluxDBStore) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    assert keep(store, "first", 0)
    assert not keep(second, "too late", 0)
    assert keep(second, "second", 1)
    second.close()
    assert stub.lines("bucket_meta", "note,") == ['note,name=name,piece=0 0 text="2 1 second"']


def test_a_process_waits_until_another_has_kept_its_note(
    stub: Stub, store: InfluxDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    claim = store._notes._leases.claim(notes._CLAIM, "keeps a note")
    claim.__enter__()
    monkeypatch.setattr(notes, "CLAIM_PAUSE_SECONDS", (0.0, 0.0))
    with pytest.raises(StoreUnavailable, match=r"process \d+ on .* keeps a note at this moment"):
        keep(second, "text", 0)
    assert stub.lines("bucket_meta", "note,") == []
    monkeypatch.setattr("time.sleep", lambda _: claim.__exit__(None, None, None))
    assert keep(second, "text", 0)
    second.close()


def test_who_keeps_a_note_holds_up_nobody_who_registers_sources(stub: Stub, store: InfluxDBStore) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    with store._writer._leases.claim():
        assert keep(second, "text", 0)
    second.close()


def test_a_store_that_is_closed_keeps_no_note(stub: Stub) -> None:
    closed = InfluxDBStore(settings_of_stub(stub))
    closed.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        keep(closed, "text", 0)
