"""Writing to InfluxDB while it is well, busy, away or refuses: nothing lost, nothing twice."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tailmetrics.errors import RecordsRefused
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.stores.summaries.manifest import spans_of_text, within
from tailmetrics.windows import to_us
from tests.builders import LINE_BYTES, at, batch_of, moved, source_of
from tests.stores.influxdb.stub import RESET, Answer, Stub, settings_of_stub
from tests.stores.influxdb.writing import NOON, committed, paths, records


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, "too many writes", {"Retry-After": "0"}),
        Answer(
            429, "too many writes", {"Retry-After": format_datetime(datetime.now(timezone.utc), usegmt=True)}
        ),
        Answer(503, "busy", {"Retry-After": "0.01"}),
        Answer(503, "busy"),
        Answer(500, "internal error"),
        Answer(500, "timeout", keeps=True),
        Answer(RESET),
        Answer(RESET, keeps=True),
        Answer(401, "unauthorized access"),
        Answer(403, "insufficient permissions for write"),
        Answer(404, 'bucket "bucket" not found'),
    ],
    ids=lambda answer: (
        f"{answer.status}{'-kept' if answer.keeps else ''}-{answer.headers.get('Retry-After', 'soon')[:4]}"
    ),
)
def test_what_could_not_be_written_is_written_again(
    stub: Stub, store: InfluxDBStore, source: Source, answer: Answer
) -> None:
    stub.answers.extend([answer] * 2)
    committed(store, batch_of(source, records(5)))
    assert paths(stub) == list("01234")
    assert store.position(source.source_id) == 5 * LINE_BYTES


def test_a_poison_record_leaves_the_places_of_the_others_as_they_were(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    """Or those written before it was found would be there twice."""
    stub.poison = {'path="/1"': "no"}
    committed(store, batch_of(source, records(4)))
    assert len(stub.lines("bucket", "requests_")) == 3


def test_records_that_are_too_old_for_the_bucket_are_rejects_that_say_so(stub: Stub) -> None:
    stub.retention_seconds = 7 * 86_400
    store = InfluxDBStore(settings_of_stub(stub, retention_days=7))
    source = store.register(source_of())
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    [done] = committed(store, batch_of(source, [(fresh, "a", "/0", 200, 0.1), *records(1)]))
    store.close()
    assert len(paths(stub)) == 1
    [reason] = done.parsed.rejects["reason"]
    assert reason.startswith("timestamp: found 2024-10-10 12:00:00, expected the last 7 days")


def test_a_commit_that_failed_midway_and_is_cut_otherwise_gives_the_same_points(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    rows = [(NOON + timedelta(microseconds=place % 3), "a", f"/{place}", 200, 0.1) for place in range(30)]
    whole = batch_of(source, rows, rejects=[("reason", "line")])
    stub.poison = {"source,": "the position cannot be written"}
    with pytest.raises(Exception, match="the position cannot be written"):
        store.write([whole])
    stub.poison = {}
    assert store.position(source.source_id) == 0
    first = batch_of(source, rows[:11])
    second = batch_of(moved(source, first), rows[11:], rejects=[("reason", "line")])
    store.write([first])
    store.write([second])
    assert paths(stub) == [str(place) for place in range(30)]
    assert len(stub.lines("bucket_meta", "reject,")) == 1


@pytest.mark.parametrize("sizes", [(10,), (11,), (3, 4, 30, 1, 25), (1,) * 23, (200, 1)])
def test_of_the_rejects_of_a_source_the_first_and_the_last_are_kept(
    stub: Stub, sizes: tuple[int, ...]
) -> None:
    store = InfluxDBStore(settings_of_stub(stub, max_rejects_kept=100))
    source = store.register(source_of())
    number = 0
    for size in sizes:
        lines = [("r", f"line {place}") for place in range(number, number + size)]
        batch = batch_of(source, records(1), rejects=lines)
        store.write([batch])
        source, number = moved(source, batch), number + size
    store.close()
    kept = range(number) if number <= 10 else [*range(5), *range(number - 5, number)]
    points = "".join(stub.lines("bucket_meta", "reject,"))
    assert sorted(map(int, re.findall(r"line (\d+)", points))) == list(kept)
    assert f"rejects={number}i" in "".join(stub.lines("bucket_meta", "source,"))


def test_records_are_written_before_their_position(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    stub.writes.clear()
    store.write([batch_of(source, records(1), rejects=[("r", "l")])])
    assert [bucket for bucket, *_ in stub.writes] == ["bucket", "bucket_meta", "bucket_meta"]


def test_a_refusal_names_the_line_of_the_record(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    stub.poison = {"/0": "no"}
    with pytest.raises(RecordsRefused) as refused:
        store.write([batch_of(source, records(2))])
    [refusal] = refused.value.refusals
    assert (refusal.source_id, refusal.offset) == (source.source_id, 0)


def test_a_commit_notes_all_times_that_it_touches_however_many_they_are(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    moments = [at("2024-10-10") + timedelta(minutes=2 * place) for place in range(1_500)]
    store.write([batch_of(source, [(moment, "a", "/", 200, None) for moment in moments])])
    [line] = stub.lines("bucket_meta", "journal,")
    spans = spans_of_text(line.partition('spans="')[2].partition('"')[0])
    assert not [moment for moment in moments if not within(spans, to_us(moment), to_us(moment) + 1)]
