"""Certificates of a private CA, made by the openssl command for as long as a test takes."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """A server's for 127.0.0.1 alone, a client's, that of the CA of both, and another CA's.

    Each is a `.pem` in the folder, with its key in the `.key` beside it.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context

    def write_keystore(self, file: Path) -> None:
        """The server's key and its certificate as Java takes them."""
        file.write_text("".join((self.folder / f"server.{part}").read_text() for part in ("key", "pem")))


def made_in(folder: Path) -> Certificates:
    for name in ("ca", "other"):
        _openssl(folder, name)
    signed = ("-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key")
    _openssl(folder, "server", "-addext", "subjectAltName=IP:127.0.0.1", *signed)
    _openssl(folder, "client", *signed)
    return Certificates(folder)


def _openssl(folder: Path, name: str, *arguments: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.pem",
    ]
    subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True)
