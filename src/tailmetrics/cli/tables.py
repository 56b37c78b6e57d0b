"""Tables for the terminal: figures a window, a customer or a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tailmetrics.cli.client import Answer
from tailmetrics.cli.documents import (
    Breakdown,
    Customer,
    Customers,
    Figures,
    LoggedRequest,
    PathRequests,
    Readiness,
    Rejects,
    Requests,
    Stats,
    StatusRequests,
    TimeRange,
)
from tailmetrics.cli.text import counted, escaped
from tailmetrics.sources import place_in

if TYPE_CHECKING:
    from tailmetrics.cli.detect import Detection

_WIDTH_OF_A_FILE = 200  # columns, when the output is no terminal and nothing need be cut
STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}
_WIDTH_FOR_CHARTS = 110  # columns; figures come first
_LONGEST_BAR = 20  # columns
_SORTED_COLUMNS = ("customer_id", "requests", "failures", "uptime", "average", "median", "p99")
_SHOWN_OF_A_LINE = 200  # characters
_SORT_MARKS = ("▲", "▼")  # from the smallest, from the largest
_GAP = 3  # cells between two columns
_LEAST_OF_FOLDED = 20  # cells; a time of a window has as many
# Columns beside the first, by what is wanted first where there is no room for all.
_IMPORTANCE = (
    *("requests", "failed", "uptime %", "p99 s", "median s", "average s", "passed"),
    *("state", "error", "lag s", "position", "format", "size", "lag bytes"),
    *("budget left %", "objective", "compliance %", "runs out", "target %", "burn 1h", "burn 6h"),
)
_FIGURES = ("requests", "failed", "uptime %", "average s", "median s", "p99 s")


def print_stats(answer: Answer[Stats]) -> None:
    """One row a window and one for the whole range, in the zone of the question."""
    stats = answer.document
    table = figures_table("window", *_FIGURES)
    charts = _charts(stats.windows, _console())
    for name in charts:
        table.add_column(name, no_wrap=True)
    for place, window in enumerate(stats.windows):
        bars = (column[place] for column in charts.values())
        table.add_row(_short_time(window.start, stats.every), *figures_of(window), *bars)
    table.add_section()
    table.add_row("total", *figures_of(stats), style="bold")
    print_table(stats.customer_id or "all customers", table, stats, answer.origin)


def print_customers(answer: Answer[Customers]) -> None:
    """One row a customer; says how to get the next page when there is one."""
    page = answer.document
    shown = f"{len(page.customers)} of {counted(page.total, 'customer')}"
    print_table(shown, customers_table(page.customers), page, answer.origin)
    print_cursor(page.next_cursor)


def print_paths(answer: Answer[Breakdown]) -> None:
    """One row a path."""
    counts = answer.document
    table = figures_table("path", *_part_columns(counts))
    for each in counts.paths:
        table.add_row(Text(escaped(each.path)), *_part(each, counts))
    shown = f"{len(counts.paths)} of {counted(counts.paths_total, 'path')}"
    print_table(f"{counts.customer_id or 'all customers'}, {shown}", table, counts, answer.origin)


def print_statuses(answer: Answer[Breakdown]) -> None:
    """One row a status; 0 is that of requests without an answer."""
    counts = answer.document
    table = figures_table("status", *_part_columns(counts))
    for each in counts.statuses:
        status = str(each.status_code) if each.status_code else "no answer"
        table.add_row(status, *_part(each, counts))
    print_table(counts.customer_id or "all customers", table, counts, answer.origin)


def _part_columns(counts: Breakdown) -> tuple[str, ...]:
    return ("requests", "failed", "p99 s") if counts.has_latencies else ("requests", "failed")


def _part(part: PathRequests | StatusRequests, counts: Breakdown) -> list[str]:
    figures = [f"{part.total_requests:,}", f"{part.failed_requests:,}"]
    return [*figures, number(part.p99_latency, 3)] if counts.has_latencies else figures


def print_requests(answer: Answer[Requests]) -> None:
    """One row a request, or where lines were asked for two: what is stored of it, and its line."""
    page = answer.document
    shown = f"{page.customer_id or 'all customers'}, {counted(len(page.requests), 'request')}"
    print_text(f"{escaped(shown)}, {page.sort} first, {page.range_text}")
    rows = [_request(each, with_customer=page.customer_id is None) for each in page.requests]
    if any(each.line is not None or each.line_missing is not None for each in page.requests):
        for row, each in zip(rows, page.requests, strict=True):
            line = f"({each.line_missing})" if each.line is None else _shortened(each.line)
            _console().print(Text("  ").join(row), soft_wrap=True)
            print_text(f"    {escaped(line)}")
    else:
        customer = ("customer",) if page.customer_id is None else ()
        table = text_table(("time", *customer, "path", "status", "seconds", "log:byte"))
        table.columns[0].no_wrap = True
        for row in rows:
            table.add_row(*row)
        print_rows(table)
    print_text(_footer(page, answer.origin))
    print_cursor(page.next_cursor)


def _place_of(request: LoggedRequest) -> str:
    source = request.source or request.source_id
    if source.startswith("kafka://"):
        return f"{source}, {place_in(source, request.offset)}"
    return f"{source}:{request.offset}"


def _request(request: LoggedRequest, *, with_customer: bool) -> list[Text]:
    status = str(request.status_code) if request.status_code else "no answer"
    place = _place_of(request)
    return [
        Text(request.time),
        *([Text(escaped(request.customer_id))] if with_customer else []),
        Text(escaped(request.path)),
        Text(status, STYLES["wrong"] if request.failed else ""),
        Text(number(request.duration, 3)),
        Text(escaped(place)),
    ]


def _shortened(line: str) -> str:
    return line[:_SHOWN_OF_A_LINE] + ("…" if len(line) > _SHOWN_OF_A_LINE else "")


def print_rejects(answer: Answer[Rejects]) -> None:
    """One row a rejected line, newest first, below the name of its log."""
    page = answer.document
    print_text(f"{len(page.rejects)} of {counted(page.total, 'rejected line')}")
    for path, rejects in groupby(page.rejects, key=lambda reject: reject.path):
        print_text(f"\n{escaped(path)}")
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        is_partition = path.startswith("kafka://")
        table.add_column("message" if is_partition else "byte", justify="right", no_wrap=True)
        table.add_column("why", overflow="fold")
        table.add_column("line", overflow="fold")
        for reject in rejects:
            line = Text(escaped(_shortened(reject.line)))
            place = place_in(path, reject.offset).removeprefix("byte ")
            table.add_row(place, Text(escaped(reject.reason)), line)
        _console().print(table)
    print_text(f"from {answer.origin}")
    print_cursor(page.next_cursor)


def print_cursor(cursor: str | None) -> None:
    """Say how to get the next page, when there is one."""
    if cursor is not None:
        print_text(f"More of them: the same command with --cursor {cursor}")


def customers_table(customers: Iterable[Customer], sort: str = "", *, descending: bool = False) -> Table:
    """One row a customer; the column that it is sorted by is marked."""
    table = figures_table("customer", *_FIGURES)
    for customer in customers:
        table.add_row(Text(escaped(customer.customer_id)), *figures_of(customer))
    if sort in _SORTED_COLUMNS:
        column = table.columns[_SORTED_COLUMNS.index(sort)]
        column.header = f"{column.header} {_SORT_MARKS[descending]}"
        column.header_style = "bold reverse"
    return table


def totals_line(figures: Figures) -> str:
    """The figures of all requests together, in one line."""
    requests, failed, uptime, average, median, p99 = figures_of(figures)
    return (
        f"{requests} requests, {failed} failed, uptime {uptime} %, "
        f"mean {average} s, median {median} s, p99 {p99} s"
    )


def print_status(answer: Answer[Readiness]) -> None:
    """How far each source is read, as /ready says it."""
    readiness = answer.document
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("log", overflow="fold")
    for column in ("state", "format"):
        table.add_column(column, no_wrap=True)
    for column in ("position", "size", "lag bytes", "lag s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("device:inode:epoch", no_wrap=True)
    table.add_column("error", overflow="fold")
    for source in readiness.sources:
        table.add_row(
            Text(escaped(source.path)),
            source.state,
            source.format or "-",
            *(f"{figure:,}" for figure in (source.position, source.size)),
            f"{source.lag_bytes:,}"
            if source.lag_messages is None
            else counted(source.lag_messages, "message"),
            f"{source.lag_seconds:.1f}",
            f"{source.device}:{source.inode}:{source.epoch}" if source.source_id else "-",
            Text(escaped(source.last_error or "")),
        )
    left_out = print_fitting(table)
    for source in readiness.sources if "error" in left_out else ():
        if source.last_error:
            print_text(f"{escaped(source.path)}: {escaped(source.last_error)}")
    for source in readiness.sources:
        if source.lost_messages:
            lost = counted(source.lost_messages, "message")
            print_text(
                f"{escaped(source.path)}: {lost} deleted by the topic's retention before they were read"
            )
    if readiness.lost_bytes:
        print_text(f"{counted(readiness.lost_bytes, 'byte')} destroyed by truncations before they were read")
    if readiness.series is not None:
        print_text(f"{readiness.series:,} series: one for each customer (LOG_CUSTOMER), status and lane")
    for warning in readiness.warnings:
        read_as = f"read as {escaped(warning.format)}: " if warning.format else ""
        print_text(f"warning: {read_as}{escaped(warning.text)}")
    if readiness.restricted:
        print_text("warning: logs are shown to those with a key: set API_READ_KEY as the service has it")
    errors = (readiness.store_error, readiness.commit_error, readiness.last_error, *readiness.reasons)
    for error in filter(None, dict.fromkeys(errors)):
        print_text(f"error: {escaped(error)}")
    state = readiness.state or "no dataflow in this process"
    print_text(f"{'ready' if readiness.ready else 'not ready'}; {state}; from {answer.origin}")


def print_detection(log: Detection) -> None:
    """The format of a log and its first lines as they are read, or what is known of it without one."""
    if log.format is None:
        print_text(f"{escaped(log.file)}: undecided: {escaped(log.problem or '')}")
        nearest = text_table(("nearest format", "fails at", "found"))
        for near in log.nearest:
            nearest.add_row(near.name, near.field, Text(escaped(near.found)))
        print_rows(nearest)
        which = "all of these settings tell" if log.needs_all_settings else "one of these settings tells"
        _print_list(f"{which} it", log.settings)
        return
    print_text(
        f"{escaped(log.file)}: {escaped(log.format)}, {escaped(log.title)}; by {escaped(log.decided_by)}"
    )
    customer = ", else ".join(log.customer) or "as the format says"
    print_text(f"customer: {escaped(customer)}; durations: {log.unit}; times without a zone: {log.timezone}")
    counts = f"{counted(log.records, 'record')}, {counted(log.rejects, 'reject')}"
    print_text(f"{counted(log.lines, 'first line')}: {counts}")
    records = text_table(("line", "time UTC", "customer", "path", "status", "seconds"))
    for read in log.first_records:
        seconds = "-" if read.seconds is None else f"{read.seconds:g}"
        texts = (Text(escaped(text)) for text in (read.customer, read.path))
        time = read.time.replace("T", " ").removesuffix("Z")
        records.add_row(str(read.line), time, *texts, str(read.status), seconds)
    print_rows(records)
    rejects = text_table(("line", "would be rejected, as"))
    for reject in log.first_rejects:
        rejects.add_row(str(reject.line), Text(escaped(reject.reason)))
    print_rows(rejects)
    _print_list("settings to write", log.settings)


def print_finding(level: str, subject: str, text: str) -> None:
    """One line; the level is ok, note or wrong."""
    line = Text.assemble((f"{level:5}", STYLES[level]), " ", escaped(subject), ": ", escaped(text))
    _console().print(line, soft_wrap=True)


def figures_table(first: str, *others: str) -> Table:
    """An empty table: names in the first column, figures in the others."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_table(title: str, table: Table, asked: TimeRange, origin: str) -> None:
    """Print a table, the range above it, the definition of failed and the origin below it."""
    print_text(f"{escaped(title)}, {asked.range_text}")
    print_fitting(table)
    print_text(_footer(asked, origin))


