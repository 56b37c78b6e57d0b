"""The InfluxDB server: where it is, its errors in words of our settings, its buckets, and writing."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import polars as pl
from influxdb_client import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    BucketRetentionRules,
    BucketsService,
    DeleteService,
    InfluxDBClient,
    OrganizationsService,
    PostBucketRequest,
)
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError, LocationValueError

from tailmetrics.errors import SettingsError, StoreError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.csv import Tables, tables_of
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import bracketed

log = EventLog()

_Answer = TypeVar("_Answer")

MAX_BODY_BYTES = 10_000_000  # of one request, before it is compressed
LINES_A_REQUEST = 25_000
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 2.0  # at start and before each question, so that a wrong address is named within five
_LONGEST_WAIT_SECONDS = 300.0  # that a server may ask for
_POSTS_AT_ONCE = 2
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Address:
    """Where the data are: the server's URL, the organisation, the bucket of records, and the token."""

    url: str
    org: str
    bucket: str
    token: str = field(repr=False)

    @property
    def meta_bucket(self) -> str:
        """The bucket that never expires: sources with their positions, rejects, and what processors say."""
        return f"{self.bucket}_meta"

    @classmethod
    def of(cls, settings: Settings) -> Address:
        """From STORE_URL, else from INFLUXDB_*. Raises SettingsError for what is missing."""
        store = settings.store
        scheme = "https" if store.parameters.get("tls", ["false"])[0] == "true" else "http"
        address = f"{scheme}://{bracketed(store.host)}:{store.port or 8086}" if store.host else None
        given = {
            "INFLUXDB_URL": address or settings.influxdb_url,
            "INFLUXDB_ORG": store.parameters.get("org", [settings.influxdb_org])[0],
            "INFLUXDB_BUCKET": store.database or settings.influxdb_bucket,
            "INFLUXDB_TOKEN": settings.influxdb_token.get_secret_value() if settings.influxdb_token else "",
        }
        if missing := [name for name, value in given.items() if not value]:
            raise SettingsError([f"{name}: found nothing, expected {_EXPECTED[name]}" for name in missing])
        url, org, bucket, token = given.values()
        if not token.isascii() or any(sign.isspace() for sign in token):
            raise SettingsError(
                ["INFLUXDB_TOKEN: found signs that no token has, expected one of the server's"]
            )
        return cls(url.rstrip("/"), org, bucket, token)


