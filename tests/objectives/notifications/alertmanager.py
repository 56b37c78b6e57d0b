"""Debian's prometheus-alertmanager on a port of the loopback, with a folder of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server

# What it tells somebody itself, a second after it was told: the receiver is a webhook of the test.
_CONFIGURATION = """
route:
  receiver: test
  group_by: ["..."]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs:
      - url: {url}
"""


class Alertmanager(Server):
    """Alertmanager alone, without a cluster; `hook` is where it sends what it lets through."""

    def __init__(self, folder: Path, hook: str = "http://127.0.0.1:9/") -> None:
        super().__init__(folder)
        (folder / "alertmanager.yml").write_text(_CONFIGURATION.format(url=hook))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def alerts(self) -> list[Any]:
        """What it holds for firing, silenced or not."""
        found: list[Any] = httpx.get(f"{self.address}/api/v2/alerts", timeout=30).raise_for_status().json()
        return found

    def silence(self, **labels: str) -> str:
        """Silence alerts with these labels for an hour; the id of the silence."""
        now = datetime.now(timezone.utc)
        document = {
            "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "test",
            "comment": "known",
        }
        answer = httpx.post(f"{self.address}/api/v2/silences", json=document, timeout=30)
        return str(answer.raise_for_status().json()["silenceID"])

    def _command(self) -> Sequence[str]:
        return [
            "/usr/bin/prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.address}/-/ready", timeout=30).status_code == 200
        return False
