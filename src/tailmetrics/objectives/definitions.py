"""What an objectives file says: objectives, rules for alerts, receivers of notifications.

Durations are texts such as `5m`, read as seconds. Globs are those of RequestFilter.
"""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import Self

from tailmetrics.settings.values import TimeZone
from tailmetrics.stats import Failures
from tailmetrics.urls import is_loopback, masked
from tailmetrics.windows import length_of

Severity = Literal["page", "ticket"]

MAX_PERIOD_DAYS: Final = 90
_LONGEST_DAYS: Final = {"week": 7, "month": 31}  # of the calendar's periods
# Whoever knows such an address may post there.
_HOOKS = re.compile(r"hooks\.slack\.com|discord(app)?\.com|.*\.webhook\.office\.com|.*\.logic\.azure\.com")
_HOOK_PATHS = re.compile(r"/(hooks|api/webhooks)/[^/]{8,}")
_MAIL_ADDRESS = re.compile(r"[^\x00-\x1f<>\x7f]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+")
_A_PERIOD = "1d to 90d, week or month"
_A_TIME = "a time with its offset, such as 2026-11-01T22:00:00Z or 2026-11-01T23:00:00+01:00"
_A_DURATION = "a number with s, m, h or d, such as 5m"


def _seconds(value: object) -> object:
    """The length of a text such as `90s`, `5m`, `6h` or `3d`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    seconds = length_of(value) if isinstance(value, str) else None
    if seconds is None:
        raise ValueError(_A_DURATION)
    return seconds


def _not_too_long(value: int) -> int:
    if value > MAX_PERIOD_DAYS * 86_400:
        raise ValueError(f"at most {MAX_PERIOD_DAYS}d")
    return value


def _target(value: float) -> float:
    if not 0 < value < 100:
        raise ValueError("more than 0 and less than 100, as 100 leaves nothing that may fail; such as 99.9")
    return value


def days_of(period: str) -> int:
    """The most days that a period has. Raises ValueError."""
    if period in _LONGEST_DAYS:
        return _LONGEST_DAYS[period]
    number = period.removesuffix("d")
    if number == period or not (number.isascii() and number.isdigit() and len(number) < 4):
        raise ValueError(_A_PERIOD)
    if not 1 <= int(number) <= MAX_PERIOD_DAYS:
        raise ValueError(_A_PERIOD)
    return int(number)


def _period(value: str) -> str:
    days_of(value)
    return value


def _no_number(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(_A_TIME)  # noqa: TRY004  # pydantic makes an error of a ValueError only
    return value


def _with_zone(value: datetime) -> datetime:
    # Clocks of a machine are set to another zone without a look into this file.
    if value.tzinfo is None:
        raise ValueError(_A_TIME)
    return value


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("a URL such as https://HOST/PATH")
    is_hook = _HOOKS.fullmatch(parts.hostname or "") or _HOOK_PATHS.match(parts.path)
    if parts.username is not None or masked(value) != value or is_hook:
        raise ValueError("no secret in it; url_env or url_file says which variable or file holds the address")
    return value


def _mail_address(value: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(value):
        raise ValueError("an address such as alerts@example.com")
    return value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0), AfterValidator(_not_too_long)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_with_zone)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Text = Annotated[str, Field(min_length=1)]
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]


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
    customers: Globs = ("*",)
    kind: Literal["availability", "latency"] = "availability"
    failures: Failures = "4xx+5xx"
    limit_seconds: Positive | None = None
    paths: tuple[Text, ...] = ()
    exclude_paths: tuple[Text, ...] = ()
    target: Annotated[float, Field(strict=True), AfterValidator(_target)]
    period: Annotated[str, AfterValidator(_period)] = "30d"
    timezone: TimeZone = Field(default="UTC", validate_default=True)

    @model_validator(mode="after")
    def _limit_is_that_of_a_latency(self) -> Self:
        given = self.limit_seconds is not None
        if self.kind == "latency" and not given:
            raise ValueError(
                "limit_seconds: found none, expected seconds such as 0.5, as the kind is latency"
            )
        if self.kind == "availability" and given:
            raise ValueError(f"limit_seconds: found {self.limit_seconds}, expected none, or kind = 'latency'")
        if self.kind == "latency" and "failures" in self.model_fields_set:
            raise ValueError(f"failures: found {self.failures!r}, expected none, as the kind is latency")
        return self

    @property
    def allowed_share(self) -> Fraction:
        """The share of requests that may be bad, as exact as the target is written."""
        return 1 - Fraction(str(self.target)) / 100

    @property
    def allowed(self) -> float:
        """The share of requests that may be bad, from 0 to 1."""
        return float(self.allowed_share)


class BurnRateRule(Table):
    """Fires while the budget burns so many times as fast as it may, over both windows."""

    burn_rate: Positive
    long: Seconds
    short: Seconds
    severity: Severity = "page"
    min_requests: int = Field(default=100, ge=1, strict=True)  # in the long window

    @model_validator(mode="after")
    def _short_is_shorter(self) -> Self:
        if self.short >= self.long:
            raise ValueError(
                f"short: found {self.short} seconds, expected less than those of long, {self.long}"
            )
        return self


class SilenceRule(Table):
    """Fires when a customer that had requests before has had none for `after`."""

    name: str = Field(min_length=1, max_length=100)
    customers: Globs = ("*",)
    after: Seconds
    severity: Severity = "ticket"


class LatencyRule(Table):
    """Fires when a quantile of the last `window` has been above `limit_seconds` for `for_`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(min_length=1, max_length=100)
    customers: Globs = ("*",)
    quantile: float = Field(default=0.99, gt=0, lt=1, strict=True)
    limit_seconds: Positive
    window: Seconds = 300
    for_: Seconds = Field(default=300, alias="for")
    severity: Severity = "ticket"
    min_requests: int = Field(default=100, ge=1, strict=True)  # in the window


