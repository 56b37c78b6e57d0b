"""The write side of the InfluxDB server: its buckets, points in, and what is asked before that."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import polars as pl
from influxdb_client import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    BucketRetentionRules,
    InfluxDBClient,
)
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.base import no_store
from tailmetrics.stores.influxdb.address import Address
from tailmetrics.stores.influxdb.csv import Tables, tables_of
from tailmetrics.stores.influxdb.errors import (
    VERSION,
    errors_translated,
    expiring,
    explicit_schema,
    missing_bucket,
    no_influxdb,
    unsupported,
    words_of,
)
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import from_us, to_us

log = EventLog()

MAX_BODY_BYTES = 10_000_000  # of one request, before it is compressed
LINES_A_REQUEST = 25_000
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 2.0  # at start and before each query, so that a wrong address is named within five
# Of the second bucket, which has little of each week, and a hundred small files for each shard.
_META_SHARD_SECONDS = 90 * 86_400
_POSTS_AT_ONCE = 2
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that the server will never take: its place among those sent, and the server's words."""

    place: int
    reason: str


class Server:
    """A blocking client, which sends points in requests beside each other.

    Each method raises StoreUnavailable when waiting may help, another StoreError when the server is no
    InfluxDB 2.
    """

    def __init__(self, settings: Settings, *, creates: bool = True) -> None:
        self.address = Address.of(settings)
        self.retention_seconds = 0
        self._wanted_days = settings.retention_days
        self._client = InfluxDBClient(
            self.address.url,
            self.address.token,
            org=self.address.org,
            ssl_ca_cert=self.address.ca_file,
            timeout=int(TIMEOUT_SECONDS * 1000),
        )
        self._writing = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._threads = ThreadPoolExecutor(_POSTS_AT_ONCE, thread_name_prefix="influxdb-write")
        self._is_ready = False
        self._creates = creates
        # Of the records written last: a limit on what may be written in some minutes can be less than one
        # commit, which would never end if each try began with the same lines.
        self._accepted: set[bytes] = set()
        self._accepted_before: set[bytes] = set()

    def prepare(self) -> None:
        """Make sure once that both buckets are there, of which the server is to tell soon."""
        if self._is_ready:
            return
        found = self._bucket(self.address.bucket, self._wanted_days * 86_400)
        if expires := self._bucket(self.address.meta_bucket, 0):
            raise expiring(self.address.meta_bucket, expires, self.address)
        self.retention_seconds = found
        if found != self._wanted_days * 86_400:
            log.warning(
                "the bucket's retention differs from RETENTION_DAYS and is left as it is",
                bucket=self.address.bucket,
                bucket_days=round(found / 86_400, 3),
                retention_days=self._wanted_days,
            )
        if found:
            log.info(
                "the bucket deletes by itself what is older",
                bucket=self.address.bucket,
                bucket_days=round(found / 86_400, 3),
                setting="RETENTION_DAYS, when the bucket was made",
            )
        self._is_ready = True

    def oldest_us(self) -> int | None:
        """What is older than this the server does not keep; None when it keeps everything."""
        self.prepare()
        if not self.retention_seconds:
            return None
        return to_us(datetime.now(timezone.utc) - timedelta(seconds=self.retention_seconds))

    def write(self, bucket: str, lines: pl.Series) -> list[Refused]:
        """Write points, in requests that are under way beside each other; returns those that are refused.

        What was written of a write that fails is there, and the same when it is written again.
        """
        self.prepare()
        if bucket == self.address.bucket:
            self._accepted_before, self._accepted = self._accepted, set()
        posts = [self._threads.submit(self._post, bucket, part, first) for first, part in _requests(lines)]
        wait(posts, return_when=FIRST_EXCEPTION)
        started = [post for post in posts if not post.cancel()]
        wait(started)  # what is under way ends before anything is tried again
        try:
            return [refused for post in started for refused in post.result()]
        except StoreUnavailable as error:
            if error.retry_after_seconds is None:
                self._accepted.clear()
            elif bucket == self.address.bucket:  # the server is well, and has what it took before too
                self._accepted |= self._accepted_before
            raise

    def write_meta(self, lines: Sequence[str]) -> None:
        """Write points into the bucket that never expires. Raises StoreError when one is refused."""
        refused = self.write(self.address.meta_bucket, pl.Series(lines, dtype=pl.String))
        if refused:
            raise StoreError(
                f"the bucket {self.address.meta_bucket!r} does not take what this program must keep: "
                f"{refused[0].reason}"
            )

    def query_meta(self, text: str, params: dict[str, str]) -> dict[str, Tables]:
        """The rows that a Flux text gives of the bucket that never expires, by the names of their results."""
        self.prepare()
        with errors_translated(self.address, self.address.meta_bucket):
            answer = self._client.query_api().query_raw(
                text, params={"bucket": self.address.meta_bucket, **params}
            )
            data: Any = answer.data
        return tables_of(data if isinstance(data, bytes) else data.encode())

    def delete_meta(self, predicate: str, start_ns: int | None = None, stop_ns: int | None = None) -> None:
        """Delete points of [start_ns, stop_ns), named by a predicate, from the bucket that never expires."""
        self.prepare()
        with errors_translated(self.address, self.address.meta_bucket):
            self._client.delete_api().delete(
                "1970-01-01T00:00:00Z" if start_ns is None else _rfc3339(start_ns),
                "2262-01-01T00:00:00Z" if stop_ns is None else _rfc3339(stop_ns - 1),  # which it deletes, too
                predicate,
                self.address.meta_bucket,
            )

    def check_access(self, *, writes: bool) -> None:
        """Raise StoreError where the token may not read both buckets or, with `writes`, not write them."""
        self.prepare()
        for bucket in (self.address.bucket, self.address.meta_bucket) if writes else ():
            with errors_translated(self.address, bucket):
                self._send(bucket, b"")

    def close(self) -> None:
        self._threads.shutdown()
        self._client.close()  # type: ignore[no-untyped-call]

    def _post(self, bucket: str, lines: pl.Series, first: int) -> list[Refused]:
        """Write the lines from the place `first` on; where they are too many or one is refused, by halves."""
        text = lines.str.join("\n").item().encode()
        # Records alone: the same lines of another bucket may be needed again, as others were written between.
        digest = hashlib.sha256(text).digest() if bucket == self.address.bucket else b""
        if digest in self._accepted_before:
            self._accepted.add(digest)
            return []
        with errors_translated(self.address, bucket):
            try:
                self._send(bucket, text)
            except ApiException as error:
                if error.status not in (400, 413, 422):
                    raise
                if len(lines) == 1:
                    return [Refused(first, f"refused by InfluxDB: {words_of(error)}")]
            else:
                if digest:
                    self._accepted.add(digest)
                return []
        middle = len(lines) // 2
        return self._post(bucket, lines[:middle], first) + self._post(bucket, lines[middle:], first + middle)

    def _send(self, bucket: str, text: bytes) -> None:
        self._writing.post_write(  # type: ignore[no-untyped-call]
            self.address.org,
            bucket,
            gzip.compress(text, _GZIP_LEVEL),
            precision="ns",
            content_encoding="gzip",
            content_type="text/plain; charset=utf-8",
        )

    def _refuse_other_versions(self, error: ApiException) -> None:
        """Raise StoreError when a server that knows no buckets names another version; 3 does when asked."""
        if VERSION in (error.headers or {}) or error.status not in (401, 403, 404, 405):
            return
        with contextlib.suppress(ApiException, HTTPError, OSError):
            if other := unsupported(self._client.version(), self.address):
                raise other from error

    def _bucket(self, name: str, retention_seconds: int) -> int:
        """The retention in seconds (0: for ever) of a bucket, which is made when it is missing."""
        buckets = self._client.buckets_api()
        with errors_translated(self.address, name):
            try:
                found = buckets.find_buckets(  # type: ignore[no-untyped-call]
                    org=self.address.org, name=name, _request_timeout=int(CONNECT_SECONDS * 1000)
                ).buckets
            except ApiException as error:
                if error.status != 404 or "bucket" not in words_of(error):
                    self._refuse_other_versions(error)
                    raise
                found = []
            if found is None:
                raise no_influxdb(self.address)
            if found:
                if found[0].schema_type == "explicit":
                    raise explicit_schema(name, self.address)
                return sum(rule.every_seconds for rule in found[0].retention_rules)
            if not self._creates:
                raise no_store(f"{self.address.url}: it has no bucket {name!r}")
            shards = _META_SHARD_SECONDS if name == self.address.meta_bucket else None
            rule = BucketRetentionRules(  # type: ignore[no-untyped-call]
                every_seconds=retention_seconds, shard_group_duration_seconds=shards
            )
            try:
                buckets.create_bucket(bucket_name=name, retention_rules=rule, org=self.address.org)
                log.info("bucket made", bucket=name, retention_days=retention_seconds / 86_400)
            except ApiException as error:
                if error.status in (401, 403, 404):
                    raise missing_bucket(name, self.address) from error
                if error.status != 422:  # made by another process meanwhile
                    raise
            except InfluxDBError as error:  # there is no such organisation
                raise missing_bucket(name, self.address) from error
        return retention_seconds


def _rfc3339(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{from_us(seconds * 1_000_000):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _requests(lines: pl.Series) -> Iterator[tuple[int, pl.Series]]:
    """The lines of each request, at least one, with the place of the first."""
    sizes = lines.str.len_bytes() + 1
    first = 0
    while first < len(lines):
        fit = int((sizes.slice(first, LINES_A_REQUEST).cum_sum() <= MAX_BODY_BYTES).sum())
        yield first, lines.slice(first, max(1, fit))
        first += max(1, fit)
