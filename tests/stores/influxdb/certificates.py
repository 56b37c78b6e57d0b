"""Certificates of a private CA, made by the openssl command for as long as a test takes."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """A server's, for 127.0.0.1 alone; that of the CA which has signed it, and that of another one."""

    server: ssl.SSLContext
    ca: Path
    other_ca: Path


def made_in(folder: Path) -> Certificates:
    for name in ("ca", "other"):
        _openssl(folder, "-x509", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    _openssl(
        folder, "-x509", "-subj", "/CN=influxdb", "-addext", "subjectAltName=IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-keyout", "server.key", "-out", "server.pem",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Certificates(context, folder / "ca.pem", folder / "other.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "2", *arguments], cwd=folder, check=True, capture_output=True)
