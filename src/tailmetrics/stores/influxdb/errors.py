"""What the answers of the InfluxDB server mean, for its settings and for how long to wait."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError, LocationValueError

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.influxdb.address import Address

_LONGEST_WAIT_SECONDS = 300.0  # that a server may ask for


@contextlib.contextmanager
def errors_translated(address: Address) -> Iterator[None]:
    """Errors of the client as this package's."""
    try:
        yield
    except (ApiException, HTTPError, aiohttp.ClientError, OSError) as error:
        raise translate(error, address) from error


def translate(error: Exception, address: Address) -> StoreError:
    """What an error of the client means for whoever runs the service; it names the setting that is wrong.

    A wrong token, organisation or bucket is StoreUnavailable too: those are mended at the server as often
    as here.
    """
    if isinstance(error, LocationValueError):
        return StoreUnavailable(f"INFLUXDB_URL: found {address.url!r}, expected http://host:8086")
    if not isinstance(error, ApiException) or not error.status:
        reason = str(error).rpartition(": ")[2] or type(error).__name__
        return StoreUnavailable(
            f"InfluxDB at {address.url} (INFLUXDB_URL or the host of STORE_URL) does not answer: {reason}"
        )
    text = _text_of(error.status, words_of(error), address)
    if error.status in (400, 422) and not text.startswith("INFLUXDB_ORG"):  # which a query is told with 400
        return StoreError(text)
    headers: Mapping[str, str] = error.headers or {}
    return StoreUnavailable(text, retry_after_seconds(headers.get("Retry-After"), headers.get("Date")))


def missing_bucket(name: str, address: Address) -> StoreUnavailable:
    """What is said of a bucket that is not there and cannot be made."""
    return StoreUnavailable(
        f"INFLUXDB_BUCKET: found {name!r}, which the organisation {address.org!r} does not have, or "
        f"INFLUXDB_TOKEN may not see; make the buckets {address.bucket!r} and "
        f"{address.meta_bucket!r}, or give a token that may"
    )


def words_of(error: ApiException) -> str:
    """What the server says of an error, without its framing."""
    body = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or error.reason or "")
    try:
        said = json.loads(text)
    except ValueError:
        return text.strip()[:500] or str(error.reason)
    return str(said.get("message", text))[:500] if isinstance(said, dict) else text[:500]


def retry_after_seconds(value: str | None, answered: str | None = None) -> float | None:
    """How many seconds a Retry-After header asks to wait; None when it does not say.

    Until a date they count from that of the answer, as this machine's clock may be another.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            now = parsedate_to_datetime(answered).timestamp() if answered else time.time()
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


def _text_of(status: int, words: str, address: Address) -> str:
    if status == 401:
        return f"INFLUXDB_TOKEN: InfluxDB at {address.url} does not accept it ({words})"
    if status == 403:
        return (
            f"INFLUXDB_TOKEN: it may not do that with bucket {address.bucket!r} of {address.org!r} ({words})"
        )
    if "organization name" in words:
        return (
            f"INFLUXDB_ORG: found {address.org!r}, which {address.url} does not have or the token may not see"
        )
    if status == 404 and "bucket" in words:
        return f"INFLUXDB_BUCKET: found {address.bucket!r}, which {address.org!r} does not have ({words})"
    if status == 404 or 300 <= status < 400:
        return f"INFLUXDB_URL: found {address.url}, which answers {status} ({words}), expected InfluxDB 2"
    return f"InfluxDB at {address.url} answers {status}: {words}"
