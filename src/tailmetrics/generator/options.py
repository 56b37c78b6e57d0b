"""What the generator is asked to write, and the time that it takes for now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from tailmetrics.urls import KafkaUrl, QueueUrl

Mode = Literal["realistic", "uniform", "demo"]


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """What to write, where and how fast.

    Lines carry the time of their append, or times of the last `days` days: in rising order in the realistic
    mode (which needs `max_lines`), in random order in the uniform mode (where None means 30). In the mode
    demo the past is what the pace of `batch_size` and `interval_seconds` would have written meanwhile, and
    covers fewer days where that is more than `max_lines`. `now` stands in for the clock and must be aware. A
    line of the format `results` is a test, a block of lines; it has the time of its log, which is in the name
    of a message, and takes no `days`.
    """

    target: Path | QueueUrl | KafkaUrl
    mode: Mode = "realistic"
    batch_size: int = 10
    interval_seconds: float = 0.1
    max_lines: int = 0  # 0: for ever
    zone: str = "UTC"
    seed: int | None = None
    days: int | None = None
    now: datetime | None = None
    create_queue: bool = False
    format_name: Literal["requests", "results"] = "requests"

    def clock(self, elapsed_seconds: float = 0.0) -> float:
        """Seconds since 1970; `elapsed_seconds` moves the clock that `now` stands in for."""
        return time.time() if self.now is None else self.now.timestamp() + elapsed_seconds
