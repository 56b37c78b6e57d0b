"""Whose line one may be, with what the settings describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from tailmetrics.formats.json.kinds import described_by, of_customer
from tailmetrics.formats.kinds import Kind, never_claims
from tailmetrics.formats.logfmt import reading as logfmt
from tailmetrics.formats.templates.access_logs import numbered_format
from tailmetrics.settings import FormatOptions

Claims = Callable[[str], bool]


def claims_of(kinds: Mapping[str, Kind], options: FormatOptions) -> dict[str, Claims]:
    """Of each kind that claims lines, whether one is its; first those that the settings describe.

    Raises FormatError when the options cannot be used.
    """
    own = _described(kinds, options)
    others = {
        name: kind.claims
        for name, kind in kinds.items()
        if name not in own and kind.claims is not never_claims
    }

    def unless_described(claim: Claims) -> Claims:
        return lambda line: claim(line) and not any(described(line) for described in own.values())

    return own | {name: unless_described(claim) if own else claim for name, claim in others.items()}


def _described(kinds: Mapping[str, Kind], options: FormatOptions) -> dict[str, Claims]:
    """Formats whose lines the settings describe, by what they say."""
    described: dict[str, Claims] = {}
    for name, pattern in (("regex", options.regex), ("nginx", options.nginx_regex)):
        if pattern:
            described[name] = _matches(rf"\A(?:{pattern})\z")
    if options.duration_unit:
        for name in ("combined", "vhost_combined"):
            described[name] = _numbered(kinds[name], name)
        described["logfmt"] = logfmt.is_pairs
    if options.json_fields:
        described["json"] = described_by(options.json_fields)
        described["logfmt"] = logfmt.described_by(options)
    elif options.customer:
        described["json"] = of_customer(options.customer)
    return described


def _numbered(kind: Kind, name: str) -> Claims:
    return lambda line: kind.claims(line) or numbered_format(line) == name


def _matches(pattern: str) -> Claims:
    # In the syntax of Polars, which is not quite Python's.
    return lambda line: bool(pl.Series([line]).str.contains(pattern).item())
