"""Secrets of receivers: read from the environment or from files each time, as those may be replaced."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.urls import masked

_MOST_BYTES = 64 * 1024  # of a file that holds a secret
_SHORTEST = 6  # a part of a secret that is masked; shorter ones are in ordinary words, too


def read(receiver: Receiver, what: Literal["url", "header", "password"]) -> str | None:
    """The secret as it is now, None when the receiver has none.

    Raises NotificationError, which names the variable or the file, when that is not there or empty.
    """
    variable: str | None = getattr(receiver, f"{what}_env")
    file: str | None = getattr(receiver, f"{what}_file")
    if variable is None and file is None:
        return None
    if variable is not None:
        where, text = f"the variable {variable} of {what}_env", os.environ.get(variable, "")
    else:
        where = f"the file {file} of {what}_file"
        try:
            with Path(file or "").open("rb") as opened:
                text = opened.read(_MOST_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "found bytes that are not UTF-8"
            raise NotificationError(f"{where} cannot be read: {reason}") from None
    if not text.strip():
        raise NotificationError(f"{where} is not set, or empty; expected the {what} of {receiver.name}")
    return text.strip()


def hidden(text: str, secrets: Iterable[str | None]) -> str:
    """A text on one line without any of the secrets, nor a part of one, nor of another URL's password."""
    for secret in secrets:
        for part in sorted(_parts(secret or ""), key=len, reverse=True):
            text = text.replace(part, "***")
    return " ".join(masked(text).split())


def _parts(secret: str) -> set[str]:
    """A secret, its words, and what is behind the host of a URL, as a whole and in pieces."""
    parts = {secret, *secret.split()}
    with contextlib.suppress(ValueError):  # an address that is none is hidden as a whole
        if "://" in secret:
            url = urlsplit(secret)
            behind = f"{url.path}?{url.query}" if url.query else url.path
            parts = {secret, behind, *url.path.split("/"), *url.query.split("&"), *_sign_in(url)}
    return {part for part in parts if len(part) >= _SHORTEST}


def _sign_in(url: SplitResult) -> Iterator[str]:
    """The password of a URL, and what a header says in its place."""
    if url.password:
        user, password = unquote(url.username or ""), unquote(url.password)
        yield from (url.password, password, base64.b64encode(f"{user}:{password}".encode()).decode())
