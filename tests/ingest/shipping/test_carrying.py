"""What lines on their way to a topic take of the memory, by which it is bounded how many there are."""

from __future__ import annotations

import pytest

from tailmetrics.ingest.shipping.carrying import ChunkCarrier
from tailmetrics.queues.kafka.shipments import Shipper
from tailmetrics.settings import load_settings
from tailmetrics.sources import Checkpoint, LineChunk


def _chunk(data: bytes, path: str, header: bytes) -> LineChunk:
    log_format = load_settings(None).format_options("requests")
    end = Checkpoint(len(data), 0, "", 0, "")
    return LineChunk("source", log_format, path, 0, data, end, more=False, written_ns=0, header=header)


@pytest.mark.parametrize("path", ["/logs/a.log", "/logs/" + "a" * 300])
@pytest.mark.parametrize("header", [b"", b"#Fields: date time\n" * 20])
def test_a_line_that_is_a_message_takes_what_its_headers_do(path: str, header: bytes) -> None:
    chunk = _chunk(b"a line\n" * 1000, path, header)
    shipments = Shipper("0" * 32, "edge", 1_000_000, one_line=True).shipments(chunk)
    sent = [[value for pair in each.headers for value in pair] + [each.value] for each in shipments]
    parsed = ChunkCarrier(load_settings(None, ship_to="kafka://127.0.0.1:1/logs?lines=one"))(chunk).parsed
    # The client takes some 600 bytes for a message besides all that is in it.
    assert parsed.size >= 1000 * 600 + sum(map(len, (value for values in sent for value in values)))
    assert parsed.lines == 1000


def test_lines_of_one_message_take_what_they_are() -> None:
    chunk = _chunk(b"a line\n" * 1000, "/logs/a.log", b"")
    parsed = ChunkCarrier(load_settings(None, ship_to="kafka://127.0.0.1:1/logs"))(chunk).parsed
    assert (parsed.lines, parsed.size) == (1000, 7000)
