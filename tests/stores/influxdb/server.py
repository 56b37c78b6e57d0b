"""Buckets of a real InfluxDB server for tests, when INFLUXDB_TEST_URL, _TOKEN and _ORG name one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tailmetrics.settings import Settings

URL = os.environ.get("INFLUXDB_TEST_URL", "").rstrip("/")
TOKEN = os.environ.get("INFLUXDB_TEST_TOKEN", "")
ORG = os.environ.get("INFLUXDB_TEST_ORG", "")
IS_GIVEN = bool(URL and TOKEN and ORG)

_PREFIX = f"tailmetrics-test-{secrets.token_hex(4)}-"


def given_bucket(bucket: str | None = None) -> dict[str, str]:
    """What of the settings names a bucket that nothing has been written to."""
    return {
        "store_url": "influxdb://",
        "influxdb_url": URL,
        "influxdb_org": ORG,
        "influxdb_token": TOKEN,
        "influxdb_bucket": bucket or f"{_PREFIX}{secrets.token_hex(6)}",
    }


def settings_of_bucket(bucket: str | None = None, **changes: Any) -> Settings:
    """Settings for such a bucket, read from nothing but the arguments."""
    return Settings(_env_file=None, **(given_bucket(bucket) | changes))  # type: ignore[call-arg]


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings of a bucket for another process."""
    assert settings.influxdb_token is not None
    return {
        "STORE_URL": "influxdb://",
        "INFLUXDB_URL": settings.influxdb_url,
        "INFLUXDB_ORG": settings.influxdb_org,
        "INFLUXDB_BUCKET": settings.influxdb_bucket,
        "INFLUXDB_TOKEN": settings.influxdb_token.get_secret_value(),
    }


def backends() -> dict[str, Callable[[Path], Settings]]:
    """An entry for BACKENDS, or none without a server."""
    return {"influxdb": lambda _: settings_of_bucket()} if IS_GIVEN else {}


@contextmanager
def buckets_removed() -> Iterator[None]:
    """Removes at the end what tests have made."""
    yield
    if not IS_GIVEN:
        return
    headers = {"Authorization": f"Token {TOKEN}"}
    with httpx.Client(base_url=URL, headers=headers, timeout=30) as client:
        while found := [
            bucket["id"]
            for bucket in client.get("/api/v2/buckets", params={"org": ORG, "limit": 100}).json()["buckets"]
            if bucket["name"].startswith(_PREFIX)
        ]:
            for bucket_id in found:
                client.delete(f"/api/v2/buckets/{bucket_id}").raise_for_status()
