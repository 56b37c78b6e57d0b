"""What a log's settings make of its fields: the customer, the path, the unit, and what is not counted."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats import customers, timestamps
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.paths import AGENT, PathRules, customer_regex
from tailmetrics.formats.timestamps import TimestampReader
from tailmetrics.settings import FormatOptions

_ADDRESS: Final = "address"  # the field that tells where a request came from


class Rules:
    """How the fields of one kind of log become those of a record.

    `customer` is the log's own, for which the options may give another; `unit` that of its durations, None
    where only the options tell. Raises FormatError when the options cannot be used.
    """

    def __init__(
        self,
        options: FormatOptions,
        *,
        customer: tuple[str, ...] = ("customer_id",),
        unit: str | None = None,
        reader: TimestampReader | None = None,
    ) -> None:
        self.customer = options.customer or customer
        self.unit = unit or options.duration_unit or "s"
        self.timestamps = reader or timestamps.reader(options.zone, options.timestamp_format)
        self.paths = PathRules(
            keep_query=options.keep_query, patterns=options.path_patterns, exclude=options.exclude
        )
        for name in self.customer:
            if name.startswith("/"):
                customer_regex(name)

    def applied(self, records: pl.DataFrame, *, may_have_queries: bool) -> pl.DataFrame:
        """Records with the customer and path as logged, made what they are to be; some may be left out."""
        if self.customer != ("customer_id",):
            records = records.with_columns(customers.chosen(records, self.customer))
        if self.paths.are_as_logged and not may_have_queries:
            return records
        return self.of_paths(records)

    def of_paths(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with the path as it is to be, but those that are not counted by it or by `agent`."""
        excluded = self.paths.excluded(records)
        if excluded is not None:
            records = records.filter(~excluded)
        return records.with_columns(self.paths.kept(records["path"]))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are needed besides time, path, status and duration."""
        agent = (AGENT,) if self.paths.needs_agent else ()
        return (*(name for name in self.customer if not name.startswith("/")), *agent)

    def prepared(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The columns of fields.RAW_SCHEMA from what an Extract gave."""
        if _ADDRESS in raw.columns:
            raw = raw.with_columns(customers.clients(raw[_ADDRESS]))
        hosts = [name for name in self.customer if customers.is_host(name) and name in raw.columns]
        raw = raw.with_columns(customers.without_port(raw[name]) for name in hosts)
        customer, problem = customers.chosen(raw, self.customer), pl.col(PROBLEM)
        if _ADDRESS in raw.columns:
            behind_file = customers.problem_of_address(customer, raw[_ADDRESS])
            problem = pl.coalesce(problem, behind_file).alias(PROBLEM)
        return raw.select(
            "timestamp",
            customer,
            self.paths.kept(raw["path"]),
            "status_code",
            "duration",
            problem,
        )
