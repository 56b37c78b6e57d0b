"""An alert, as it is evaluated, kept, shown and sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tailmetrics.objectives.definitions import Severity

AlertKind = Literal["burn_rate", "silent", "latency", "lag", "rejects"]
AlertState = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule's alert about one customer or one source.

    `key` tells it apart from all others and stays the same; `episode` is the number of the time that it
    fires, counted over all alerts, 0 before the first, so that `notification_id` is the same for one change
    of its state, however often that is sent. `value` is what was measured (a burn rate, seconds, per cent)
    and `limit` what it was held against. It is `told` once its receivers are to be told that it fires.
    """

    key: str
    kind: AlertKind
    name: str  # of the objective or of the rule
    subject: str  # the id of the customer, or the path of the source
    severity: Severity
    state: AlertState
    episode: int
    since: datetime  # when this state began
    started_at: datetime | None  # when it began to fire
    value: float
    limit: float
    summary: str  # a sentence with the figures
    silenced_by: str | None = None  # the id of a silence, or a maintenance: then nothing is sent
    told: bool = False

    @property
    def notification_id(self) -> str:
        return f"{self.key}/{self.episode}/{self.state}"
