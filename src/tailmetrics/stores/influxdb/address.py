"""Where the InfluxDB server is, and where on it the data are."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings
from tailmetrics.urls import bracketed

_EXPECTED = {
    "INFLUXDB_URL": "the server's address such as http://localhost:8086, here or as host in STORE_URL",
    "INFLUXDB_ORG": "the organisation's name, here or as STORE_URL's ?org=…",
    "INFLUXDB_BUCKET": "the bucket's name, here or as path of STORE_URL",
    "INFLUXDB_TOKEN": "a token that may read and write the bucket",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the data are: the server's URL, the organisation, the bucket of records, and the token.

    `ca_file` holds the certificates by which the server's is trusted; None: those of this machine.
    """

    url: str
    org: str
    bucket: str
    token: str = field(repr=False)
    ca_file: str | None = None

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
        return cls(url.rstrip("/"), org, bucket, token, _ca_file(settings.influxdb_ca_file, url))


def _ca_file(path: str, url: str) -> str | None:
    if not path:
        return None
    if not url.startswith("https://"):
        raise SettingsError(
            [f"INFLUXDB_CA_FILE: found {path!r} and {url}, expected https:// there, or tls=true in STORE_URL"]
        )
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError is one
        reason = error.strerror or error
        raise SettingsError(
            [f"INFLUXDB_CA_FILE: found {path!r} ({reason}), expected a file of certificates (PEM)"]
        ) from error
    return path
