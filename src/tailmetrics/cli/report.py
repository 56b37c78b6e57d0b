"""The report: one row a customer (or test) and their total, of the store or of files alone."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

from rich.table import Table
from rich.text import Text

from tailmetrics.api.csv import cell
from tailmetrics.cli.client import Client
from tailmetrics.cli.documents import Customer, Customers, Figures, Report, Stats
from tailmetrics.cli.load import STDIN, check_files
from tailmetrics.cli.options import named_format
from tailmetrics.cli.tables import figures_of, figures_table
from tailmetrics.cli.text import escaped
from tailmetrics.errors import LoadError
from tailmetrics.ingest.load import load_files
from tailmetrics.ingest.standard_input import spooled
from tailmetrics.settings import Settings
from tailmetrics.status import LoadProgress

_PAGE = "1000"  # the most that one question may ask for
_HEADINGS = ("customer", "requests", "passed", "failed", "uptime %", "average s", "median s", "p99 s")
_FIGURES = tuple(field.name for field in fields(Figures))
_COLUMNS = ("customer_id", *_FIGURES)
# What Markdown takes for more than a letter; an underscore only where a word begins or ends.
_MARKUP = re.compile(r"[\\`*\[\]<>|&~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def of_store(client: Client, asked: Mapping[str, str]) -> tuple[Report, str]:
    """The report and its origin; parameters as of GET /customers. Raises what `Client.ask` raises."""
    customers: list[Customer] = []
    cursor: str | None = ""
    while cursor is not None:
        page = {"cursor": cursor} if cursor else {}
        answer = client.ask(Customers, {**asked, "limit": _PAGE, **page})
        customers += answer.document.customers
        cursor = answer.document.next_cursor
    of_all = {name: value for name, value in asked.items() if name != "sort"}
    total = client.ask(Stats, {**of_all, "every": "none"}).document
    last = answer.document
    return Report(last.start, last.end, last.tz, last.failures, tuple(customers), total), answer.origin


def of_files(
    settings: Settings,
    files: Sequence[Path],
    asked: Mapping[str, str],
    on_progress: Callable[[LoadProgress], None],
) -> tuple[Report, LoadProgress]:
    """The report of files alone, and how many of their lines were read. Raises LoadError."""
    check_files(files, "reported")
    with tempfile.TemporaryDirectory(prefix="tailmetrics-report-") as folder:
        own = settings.model_copy(
            update={"store_url": f"duckdb:///{folder}/report.duckdb", "retention_days": 0}
        )
        with spooled(Path(folder)) if STDIN in files else nullcontext() as spool:
            loaded = load_files(own, files, on_progress, spool, named_format(settings))
        if loaded.state == "failed":
            raise LoadError(loaded.error or "the files could not be read")
        report, _ = of_store(Client(own, store_first=True), asked)
    return report, loaded


def table(report: Report) -> Table:
    """For the terminal: a row a customer and one for all together."""
    shown = figures_table(*_HEADINGS)
    for customer in report.customers:
        shown.add_row(Text(escaped(customer.customer_id)), *_cells(customer))
    shown.add_section()
    shown.add_row("total", *_cells(report.total), style="bold")
    return shown


def as_markdown(report: Report) -> str:
    """A table in GitHub's Markdown."""
    rows = [[_plain(customer.customer_id), *_cells(customer)] for customer in report.customers]
    rows.append([f"**{cell}**" for cell in ("total", *_cells(report.total))])
    lines = [_HEADINGS, ["---", *["---:"] * (len(_HEADINGS) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(report: Report) -> str:
    """One row a customer, with the names and the precision of the API."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([cell(value) for value in _row(customer)] for customer in report.customers)
    return text.getvalue()


def as_json(report: Report) -> str:
    """A document as the API would give it."""
    document = {
        "from": report.start,
        "to": report.end,
        "tz": report.tz,
        "failures": report.failures,
        "customers": [dict(zip(_COLUMNS, _row(customer), strict=True)) for customer in report.customers],
        "total": {name: getattr(report.total, name) for name in _FIGURES},
    }
    return f"{json.dumps(document, indent=2)}\n"


def _row(customer: Customer) -> list[object]:
    return [getattr(customer, column) for column in _COLUMNS]


def _cells(figures: Figures) -> list[str]:
    requests, *others = figures_of(figures)
    return [requests, f"{figures.successful_requests:,}", *others]


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", escaped(text))


TEXTS = {"markdown": as_markdown, "csv": as_csv, "json": as_json}