def _footer(asked: TimeRange, origin: str) -> str:
    only = f"only {escaped(asked.filter_text)}; " if asked.filter else ""
    return f"failed: {asked.failures}; {only}from {origin}"


def fitting(table: Table, console: Console) -> tuple[Table, tuple[str, ...]]:
    """The table with as many columns as there is room for, and the names of the others.

    The first column stays, and of the others the one that it is sorted by and those that stand first in
    `_IMPORTANCE`.
    """
    columns = table.columns
    kept = [0, *sorted(range(1, len(columns)), key=lambda place: _importance(_name(columns[place])))]
    while len(kept) > 1 and sum(_needed(columns[place]) + _GAP for place in kept) - _GAP > console.width:
        kept.pop()
    left_out = tuple(_name(columns[place]) for place in range(len(columns)) if place not in kept)
    if not left_out:
        return table, ()
    fitted = Table(
        *(columns[place] for place in sorted(kept)), box=table.box, show_edge=False, pad_edge=False
    )
    fitted.rows = table.rows
    return fitted, left_out


def narrow_text(left_out: Sequence[str]) -> str:
    """What is said of columns for which there was no room."""
    return f"left out, as the terminal is narrow: {', '.join(left_out)}"


def _name(column: Column) -> str:
    return str(column.header)


