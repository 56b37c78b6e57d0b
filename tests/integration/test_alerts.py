"""Alerts of a service that is killed again and again while customers fail by turns."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.integration.running import Service, await_that

KILLS = 3
OBJECTIVES = """
interval = "1s"

[[objective]]
name = "up"
target = 99.0

[[rule]]
burn_rate = 14.4
long = "4s"
short = "2s"
min_requests = 1

[[receiver]]
name = "file"
kind = "command"
command = ["sh", "-c", "cat >> {told}; echo >> {told}"]
"""


@contextmanager
def failing_by_turns(log: Path) -> Iterator[threading.Event]:
    """Requests of four customers, each of which fails for two seconds in eight, until the event is set."""
    is_well, ended = threading.Event(), threading.Event()

    def write() -> None:
        with log.open("a", buffering=1) as lines:
            while not ended.wait(0.05):
                now = datetime.now(timezone.utc)
                for customer in range(4):
                    fails = now.second // 2 % 4 == customer and not is_well.is_set()
                    lines.write(f"{now:%Y-%m-%d %H:%M:%S} cust_{customer} / {500 if fails else 200} 0.1\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield is_well
    finally:
        ended.set()
        thread.join()


def messages(told: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.read_text().splitlines() if line]


def test_killed_at_random_moments_each_change_is_told_under_one_id(
    new_service: Callable[..., Service], tmp_path: Path
) -> None:
    told, file = tmp_path / "told.jsonl", tmp_path / "objectives.toml"
    told.touch()
    file.write_text(OBJECTIVES.replace("{told}", str(told)))
    service = new_service(OBJECTIVES=str(file))

    def changes() -> set[str]:
        return {each["id"] for each in service.client.get("/alerts/history").json()["changes"]}

    def told_ids() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for message in messages(told):
            for alert in message["alerts"]:
                found.setdefault(alert["id"], set()).add(message["id"])
        return found

    with failing_by_turns(tmp_path / "x.log") as is_well:
        service.start()
        for _ in range(KILLS):
            before = len(changes())
            await_that(lambda before=before: len(changes()) > before, 20, service.said)  # type: ignore[misc]
            time.sleep(random.uniform(0, 1))  # the moment that is random
            service.kill()
            service.start()
        is_well.set()
        firing = {"state": "firing"}
        await_that(
            lambda: service.client.get("/alerts", params=firing).json()["total"] == 0, 20, service.said
        )
        await_that(lambda: changes() == set(told_ids()), 20, service.said)
    assert len(changes()) >= 2 * KILLS
    assert {len(ids) for ids in told_ids().values()} == {1}