_EXPECTED = {
    "INFLUXDB_URL": "the server's address such as http://localhost:8086, here or as host in STORE_URL",
    "INFLUXDB_ORG": "the organisation's name, here or as STORE_URL's ?org=…",
    "INFLUXDB_BUCKET": "the bucket's name, here or as path of STORE_URL",
    "INFLUXDB_TOKEN": "a token that may read and write the bucket",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that the server will never take: its place among those sent, and the server's words."""

    place: int
    reason: str


class Server:
    """The blocking side: buckets, points in, and what the write side has to know before it writes.

    Each method raises StoreUnavailable when waiting may help, a wrong token, organisation or bucket
    included: those are mended at the server as often as here.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = Address.of(settings)
        self.retention_seconds = 0
        self._wanted_days = settings.retention_days
        self._client = InfluxDBClient(
            self.address.url, self.address.token, org=self.address.org, timeout=int(TIMEOUT_SECONDS * 1000)
        )
        self._writing = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._threads = ThreadPoolExecutor(_POSTS_AT_ONCE, thread_name_prefix="influxdb-write")
        self._is_ready = False

    def prepare(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Make sure once that both buckets are there; each request may take so long."""
        if self._is_ready:
            return
        found = self._bucket(self.address.bucket, self._wanted_days * 86_400, timeout_seconds)
        self._bucket(self.address.meta_bucket, 0, timeout_seconds)
        self.retention_seconds = found
        if found != self._wanted_days * 86_400:
            log.warning(
                "the bucket's retention differs from RETENTION_DAYS and is left as it is",
                bucket=self.address.bucket,
                bucket_days=found / 86_400,
                retention_days=self._wanted_days,
            )
        self._is_ready = True

    def write(self, bucket: str, lines: pl.Series) -> list[Refused]:
        """Write points, in requests that are under way beside each other; returns those that are refused.

        What was written of a write that fails is there, and the same when it is written again.
        """
        self.prepare()
        sizes = lines.str.len_bytes()
        pieces: list[tuple[int, int]] = []
        begin = 0
        while begin < len(lines):
            end = begin + _lines_that_fit(sizes.slice(begin, LINES_A_REQUEST))
            pieces.append((begin, end))
            begin = end
        posts = [self._threads.submit(self._post, bucket, lines, begin, end) for begin, end in pieces]
        wait(posts, return_when=FIRST_EXCEPTION)
        started = [post for post in posts if not post.cancel()]
        wait(started)  # what is under way ends before anything is tried again
        return [refused for post in started for refused in post.result()]

    def query(self, text: str, params: dict[str, Any]) -> dict[str, Tables]:
        """The tables that a Flux text gives, by the names of their results."""
        self.prepare()
        api = self._client.query_api()
        answer = self._asked(lambda: api.query_raw(text, params=params).data)
        return tables_of(answer if isinstance(answer, bytes) else answer.encode())

    def delete(self, bucket: str, predicate: str) -> None:
        """Delete all points that a predicate names."""
        self.prepare()
        request = {"start": "1970-01-01T00:00:00Z", "stop": "2262-01-01T00:00:00Z", "predicate": predicate}
        service = DeleteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._asked(
            lambda: service.post_delete(  # type: ignore[no-untyped-call]
                delete_predicate_request=request, org=self.address.org, bucket=bucket
            )
        )

    def close(self) -> None:
        self._threads.shutdown()
        self._client.close()  # type: ignore[no-untyped-call]

    def _post(self, bucket: str, lines: pl.Series, begin: int, end: int) -> list[Refused]:
        """Write the lines from `begin` to `end`; where they are too many or one is refused, by halves."""
        body = gzip.compress(lines.slice(begin, end - begin).str.join("\n").item().encode(), _GZIP_LEVEL)
        try:
            self._writing.post_write(  # type: ignore[no-untyped-call]
                self.address.org,
                bucket,
                body,
                precision="ns",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
            )
        except ApiException as error:
            if error.status not in (400, 413, 422):
                raise translated(error, self.address) from error
            if end - begin == 1:
                return [Refused(begin, f"refused by InfluxDB: {_words_of(error)}")]
            middle = (begin + end) // 2
            return self._post(bucket, lines, begin, middle) + self._post(bucket, lines, middle, end)
        except (HTTPError, OSError) as error:
            raise translated(error, self.address) from error
        return []

    def _bucket(self, name: str, retention_seconds: int, timeout_seconds: float) -> int:
        """The retention in seconds (0: for ever) of a bucket, which is made when it is missing."""
        service = BucketsService(self._client.api_client)  # type: ignore[no-untyped-call]
        try:
            found = service.get_buckets(  # type: ignore[no-untyped-call]
                org=self.address.org, name=name, _request_timeout=int(timeout_seconds * 1000)
            ).buckets
        except ApiException as error:
            if error.status != 404 or "bucket" not in _words_of(error):
                raise translated(error, self.address) from error
            found = []
        except (HTTPError, OSError) as error:
            raise translated(error, self.address) from error
        if found:
            return sum(rule.every_seconds for rule in found[0].retention_rules)
        self._make_bucket(service, name, retention_seconds)
        return retention_seconds

    def _make_bucket(self, service: BucketsService, name: str, retention_seconds: int) -> None:
        orgs = OrganizationsService(self._client.api_client)  # type: ignore[no-untyped-call]
        rules = [BucketRetentionRules(every_seconds=retention_seconds)] if retention_seconds else []  # type: ignore[no-untyped-call]
        try:
            seen = orgs.get_orgs(org=self.address.org).orgs  # type: ignore[no-untyped-call]
            if not seen:
                raise self._missing_bucket(name)
            request = PostBucketRequest(org_id=seen[0].id, name=name, retention_rules=rules)  # type: ignore[no-untyped-call]
            service.post_buckets(request)  # type: ignore[no-untyped-call]
        except ApiException as error:
            if error.status in (401, 403, 404):
                raise self._missing_bucket(name) from error
            if error.status != 422:  # made by another process meanwhile
                raise translated(error, self.address) from error
        except (HTTPError, OSError) as error:
            raise translated(error, self.address) from error
        else:
            log.info("bucket made", bucket=name, retention_days=retention_seconds / 86_400)

    def _missing_bucket(self, name: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"INFLUXDB_BUCKET: found {name!r}, which the organisation {self.address.org!r} does not have, or "
            f"INFLUXDB_TOKEN may not see; make the buckets {self.address.bucket!r} and "
            f"{self.address.meta_bucket!r}, or give a token that may"
        )

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except (ApiException, HTTPError, OSError) as error:
            raise translated(error, self.address) from error


def translated(error: Exception, address: Address) -> StoreError:
    """What an error of the client means for whoever runs the service; it names the setting that is wrong."""
    if isinstance(error, LocationValueError):
        return StoreUnavailable(f"INFLUXDB_URL: found {address.url!r}, expected http://host:8086")
    if not isinstance(error, ApiException) or not error.status:
        reason = str(error).rpartition(": ")[2] or type(error).__name__
        return StoreUnavailable(
            f"InfluxDB at {address.url} (INFLUXDB_URL or the host of STORE_URL) does not answer: {reason}"
        )
    words = _words_of(error)
    pause = retry_after_seconds(error.headers.get("Retry-After") if error.headers else None)
    if error.status == 401:
        return StoreUnavailable(
            f"INFLUXDB_TOKEN: InfluxDB at {address.url} does not accept it ({words})", pause
        )
    if error.status == 403:
        return StoreUnavailable(
            f"INFLUXDB_TOKEN: it may not do that with bucket {address.bucket!r} of {address.org!r} ({words})",
            pause,
        )
    if "organization name" in words:
        return _unknown_org(address)
    if error.status == 404 and "bucket" in words:
        return StoreUnavailable(
            f"INFLUXDB_BUCKET: found {address.bucket!r}, which {address.org!r} does not have ({words})",
            pause,
        )
    if error.status == 404 or 300 <= error.status < 400:
        return StoreUnavailable(
            f"INFLUXDB_URL: found {address.url}, which answers {error.status} ({words}), expected InfluxDB 2",
            pause,
        )
    text = f"InfluxDB at {address.url} answers {error.status}: {words}"
    if error.status in (400, 422):
        return StoreError(text)
    return StoreUnavailable(text, pause)


def retry_after_seconds(value: str | None) -> float | None:
    """How many seconds a Retry-After header asks to wait; None when it does not say."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


def _unknown_org(address: Address) -> StoreUnavailable:
    return StoreUnavailable(
        f"INFLUXDB_ORG: found {address.org!r}, which {address.url} does not have or the token may not see"
    )


def _words_of(error: ApiException) -> str:
    """What the server says of an error, without its framing."""
    body = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or error.reason or "")
    try:
        said = json.loads(text)
    except ValueError:
        return text.strip()[:500] or str(error.reason)
    return str(said.get("message", text))[:500] if isinstance(said, dict) else text[:500]


def _lines_that_fit(sizes: pl.Series) -> int:
    """How many of the first lines make one request: at least one."""
    return max(
        1, int((sizes.cum_sum() + pl.int_range(1, len(sizes) + 1, eager=True) <= MAX_BODY_BYTES).sum())
    )


def joined(lines: Sequence[str]) -> pl.Series:
    return pl.Series(lines, dtype=pl.String)
