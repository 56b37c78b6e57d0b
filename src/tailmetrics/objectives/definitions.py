"""What an objectives file says: objectives, rules for alerts, receivers of notifications.

Durations are texts such as `5m`, read as seconds. Globs are those of RequestFilter.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tailmetrics.errors import QueryError
from tailmetrics.settings.values import TimeZone
from tailmetrics.stats import Failures
from tailmetrics.windows import parse_every

Severity = Literal["page", "ticket"]


def _seconds(value: object) -> object:
    """The length of a text such as `90s`, `5m`, `6h` or `3d`."""
    if not isinstance(value, str):
        return value
    try:
        every = parse_every(value)
    except QueryError as error:
        raise ValueError("a number with s, m, h or d, such as 5m") from error
    if not every.cuts:
        raise ValueError("a number with s, m, h or d, such as 5m")
    return every.seconds or every.days * 86_400


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0)]


class Table(BaseModel):
    """A table of the file, whose keys are all known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Objective(Table):
    """A promise: `target` per cent of the requests of each customer are good, over a period.

    `availability`: good is what did not fail, by `failures`. `latency`: good is what took less than
    `limit_seconds`; requests of unknown duration do not count. `customers` are ids or globs. A period is some
    days that end now, or the calendar's week (from Monday on) or month in `timezone`.
    """

    name: str = Field(min_length=1, max_length=100)
    customers: tuple[str, ...] = ("*",)
    kind: Literal["availability", "latency"] = "availability"
    failures: Failures = "4xx+5xx"
    limit_seconds: float | None = Field(default=None, gt=0)
    paths: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()
    target: float = Field(gt=0, lt=100)
    period: str = "30d"
    timezone: TimeZone = Field(default="UTC", validate_default=True)

    @property
    def allowed(self) -> float:
        """The share of requests that may be bad, from 0 to 1."""
        return 1 - self.target / 100


class BurnRateRule(Table):
    """Fires while the budget burns so many times as fast as it may, over both windows."""

    burn_rate: float = Field(gt=0)
    long: Seconds
    short: Seconds
    severity: Severity = "page"
    min_requests: int = Field(default=100, ge=1)  # in the long window


class SilenceRule(Table):
    """Fires when a customer that had requests before has had none for `after`."""

    name: str = Field(min_length=1, max_length=100)
    customers: tuple[str, ...] = ("*",)
    after: Seconds
    severity: Severity = "ticket"


class LatencyRule(Table):
    """Fires when a quantile of the last `window` has been above `limit_seconds` for `for_`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(min_length=1, max_length=100)
    customers: tuple[str, ...] = ("*",)
    quantile: float = Field(default=0.99, gt=0, lt=1)
    limit_seconds: float = Field(gt=0)
    window: Seconds = 300
    for_: Seconds = Field(default=300, alias="for")
    severity: Severity = "ticket"
    min_requests: int = Field(default=100, ge=1)  # in the window


class SourceRule(Table):
    """Fires when a source lags, or when this share (per cent) of its lines of late are rejects."""

    name: str = Field(min_length=1, max_length=100)
    lag: Seconds | None = None
    reject_percent: float | None = Field(default=None, gt=0, le=100)
    severity: Severity = "ticket"


class Maintenance(Table):
    """A time for which no alert is sent; its requests do not count at all if it is `excluded`."""

    begin: datetime
    end: datetime
    customers: tuple[str, ...] = ("*",)
    objectives: tuple[str, ...] = ("*",)
    excluded: bool = False
    reason: str = ""


class Receiver(Table):
    """Who is told. A secret is named by the variable or the file that holds it, never written here."""

    name: str = Field(min_length=1, max_length=100)
    kind: Literal["alertmanager", "webhook", "email", "command"]
    severities: tuple[Severity, ...] = ("page", "ticket")
    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    header_env: str | None = None  # a whole header, such as "Authorization: Bearer …"
    header_file: str | None = None
    template: str | None = None  # of the webhook: json, slack (Mattermost too), teams, or a file
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class Document(Table):
    """The whole file; each table may be there any number of times, as [[objective]] and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    interval: Seconds = 60  # between evaluations
    external_url: str | None = None  # of the page, for links in notifications
    objectives: tuple[Objective, ...] = Field(default=(), alias="objective")
    rules: tuple[BurnRateRule, ...] = Field(default=(), alias="rule")  # in place of the workbook's
    silent: tuple[SilenceRule, ...] = ()
    latency: tuple[LatencyRule, ...] = ()
    sources: tuple[SourceRule, ...] = Field(default=(), alias="source")
    maintenance: tuple[Maintenance, ...] = ()
    receivers: tuple[Receiver, ...] = Field(default=(), alias="receiver")


# The SRE Workbook, chapter "Alerting on SLOs": multiwindow, multi-burn-rate alerts for a period of 30 days.
WORKBOOK_RULES = (
    BurnRateRule(burn_rate=14.4, long=3_600, short=300, severity="page"),
    BurnRateRule(burn_rate=6, long=6 * 3_600, short=1_800, severity="page"),
    BurnRateRule(burn_rate=1, long=3 * 86_400, short=6 * 3_600, severity="ticket"),
)