class SourceRule(Table):
    """Fires when a source lags, or when this share (per cent) of its lines of late are rejects."""

    name: str = Field(min_length=1, max_length=100)
    lag: Seconds | None = None
    reject_percent: float | None = Field(default=None, gt=0, le=100, strict=True)
    severity: Severity = "ticket"

    @model_validator(mode="after")
    def _something_is_held_against(self) -> Self:
        if self.lag is None and self.reject_percent is None:
            raise ValueError("lag: found none, expected lag such as '10m', reject_percent, or both")
        return self


class Maintenance(Table):
    """A time for which no alert is sent; its requests do not count at all if it is `excluded`."""

    begin: Moment
    end: Moment
    customers: Globs = ("*",)
    objectives: Globs = ("*",)
    excluded: bool = False
    reason: str = ""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.end <= self.begin:
            raise ValueError(
                f"end: found {self.end.isoformat()}, expected a time after begin, {self.begin.isoformat()}"
            )
        return self


# Which keys of a receiver only some kinds have, and which of them each kind needs, with what is expected.
_KEYS_OF_KINDS: Final = {
    "url": ("alertmanager", "webhook"),
    "header": ("alertmanager", "webhook"),
    "template": ("webhook",),
    "smtp": ("email",),
    "password": ("email",),
    "sender": ("email",),
    "recipients": ("email",),
    "command": ("command",),
}
_NEEDED: Final = {
    "smtp_host": "the host of a mail server",
    "sender": "an address",
    "recipients": "addresses",
    "command": "a program and its arguments",
}


class Receiver(Table):
    """Who is told. A secret is named by the variable or the file that holds it, never written here."""

    name: str = Field(min_length=1, max_length=100)
    kind: Literal["alertmanager", "webhook", "email", "command"]
    severities: tuple[Severity, ...] = Field(default=("page", "ticket"), min_length=1)
    url: HttpUrl | None = None
    url_env: Text | None = None
    url_file: Text | None = None
    header_env: Text | None = None  # a whole header, such as "Authorization: Bearer …"
    header_file: Text | None = None
    template: Text | None = None  # of the webhook: json, slack (Mattermost too), teams, or a file
    smtp_host: Text | None = None
    smtp_port: int = Field(default=587, ge=1, le=65_535, strict=True)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: Text | None = None
    password_env: Text | None = None
    password_file: Text | None = None
    sender: MailAddress | None = None
    recipients: tuple[MailAddress, ...] = ()
    command: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_the_keys_of_its_kind(self) -> Self:
        for key in sorted(self.model_fields_set):
            kinds = _KEYS_OF_KINDS.get(key.partition("_")[0], (self.kind,))
            if self.kind not in kinds:
                raise ValueError(f"{key}: found it with kind {self.kind!r}, expected {' or '.join(kinds)}")
        for key, expected in _NEEDED.items():
            if self.kind in _KEYS_OF_KINDS[key.partition("_")[0]] and not getattr(self, key):
                raise ValueError(f"{key}: found none, expected {expected}, as the kind is {self.kind}")
        if self.command and not self.command[0]:
            raise ValueError(f"command: found '' as the program, expected {_NEEDED['command']}")
        return self

    @model_validator(mode="after")
    def _secrets_have_one_source(self) -> Self:
        needs_url = self.kind in _KEYS_OF_KINDS["url"]
        self._check_sources("url", "url_env", "url_file", needed=needs_url)
        self._check_sources("header_env", "header_file")
        self._check_sources("password_env", "password_file", needed=self.smtp_user is not None)
        if self.smtp_user is None and (self.password_env or self.password_file):
            raise ValueError("smtp_user: found none, expected whose password it is")
        if self.smtp_user and self.smtp_security == "none" and not is_loopback(self.smtp_host or ""):
            raise ValueError("smtp_security: found 'none' with a password, expected 'starttls' or 'tls'")
        return self

    def _check_sources(self, *keys: str, needed: bool = False) -> None:
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: found it beside {given[0]}, expected one of them")
        if needed and not given:
            raise ValueError(f"{keys[0]}: found none, expected one of {', '.join(keys)}")


class Document(Table):
    """The whole file; each table may be there any number of times, as [[objective]] and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    interval: Seconds = 60  # between evaluations
    external_url: HttpUrl | None = None  # of the page, for links in notifications
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
