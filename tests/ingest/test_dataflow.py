"""What the parser makes of each kind of chunk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.ingest.dataflow import ChunkParser
from tailmetrics.settings import load_settings
from tailmetrics.sources import Acknowledgement, Checkpoint, Delivery, LineChunk, LongLine, Registration
from tests.builders import format_options, source_of
from tests.formats.logs import GOOD

SOURCE = source_of()


@pytest.fixture
def parse() -> ChunkParser:
    return ChunkParser(load_settings(None, max_line_bytes=64))


def test_lines_become_a_batch_from_their_offset_to_their_checkpoint(parse: ChunkParser) -> None:
    data = f"{GOOD}\nbad\n\n".encode()
    end = Checkpoint(100 + len(data), 0, "", 0, "")
    batch = parse(LineChunk("id", format_options("requests"), "/x.log", 100, data, end, True, 0))
    assert (batch.source_id, batch.path, batch.start, batch.checkpoint, batch.more) == (
        "id",
        "/x.log",
        100,
        end,
        True,
    )
    assert (batch.parsed.records.height, batch.parsed.rejects.height, batch.parsed.blanks) == (1, 1, 1)


def test_a_long_line_becomes_one_reject(parse: ChunkParser) -> None:
    end = Checkpoint(1000, 0, "", 0, "")
    batch = parse(
        LongLine("id", format_options("requests", max_line_bytes=64), "/x.log", 0, b"x" * 70, end, False, 0)
    )
    assert batch.parsed.lines == 1
    assert "found more than 64 bytes" in batch.parsed.rejects["reason"].item()


def test_a_registration_becomes_a_batch_without_lines_where_the_source_is(parse: ChunkParser) -> None:
    batch = parse(Registration(SOURCE, more=True))
    assert (batch.registers, batch.more, batch.parsed.lines) == (SOURCE, True, 0)
    assert (batch.start, batch.checkpoint) == (SOURCE.position, SOURCE.checkpoint)


def test_an_acknowledgement_becomes_a_position_behind_the_end_of_its_message(parse: ChunkParser) -> None:
    message = source_of()
    delivery = Delivery(message, redelivered=False, by_content=True)
    batch = parse(Acknowledgement(delivery))
    size = message.checkpoint.head_length
    assert (batch.start, batch.checkpoint.position, batch.delivery) == (size, size + 1, delivery)


def test_a_wrong_pattern_is_told_at_start(tmp_path: Path) -> None:
    settings = load_settings(None, log_file_path=f"regex={tmp_path}/x.log", log_regex="(")
    with pytest.raises(FormatError, match="LOG_REGEX: found '\\('"):
        ChunkParser(settings)
