"""The condensed summary: one row a customer (or test), of the store or of files alone."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tailmetrics.api.csv import cell
from tailmetrics.api.schemas import Figures
from tailmetrics.cli.client import Answer, ask
from tailmetrics.cli.load import check_files, load_files
from tailmetrics.cli.tables import figures_of
from tailmetrics.cli.text import escaped
from tailmetrics.errors import LoadError
from tailmetrics.settings import Settings
from tailmetrics.status import LoadProgress

_PAGE = "1000"  # the most that one question may ask for
_HEADINGS = ("customer", "requests", "passed", "failed", "uptime %", "average s", "median s", "p99 s")
_COLUMNS = ("customer_id", *Figures.__annotations__)
# What Markdown takes for more than a letter; an underscore only where a word begins or ends.
_MARKUP = re.compile(r"[\\`*\[\]<>|&~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def of_store(settings: Settings, parameters: Mapping[str, str], *, store_first: bool) -> Answer:
    """Every customer and the total, of the running service or the store; parameters as of GET /customers.

    Raises what `client.ask` raises.
    """
    customers: list[Any] = []
    page: dict[str, str] = {}
    while True:
        answer = ask(settings, "/customers", {**parameters, "limit": _PAGE, **page}, store_first=store_first)
        customers += answer.document["customers"]
        if answer.document["next_cursor"] is None:
            break
        page = {"cursor": answer.document["next_cursor"]}
    of_all = {name: value for name, value in parameters.items() if name != "sort"}
    total = ask(settings, "/stats", {**of_all, "every": "none"}, store_first=store_first).document
    document = {name: answer.document[name] for name in ("from", "to", "tz", "failures")}
    document["customers"] = customers
    document["total"] = {name: total[name] for name in Figures.__annotations__}
    return Answer(document, answer.origin)


def of_files(
    settings: Settings,
    files: Sequence[Path],
    parameters: Mapping[str, str],
    on_progress: Callable[[LoadProgress], None],
) -> tuple[Answer, LoadProgress]:
    """The same of files alone, and how their lines were read. Raises LoadError."""
    check_files(files, "reported")
    with tempfile.TemporaryDirectory(prefix="tailmetrics-report-") as folder:
        own = settings.model_copy(
            update={"store_url": f"duckdb:///{folder}/report.duckdb", "retention_days": 0}
        )
        loaded = load_files(own, files, on_progress)
        if loaded.state == "failed":
            raise LoadError(loaded.error or "the files could not be read")
        answer = of_store(own, parameters, store_first=True)
    return Answer(answer.document, ", ".join(str(file) for file in files)), loaded


def table(document: Mapping[str, Any]) -> Table:
    """For the terminal: a row a customer and one for all together."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column(_HEADINGS[0], overflow="fold")
    for heading in _HEADINGS[1:]:
        shown.add_column(heading, justify="right", no_wrap=True)
    for customer in document["customers"]:
        shown.add_row(Text(escaped(customer["customer_id"])), *_cells(customer))
    shown.add_section()
    shown.add_row("total", *_cells(document["total"]), style="bold")
    return shown


def markdown(document: Mapping[str, Any]) -> str:
    """A table in GitHub's Markdown."""
    rows = [[_plain(customer["customer_id"]), *_cells(customer)] for customer in document["customers"]]
    rows.append([f"**{cell}**" for cell in ("total", *_cells(document["total"]))])
    lines = [_HEADINGS, ["---", *["---:"] * (len(_HEADINGS) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(document: Mapping[str, Any]) -> str:
    """One row a customer, with the names and the precision of the API."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([cell(customer[column]) for column in _COLUMNS] for customer in document["customers"])
    return text.getvalue()


def _cells(figures: Mapping[str, Any]) -> list[str]:
    requests, *others = figures_of(figures)
    return [requests, f"{figures['successful_requests']:,}", *others]


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", escaped(text))
