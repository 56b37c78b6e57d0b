"""The service as a process: killed, told to end, without a store, without space."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.paths import DATA
from tests.tailing.following import append, copy_truncate, numbered


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def test_lines_appended_in_random_pieces_give_the_expected_figures(service, log):
    content = (DATA / "requests-10k.log").read_bytes()
    random_pieces = random.Random(1)
    service.start()
    position = 0
    with log.open("ab", buffering=0) as stream:
        while position < len(content):
            size = random_pieces.choice([1, 7, 60, 1000, 30_000])
            stream.write(content[position : position + size])
            position += size
    service.await_total(10_000)
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]
    for customer, figures in expected.items():
        answer = service.client.get(f"/customers/{customer}/stats").json()
        assert {key: answer[key] for key in figures["totals"]} == pytest.approx(figures["totals"], rel=1e-9)
        daily = {window["start"][:10]: window for window in answer["windows"]}
        assert daily.keys() == figures["daily"].keys()
        for day, values in figures["daily"].items():
            assert {key: daily[day][key] for key in values} == pytest.approx(values, rel=1e-9)


def test_rotation_by_rename_and_by_copy_under_a_running_service(service, log):
    service.start()
    for turn in range(6):
        append(log, *numbered(turn * 1000, turn * 1000 + 1000))
        if turn % 2:
            copy_truncate(log, log.with_name(f"x.log.{turn}"))
        else:
            log.rename(log.with_name(f"x.log.{turn}"))
    service.await_total(6000)
    service.end()
    assert service.numbers() == list(range(6000))
