"""Who the customer is, as the keys of objects tell it: headers, hosts and addresses to a name alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from tailmetrics.formats.customers import clients, first_of_list, have_marks, without_port

_MARKED: Final = re.compile(rb'\[|"[^:,]*[:,]')
_MARKS: Final = (b":", b",", b"[")


@dataclass(frozen=True, slots=True)
class Naming:
    """How a key tells a customer: by a host, by a list of which the first counts, or in any other way."""

    is_host: bool = False
    is_list: bool = False


def names_in(text: pl.Series, naming: Naming) -> pl.Series:
    """The customers that texts tell: addresses and hosts without their ports, of several the first.

    Which texts are addresses is told by their shape, which are hosts or other lists, by their key.
    """
    if not have_marks(text):
        return text
    names = first_of_list(text) if naming.is_list else text
    return clients(without_port(names) if naming.is_host else names)


def written_names(written: list[msgspec.Raw], naming: Naming) -> list[msgspec.Raw]:
    """The values as they are written, but those of which a customer is a part: as `names_in` has it.

    Headers are arrays of texts. Of one that is a list itself the first text counts, of others the only one.
    """
    together = b"".join(written)
    if not any(mark in together for mark in _MARKS):
        return written
    places = [place for place, value in enumerate(written) if _MARKED.match(value)]
    found = [(place, text) for place in places if (text := _text(written[place], naming)) is not None]
    if not found:
        return written
    names = names_in(pl.Series([text for _, text in found]), naming)
    for (place, _), name in zip(found, names, strict=True):
        written[place] = msgspec.Raw(msgspec.json.encode(name))
    return written


def _text(written: msgspec.Raw, naming: Naming) -> str | None:
    """None of what is no text, nor in an array alone."""
    try:
        texts: str | Sequence[str] = msgspec.json.decode(written, type=str | list[str])
    except msgspec.MsgspecError:
        return None
    if isinstance(texts, str):
        return texts
    return texts[0] if len(texts) == 1 or (texts and naming.is_list) else None
