"""Paths as they are kept: without query, bounded in number, and none that is not to be counted."""

from __future__ import annotations

import fnmatch
import re
from typing import Final

import polars as pl

from tailmetrics.errors import FormatError

AUTO: Final = "auto"
BOTS: Final = "bots"
AGENT: Final = "agent"
_AGENT_PREFIX = f"{AGENT}:"
# How well-behaved robots call themselves, and the usual clients of scripts that watch.
_BOT = (
    r"(?i)bot\b|crawl|spider|slurp|archiver|facebookexternalhit|monitor|uptime|pingdom|healthcheck|kube-probe"
)
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# A part of a path that is a number, a UUID, or 16 and more hexadecimal digits.
_ID_PART = rf"/(?:[0-9]+|{_UUID}|[0-9a-fA-F]{{16,}})(/|\z)"
# Programs leave the version out, where a path plainly is what is behind the method.
_REQUEST_LINE = r"\A[A-Z][A-Z_-]* +(?:([^ ].*?) +HTTP/[0-9.]+ *|(/[^ ]*))\z"
_URL = r"(?s)\A[A-Za-z][A-Za-z0-9+.-]*://[^/?]*/?(.*)\z"
_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")
_CUSTOMER = "{customer}"
# Of LOG_EXCLUDE what was surely meant otherwise: a word alone, another prefix than agent:, none behind it.
_NO_GLOB = re.compile(r"[\w-]*[A-Za-z][\w-]*(?::(?![0-9/]).*)?", re.DOTALL)


class PathRules:
    """What becomes of the paths of a log; patterns and globs are as in LOG_PATH_PATTERNS and LOG_EXCLUDE.

    Raises FormatError for those that are none.
    """

    def __init__(self, *, keep_query: bool, patterns: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self.keep_query = keep_query
        self._templates = [(_regex(pattern), pattern) for pattern in patterns if pattern != AUTO]
        self._is_auto = AUTO in patterns
        agents = [entry.removeprefix(_AGENT_PREFIX) for entry in exclude if entry.startswith(_AGENT_PREFIX)]
        globs = [entry for entry in exclude if entry != BOTS and not entry.startswith(_AGENT_PREFIX)]
        wrong = [_AGENT_PREFIX] if "" in agents else [glob for glob in globs if _NO_GLOB.fullmatch(glob)]
        if wrong:
            expected = f"a glob of paths such as /health* or *health*, {_AGENT_PREFIX}GLOB, or {BOTS}"
            raise FormatError(f"LOG_EXCLUDE: found {wrong[0]!r}, expected {expected}")
        self._excluded = _any_of(globs)
        bots = [_BOT] if BOTS in exclude else []
        self._agents = "|".join([*bots, *([f"(?:{_any_of(agents)})"] if agents else [])])

    @property
    def are_as_logged(self) -> bool:
        """Whether paths stay what they are and all requests count, but for queries."""
        return not (self._templates or self._is_auto or self._excluded or self._agents)

    @property
    def needs_agent(self) -> bool:
        """Whether the user agent decides what is counted."""
        return bool(self._agents)

    def kept(self, path: pl.Series) -> pl.Series:
        """The paths as records have them."""
        if not self.keep_query:
            path = pl.select(without_query(pl.lit(path))).to_series()
        if not self._templates and not self._is_auto:
            return path
        different = path.unique()
        return path.replace_strict(different, self._templated(different), return_dtype=pl.String())

    def excluded(self, raw: pl.DataFrame) -> pl.Series | None:
        """Which requests are not to be counted, by `path` and `agent`; None when all are."""
        conditions = []
        if self._excluded:
            conditions.append(without_query(pl.col("path")).str.contains(self._excluded))
        if self._agents and AGENT in raw.columns:
            conditions.append(pl.col(AGENT).str.contains(self._agents))
        if not conditions:
            return None
        return raw.select(pl.any_horizontal(conditions).fill_null(value=False)).to_series()

    def _templated(self, path: pl.Series) -> pl.Series:
        text = pl.lit(path)
        result = text
        if self._is_auto:
            for _ in range(2):  # parts that follow each other share a slash
                result = result.str.replace_all(_ID_PART, "/{id}$1")
        for regex, pattern in reversed(self._templates):
            result = pl.when(without_query(text).str.contains(regex)).then(pl.lit(pattern)).otherwise(result)
        return pl.select(result).to_series()


def asked_for(logged: pl.Series) -> pl.Series:
    """The path of a request line, or of a URL; `-` where nothing was asked for. What is neither stays."""
    is_path = logged.str.starts_with("/")
    if is_path.all():  # or null
        return logged
    places = (~is_path).fill_null(value=False).arg_true()
    others = (
        logged.gather(places).str.replace(_REQUEST_LINE, "$1$2").str.replace(_URL, "/$1").replace("", "-")
    )
    return logged.clone().scatter(places, others)


def without_query(path: pl.Expr) -> pl.Expr:
    """A path up to its first question mark; `/` where nothing is before it."""
    cut = path.str.replace(r"(?s)\?.*\z", "")
    return pl.when(cut == "").then(pl.when(path == "").then(path).otherwise(pl.lit("/"))).otherwise(cut)


def customer_regex(pattern: str) -> str:
    """The regular expression whose group 1 is the part of a path that is the customer.

    Raises FormatError when the pattern, as in LOG_CUSTOMER, has not exactly one `{customer}`.
    """
    if pattern.count(_CUSTOMER) != 1:
        raise FormatError(f"LOG_CUSTOMER: found {pattern!r}, expected one {_CUSTOMER} in a path")
    before, _, behind = pattern.partition(_CUSTOMER)
    return rf"\A{_escaped(before)}([^/?]+){_escaped(behind)}"


def _regex(pattern: str) -> str:
    literals, parts = _PLACEHOLDER.subn("", pattern)
    if not (pattern.startswith("/") and parts) or "{" in literals or "}" in literals:
        raise FormatError(
            f"LOG_PATH_PATTERNS: found {pattern!r}, expected {AUTO}, or a path with parts in braces such "
            "as /orders/{id}"
        )
    return rf"\A{_escaped(pattern)}\z"


def _escaped(pattern: str) -> str:
    literals = [re.escape(literal) for literal in _PLACEHOLDER.split(pattern)]
    return "[^/?]+".join(literals)


def _any_of(globs: list[str]) -> str:
    """One regular expression for globs; empty when there are none."""
    # Python writes \Z for the end of the text, Rust \z.
    return "|".join(rf"\A{fnmatch.translate(glob).removesuffix('Z')}z" for glob in globs)