def _importance(name: str) -> int:
    """Less is more."""
    if name.endswith(_SORT_MARKS):
        return -1
    return _IMPORTANCE.index(name) if name in _IMPORTANCE else len(_IMPORTANCE)


def _needed(column: Column) -> int:
    """Cells that a column takes; one that may be folded does with a few words."""
    widths = (cell.cell_len if isinstance(cell, Text) else cell_len(str(cell)) for cell in column.cells)
    widest = max((cell_len(_name(column)), *widths))
    return widest if column.no_wrap else min(widest, _LEAST_OF_FOLDED)


def print_fitting(table: Table) -> tuple[str, ...]:
    """Print what there is room for; returns the names of the columns that were left out."""
    console = _console()
    fitted, left_out = fitting(table, console)
    console.print(fitted)
    if left_out:
        print_text(narrow_text(left_out))
    return left_out


def text_table(headings: Sequence[str]) -> Table:
    """An empty table of texts, which are folded where there is no room."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def print_rows(table: Table) -> None:
    """Print a table that has any."""
    if table.row_count:
        _console().print(table)


def _print_list(title: str, texts: Sequence[str]) -> None:
    if texts:
        print_text("\n  ".join([f"{title}:", *map(escaped, texts)]))


def print_text(text: str) -> None:
    """A line, or several, as they are."""
    _console().print(text, markup=False, soft_wrap=True)


def figures_of(figures: Figures) -> list[str]:
    """Requests, failed, uptime, and average, median and 99th percentile of the latency, as text."""
    latencies = (figures.average_latency, figures.median_latency, figures.p99_latency)
    return [
        f"{figures.total_requests:,}",
        f"{figures.failed_requests:,}",
        number(figures.uptime, 2),
        *(number(seconds, 3) for seconds in latencies),
    ]


def _charts(windows: Sequence[Figures], console: Console) -> dict[str, list[Text]]:
    """Bars beside the figures of each window, by the title of their column; none where there is no room."""
    if len(windows) < 2 or console.width < _WIDTH_FOR_CHARTS:
        return {}
    succeeded, failed_mark = ("#", "x") if console.options.ascii_only else ("█", "▒")
    most = max(window.total_requests for window in windows) or 1
    slowest = max(window.p99_latency or 0 for window in windows) or 1
    requests, latencies = [], []
    for window in windows:
        length = _cells(window.total_requests, most)
        # What failed is never too little to be seen, and never all where something succeeded.
        failed = _cells(window.failed_requests, most)
        failed = min(failed, length - 1 if window.successful_requests and length > 1 else length)
        bar = (succeeded * (length - failed), STYLES["ok"]), (failed_mark * failed, STYLES["wrong"])
        requests.append(Text.assemble(*bar))
        latencies.append(Text(succeeded * _cells(window.p99_latency or 0, slowest), STYLES["note"]))
    return {f"requests, {failed_mark} failed": requests, "p99": latencies}


def _cells(value: float, most: float) -> int:
    """Length of a bar, at least one cell for anything at all."""
    return max(1, round(_LONGEST_BAR * value / most)) if value else 0


def number(value: float | None, digits: int) -> str:
    """A figure with so many digits behind the point; - where it is unknown."""
    return "-" if value is None else f"{value:.{digits}f}"


def _short_time(time_text: str, every: str) -> str:
    """The day alone where windows are days; else the time as the API gives it."""
    return time_text[:10] if every.endswith("d") else time_text


def is_ascii() -> bool:
    """Whether the output shows no other signs."""
    return _console().options.ascii_only


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_FILE)
