"""What is known of sources when no processor says anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from tailmetrics.sources import MESSAGES_NODE, packed
from tailmetrics.status import stored_statuses
from tests.builders import source_of


def test_a_file_is_as_far_as_it_is_in_the_store_and_lags_nothing() -> None:
    noon = datetime(2024, 10, 10, 12, tzinfo=timezone.utc)
    source = source_of()
    read = replace(source, checkpoint=replace(source.checkpoint, position=54), committed_at=noon)
    [status] = stored_statuses([read])
    assert (status.source_id, status.path, status.state) == (source.source_id, source.path, "stored")
    assert (status.position, status.size, status.lag_bytes, status.lag_seconds) == (54, 54, 0, 0.0)
    assert status.updated_at == noon


def test_messages_are_not_listed() -> None:
    message = replace(source_of(), node_id=f"{MESSAGES_NODE}x")
    assert stored_statuses([message]) == ()


def test_a_partition_is_as_far_as_its_next_offset_in_the_store() -> None:
    source = replace(source_of(node_id=f"{MESSAGES_NODE}x"), path="kafka://broker:9092/logs/0")
    read = replace(source, checkpoint=replace(source.checkpoint, position=packed(300, 7)))
    [status] = stored_statuses([read])
    assert (status.path, status.state, status.position, status.size) == (source.path, "stored", 300, 300)
