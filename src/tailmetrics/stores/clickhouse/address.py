"""Where a ClickHouse server is, from STORE_URL, and how its client is opened."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tailmetrics.errors import SettingsError
from tailmetrics.stores.clickhouse.schema import Cluster
from tailmetrics.urls import StoreUrl, is_loopback

# What they say of a server that is away is in the errors that they raise.
for _name in ("clickhouse_connect", "urllib3"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False

CONNECT_SECONDS: Final = 4  # what is told of a server that cannot be reached comes within 5
_EXPECTED = (
    "clickhouse://user:password@host:8123/database, behind ? cluster=NAME for a cluster, tls=true for HTTPS, "
    "ca_file=, certificate_file= and key_file= for files of certificates"
)
_PARAMETERS = {"cluster", "tls", "ca_file", "certificate_file", "key_file"}
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A database of a server; printed without its password."""

    name: str
    database: str
    host: str
    port: int
    is_tls: bool
    cluster: Cluster | None
    user: str = field(repr=False)
    password: str = field(repr=False)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: StoreUrl) -> Address:
        """Raises SettingsError for parameters that mean nothing here."""
        given = {name: values[-1] for name, values in url.parameters.items()}
        if unknown := sorted(given.keys() - _PARAMETERS):
            raise _wrong(url, f"the parameter {unknown[0]}")
        if given.get("tls", "true") not in {"true", "false"}:
            raise _wrong(url, "a tls that is neither true nor false")
        if not _NAME.fullmatch(url.database):
            raise _wrong(url, "a name of a database with signs other than letters, digits, _, . and -")
        cluster = given.get("cluster")
        if cluster is not None and not _NAME.fullmatch(cluster):
            raise _wrong(url, "a name of a cluster with signs other than letters, digits, _, . and -")
        files = {name: path for name, path in given.items() if name.endswith("_file")}
        for name, path in files.items():
            if not Path(path).is_file():
                raise _wrong(url, f"{name}={path}, which is no file,")
        is_tls = given.get("tls") == "true"
        return cls(
            name=str(url),
            database=url.database,
            host=url.host or "localhost",
            port=url.port or (8443 if is_tls else 8123),
            is_tls=is_tls,
            cluster=None if cluster is None else Cluster(cluster),
            user=url.user or "default",
            password=url.password or "",
            files=files,
        )

    def __str__(self) -> str:
        return self.name

    def client_arguments(self, timeout_seconds: float) -> dict[str, Any]:
        """What the functions that make a client are given; an answer may take so long."""
        certificates = {
            name: self.files[given]
            for name, given in (
                ("ca_cert", "ca_file"),
                ("client_cert", "certificate_file"),
                ("client_cert_key", "key_file"),
            )
            if given in self.files
        }
        return {
            "host": self.host,
            "port": self.port,
            "interface": "https" if self.is_tls else "http",
            "username": self.user,
            "password": self.password,
            "database": self.database,
            "connect_timeout": CONNECT_SECONDS,
            "send_receive_timeout": max(1, int(timeout_seconds)),
            # Where the network is none, packing takes longer than sending.
            "compress": not is_loopback(self.host),
            "autogenerate_session_id": False,
            **certificates,
        }


def _wrong(url: StoreUrl, found: str) -> SettingsError:
    return SettingsError([f"STORE_URL: found {found} in {url}, expected {_EXPECTED}"])
