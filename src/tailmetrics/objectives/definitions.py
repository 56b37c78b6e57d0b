"""What an objectives file says: objectives, rules for alerts, receivers of notifications.

Durations are texts such as `5m`, read as seconds. Globs are those of RequestFilter.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tailmetrics.errors import QueryError
from tailmetrics.settings.values import TimeZone
from tailmetrics.stats import Failures
from tailmetrics.urls import is_loopback, masked
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
    severities: tuple[Severity, ...] = Field(default=("page", "ticket"), min_length=1)
    url: str | None = None  # only one that holds no secret
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
    command: tuple[str, ...] = ()  # and its arguments

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Receiver:
        """Raises ValueError, which shows nothing of an address."""
        allowed, needed = _KEYS_OF_RECEIVERS[self.kind]
        given = {name for name in self.model_fields_set if getattr(self, name) not in {None, ()}}
        if foreign := given - allowed - {"name", "kind", "severities"}:
            raise ValueError(f"found {', '.join(sorted(foreign))}, which is nothing of kind {self.kind}")
        for one_of in needed:
            found = [name for name in one_of if name in given]
            if len(found) != 1:
                raise ValueError(
                    f"found {' and '.join(found) or 'none'}, expected one of {', '.join(one_of)}"
                )
        for secret in ("header", "password"):
            if given >= {f"{secret}_env", f"{secret}_file"}:
                raise ValueError(f"found {secret}_env and {secret}_file, expected one of them")
        if self.url is not None:
            _check_url(self.url)
        if self.kind == "email":
            self._check_email(given)
        return self

    def _check_email(self, given: set[str]) -> None:
        if bool(self.smtp_user) != bool(given & {"password_env", "password_file"}):
            raise ValueError("expected smtp_user and one of password_env, password_file; or none of them")
        if self.smtp_user and self.smtp_security == "none" and not is_loopback(self.smtp_host or ""):
            raise ValueError("found smtp_security none with a password, expected starttls or tls")
        for address in (self.sender or "", *self.recipients):
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"found {address!r}, expected an address such as alerts@example.com")


_URL = ("url", "url_env", "url_file")
_HEADER = ("header_env", "header_file")
_SMTP = ("smtp_host", "smtp_port", "smtp_security", "smtp_user", "sender", "recipients")
# Of each kind what it may have, and of what it needs one.
_KEYS_OF_RECEIVERS: dict[str, tuple[set[str], tuple[tuple[str, ...], ...]]] = {
    "alertmanager": ({*_URL, *_HEADER}, (_URL,)),
    "webhook": ({*_URL, *_HEADER, "template"}, (_URL,)),
    "email": ({*_SMTP, "password_env", "password_file"}, (("smtp_host",), ("sender",), ("recipients",))),
    "command": ({"command"}, (("command",),)),
}
_ADDRESS = re.compile(r"[^\x00-\x1f<>\x7f]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+")
# Whoever knows such an address may post there.
_HOOKS = re.compile(r"hooks\.slack\.com|discord(app)?\.com|.*\.webhook\.office\.com|.*\.logic\.azure\.com")
_HOOK_PATHS = re.compile(r"/(hooks|api/webhooks)/[^/]{8,}")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("found a url of another form, expected one such as https://host/path")
    is_hook = _HOOKS.fullmatch(parts.hostname or "") or _HOOK_PATHS.match(parts.path)
    if parts.username is not None or masked(url) != url or is_hook:
        raise ValueError(
            "found a secret in url, expected url_env or url_file, the variable or the file with the address"
        )


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
