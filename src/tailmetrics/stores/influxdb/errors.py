"""What the answers of the InfluxDB server mean, for its settings and for how long to wait."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError, LocationValueError

from tailmetrics.errors import StoreError, StoreRefused, StoreUnavailable
from tailmetrics.stores.influxdb.address import Address

_LONGEST_WAIT_SECONDS = 300.0  # that a server may ask for
_UNTRUSTED = re.compile(r"certificate verify failed: (.+?) \(_ssl")
_NO_ORGANISATION = "organization name"  # of another status to each kind of request
VERSION = "X-Influxdb-Version"
_OTHER_VERSIONS = {
    "1": "has neither buckets nor tokens; expected InfluxDB 2, to which `influxd upgrade` brings its data",
    "3": "takes writes of version 2, but answers no Flux and deletes nothing; expected InfluxDB 2",
}


@contextlib.contextmanager
def errors_translated(address: Address, bucket: str = "") -> Iterator[None]:
    """Errors of the client as this package's, those of one bucket by its name."""
    try:
        yield
    except (ApiException, HTTPError, aiohttp.ClientError, OSError) as error:
        raise translate(error, address, bucket) from error


def translate(error: Exception, address: Address, bucket: str = "") -> StoreError:
    """What an error of the client means for whoever runs the service; it names the setting that is wrong.

    A wrong token, organisation or bucket is StoreRefused: those are mended at the server as often as here.
    For a server of another version nothing is waited.
    """
    if isinstance(error, LocationValueError):
        return StoreUnavailable(f"INFLUXDB_URL: found {address.url!r}, expected http://host:8086")
    if not isinstance(error, ApiException) or not error.status:
        return _without_answer(error, address)
    headers: Mapping[str, str] = error.headers or {}
    if other := unsupported(headers.get(VERSION), address):
        return other
    words = words_of(error)
    text = _text_of(error.status, words, address, bucket or address.bucket)
    if error.status in (401, 403, 404) or 300 <= error.status < 400 or _NO_ORGANISATION in words:
        return StoreRefused(text)
    if error.status in (400, 422):
        return StoreError(text)
    pause = retry_after_seconds(headers.get("Retry-After"), headers.get("Date"))
    return StoreUnavailable(text if pause is None else f"{text}; it asks to wait {pause:g} s", pause)


def unsupported(version: str | None, address: Address) -> StoreError | None:
    """What is said of a server that names a version which has another API; None of any other."""
    number = (version or "").removeprefix("v")
    reason = _OTHER_VERSIONS.get(number.split(".", maxsplit=1)[0])
    if reason is None:
        return None
    return StoreError(
        f"INFLUXDB_URL: found InfluxDB {number} at {address.url}, which is not supported: it {reason}"
    )


def missing_bucket(name: str, address: Address) -> StoreRefused:
    """What is said of a bucket that is not there and cannot be made."""
    return StoreRefused(
        f"INFLUXDB_BUCKET: found {name!r}, which the organisation {address.org!r} does not have, or "
        f"INFLUXDB_TOKEN may not see; make the buckets {address.bucket!r} and "
        f"{address.meta_bucket!r}, or give a token that may"
    )


def explicit_schema(name: str, address: Address) -> StoreRefused:
    """What is said of a bucket that takes only what somebody has declared."""
    return StoreRefused(
        f"INFLUXDB_BUCKET: found {name!r} of {address.org!r} with an explicit schema, expected an implicit "
        "one: name another bucket, made without --schema-type explicit, as that of a bucket cannot be changed"
    )


def expiring(name: str, seconds: int, address: Address) -> StoreRefused:
    """What is said of a bucket for positions and summaries that deletes what is old."""
    return StoreRefused(
        f"INFLUXDB_BUCKET: found {name!r} of {address.org!r} with a retention of {seconds / 86_400:g} days, "
        "expected one that never expires, as it has the positions in all logs: influx bucket update "
        f"--id ID --retention 0, with the ID that influx bucket list --name {name} tells"
    )


def no_influxdb(address: Address) -> StoreRefused:
    """What is said of a server that answers something else."""
    return StoreRefused(
        f"INFLUXDB_URL: found {address.url}, which answers no list of buckets, expected InfluxDB 2; is it a "
        "proxy, or a page to log in at?"
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


def _without_answer(error: Exception, address: Address) -> StoreUnavailable:
    if untrusted := _UNTRUSTED.search(str(error)):
        return StoreRefused(
            f"INFLUXDB_CA_FILE: the certificate of {address.url} is not trusted ({untrusted[1]}); expected "
            "the file of the CA that has signed it, and in the URL a name that it is for"
        )
    reason = str(error).rpartition(": ")[2] or type(error).__name__
    return StoreUnavailable(
        f"InfluxDB at {address.url} (INFLUXDB_URL or the host of STORE_URL) does not answer: {reason}"
    )


def _text_of(status: int, words: str, address: Address, bucket: str) -> str:
    if status == 401:
        return f"INFLUXDB_TOKEN: InfluxDB at {address.url} does not accept it ({words})"
    if status == 403:
        return f"INFLUXDB_TOKEN: it may not do that with bucket {bucket!r} of {address.org!r} ({words})"
    if _NO_ORGANISATION in words:
        return (
            f"INFLUXDB_ORG: found {address.org!r}, which {address.url} does not have or the token may not see"
        )
    if status == 404 and "bucket" in words:
        return f"INFLUXDB_BUCKET: found {bucket!r}, which {address.org!r} does not have ({words})"
    if status == 404 or 300 <= status < 400:
        return f"INFLUXDB_URL: found {address.url}, which answers {status} ({words}), expected InfluxDB 2"
    return f"InfluxDB at {address.url} answers {status}: {words}"
