"""What a source is known by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailmetrics.sources import MESSAGES_NODE, derive_source_id, fingerprint
from tests.builders import source_of


def test_equal_bytes_have_one_fingerprint_of_32_digits() -> None:
    assert fingerprint(b"a") == fingerprint(b"a") != fingerprint(b"b")
    assert len(fingerprint(b"")) == 32


def test_a_file_that_is_registered_again_has_the_same_id() -> None:
    assert derive_source_id("node", 1, 2, 0, "head") == derive_source_id("node", 1, 2, 0, "head")


@pytest.mark.parametrize(
    "other",
    [
        ("other", 1, 2, 0, "head"),
        ("node", 3, 2, 0, "head"),
        ("node", 1, 2, 1, "head"),
        ("node", 1, 2, 0, "x"),
    ],
)
def test_another_node_device_epoch_or_head_is_another_source(other: tuple[str, int, int, int, str]) -> None:
    assert derive_source_id(*other) != derive_source_id("node", 1, 2, 0, "head")


def test_numbers_that_run_together_are_told_apart() -> None:
    assert derive_source_id("node", 1, 23, 0, "") != derive_source_id("node", 12, 3, 0, "")


def test_a_message_is_told_by_its_node() -> None:
    source = source_of()
    assert (source.is_message, replace(source, node_id=f"{MESSAGES_NODE}x").is_message) == (False, True)
