"""The commands that ask the service or the store: stats, breakdown, rejects and their like; and check."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tailmetrics import process
from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import counted
from tailmetrics.urls import masked

if TYPE_CHECKING:
    from tailmetrics.cli.client import Answer, Asked, Client
    from tailmetrics.cli.documents import Report
    from tailmetrics.settings import Settings
    from tailmetrics.status import LoadProgress

_SORTS = ("customer_id", "requests", "failures", "uptime", "average", "median", "p99")
_SORT_HELP = (
    "customer_id, requests, failures, uptime, average, median or p99; with - before it, from the largest."
)


def _sort_option(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--sort",
        default=default,
        show_default=True,
        type=click.Choice([sign + name for name in _SORTS for sign in ("", "-")]),
        metavar="COLUMN",
        help=_SORT_HELP,
    )


def _flag(given: bool) -> str | None:
    return "true" if given else None


def _client(settings: Settings) -> Client:
    from tailmetrics.cli.client import Client

    return Client(settings, store_first=options.option_value("store_url") is not None)


def show_answer(
    settings: Settings,
    kind: type[Asked],
    asked: dict[str, Any],
    print_table: Callable[[Answer[Asked]], None],
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Ask for a document and print it as a table, as JSON or as CSV."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: found both, expected one of them.")
    client = _client(settings)
    if as_csv:
        text, cursor = client.ask_csv(kind.path, options.given(asked))
        click.echo(text, nl=False)
        if cursor is not None:
            options.say(f"there are more: the same command with --cursor {cursor}")
        return
    answer = client.ask(kind, options.given(asked))
    if as_json:
        options.print_json(answer.json)
    else:
        print_table(answer)


@options.command(
    "Statistics of a customer, or of all together.",
    "tailmetrics stats cust_1",
    "tailmetrics stats cust_1 --from 2024-10-10 --to 2024-10-20 --every 1h --tz Europe/Berlin",
    "tailmetrics stats cust_1 --from=-24h --every none --json",
    "tailmetrics stats cust_1 --path '/api/*' --path '!/api/health' --status 5xx",
    "tailmetrics stats",
)
@click.argument("customer", required=False)
@options.shared(*options.RANGE, *options.FILTER)
@click.option("--every", help="Length of the windows: a number with s, m, h or d, or none.  [default: 1d]")
@click.option(
    "--uptime-method",
    type=click.Choice(["requests", "good_windows"]),
    help="Percent of the requests, or of the windows that reach --objective.  [default: requests]",
)
@click.option("--objective", help="Uptime that makes a window good, in percent.  [default: 99]")
@click.option("--fill", is_flag=True, help="Also show windows without requests.")
@options.shared("env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def stats(
    settings: Settings, *, customer: str | None, fill: bool, as_json: bool, as_csv: bool, **asked: Any
) -> None:
    """Requests, uptime and latencies of CUSTOMER per window; without CUSTOMER, of all together."""
    from tailmetrics.cli import documents, tables

    asked |= {"customer_id": customer, "fill": _flag(fill)}
    show_answer(settings, documents.Stats, asked, tables.print_stats, as_json=as_json, as_csv=as_csv)


@options.command(
    "All customers with their totals.",
    "tailmetrics customers",
    "tailmetrics customers --sort=-failures --limit 10 --from=-7d",
    "tailmetrics customers --sort=uptime --min-requests 10",
    "tailmetrics customers --search shop --json",
    "tailmetrics customers --csv > customers.csv",
)
@options.shared(*options.RANGE, *options.FILTER, "search", "min_requests")
@click.option("--sort", help=_SORT_HELP)
@options.shared(*options.PAGE, "env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def customers(settings: Settings, *, as_json: bool, as_csv: bool, **asked: Any) -> None:
    """All customers with their totals over a range, a page at a time."""
    from tailmetrics.cli import documents, tables

    show_answer(settings, documents.Customers, asked, tables.print_customers, as_json=as_json, as_csv=as_csv)


@options.command(
    "Requests by path or by status.",
    "tailmetrics breakdown cust_1",
    "tailmetrics breakdown --by status --from=-24h --latencies",
    "tailmetrics breakdown cust_1 --top 50 --csv > paths.csv",
)
@click.argument("customer", required=False)
@click.option(
    "--by",
    type=click.Choice(["path", "status"]),
    default="path",
    show_default=True,
    help="One row a path, or one a status.",
)
@options.shared(*options.RANGE, *options.FILTER)
@click.option("--latencies", is_flag=True, help="Also the 99th percentile of each, in seconds.")
@click.option("--top", help="Paths that are told apart, those with the most requests.  [default: 10]")
@options.shared("env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def breakdown(
    settings: Settings,
    *,
    customer: str | None,
    by: str,
    latencies: bool,
    as_json: bool,
    as_csv: bool,
    **asked: Any,
) -> None:
    """Requests of CUSTOMER by path or by status, and how many failed; without CUSTOMER, of all together.

    JSON has both.
    """
    from tailmetrics.cli import documents, tables

    asked |= {"customer_id": customer, "by": by if as_csv else None, "latencies": _flag(latencies)}
    print_table = tables.print_paths if by == "path" else tables.print_statuses
    show_answer(settings, documents.Breakdown, asked, print_table, as_json=as_json, as_csv=as_csv)


@options.command(
    "Requests themselves, and the line of each.",
    "tailmetrics requests cust_1 --failed --lines",
    "tailmetrics requests cust_1 --slowest --limit 20 --from=-24h",
    "tailmetrics requests --status 5xx --path '/api/*' --csv > failed.csv",
    exits=(Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION),
)
@click.argument("customer", required=False)
@options.shared(*options.RANGE, *options.FILTER)
@click.option("--failed", is_flag=True, help="Only requests that failed.")
@click.option("--min-duration", help="Only requests that took so many seconds.")
@click.option("--max-duration", help="Only requests that took less, in seconds.")
@click.option("--slowest", is_flag=True, help="The slowest first, instead of the newest.")
@click.option("--lines", is_flag=True, help="Also the line of each, as long as its file is there.")
@options.shared(*options.PAGE, "env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def requests(
    settings: Settings,
    *,
    customer: str | None,
    failed: bool,
    slowest: bool,
    lines: bool,
    as_json: bool,
    as_csv: bool,
    **asked: Any,
) -> None:
    """Requests of CUSTOMER, the newest first; without CUSTOMER, of all.

    Each with the log and the byte at which its line begins. The line itself is shown where it still reads as
    that request, else why it is missing.
    """
    from tailmetrics.cli import documents, tables

    asked |= {"customer_id": customer, "failed": _flag(failed), "lines": _flag(lines)}
    asked["sort"] = "slowest" if slowest else None
    show_answer(settings, documents.Requests, asked, tables.print_requests, as_json=as_json, as_csv=as_csv)


@options.command(
    "Lines that could not be read.",
    "tailmetrics rejects",
    "tailmetrics rejects --limit 1000 --csv > rejects.csv",
    "tailmetrics rejects --json",
)
@options.shared(*options.PAGE, "env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def rejects(settings: Settings, *, as_json: bool, as_csv: bool, **asked: Any) -> None:
    """Lines that could not be read, the latest first, by log: where each begins, why, and the line itself.

    Of a line the table shows the beginning, CSV and JSON all that is kept.
    """
    from tailmetrics.cli import documents, tables

    show_answer(settings, documents.Rejects, asked, tables.print_rejects, as_json=as_json, as_csv=as_csv)


@options.command(
    "The summary of the store, or of files alone.",
    "tailmetrics report",
    "tailmetrics report --from=-7d --sort=-failures --format markdown > report.md",
    "tailmetrics report --log-format results test_*.log --plot results.png",
    exits=(Exit.DATA, Exit.NO_INPUT, Exit.UNAVAILABLE, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@options.shared(*options.RANGE)
@_sort_option("customer_id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also draw passed beside failed, and latencies, into this .png or .svg file.",
)
@options.shared("env_file", "log_format", "log_timezone", "store_url", *options.API)
@options.with_settings
def report(
    settings: Settings, *, files: tuple[Path, ...], form: str, plot: Path | None, **asked: Any
) -> None:
    """One row a customer (or test) with its totals: of everything in the store, or of FILEs alone.

    Files are read without a store: nothing is kept. - is standard input.
    """
    from tailmetrics.cli import plot as plots
    from tailmetrics.cli import report as reports
    from tailmetrics.cli import tables

    if plot is not None and plot.suffix.lower() not in plots.SUFFIXES:
        raise click.UsageError(f"--plot: found {plot.name!r}, expected a name that ends in .png or .svg.")
    if files:
        document, loaded = _report_of_files(settings, files, options.given(asked))
        origin, is_unread = ", ".join(map(str, files)), loaded.is_unread
    else:
        is_unread = False
        document, origin = reports.of_store(_client(settings), options.given(asked))
    title = counted(len(document.customers), "customer")
    if form == "table":
        tables.print_table(title, reports.table(document), document, origin)
    else:
        click.echo(reports.TEXTS[form](document), nl=False)
    if plot is not None:
        try:
            plots.draw(document, title, plot)
        except OSError as error:
            options.say(f"{plot} cannot be written: {error.strerror}")
            sys.exit(Exit.IO)
    if is_unread:
        sys.exit(Exit.DATA)


def _report_of_files(
    settings: Settings, files: tuple[Path, ...], asked: dict[str, Any]
) -> tuple[Report, LoadProgress]:
    from tailmetrics.cli import progress
    from tailmetrics.cli import report as reports
    from tailmetrics.status import detect_hint

    with progress.load_display("report", sys.stderr) as show:
        document, loaded = reports.of_files(settings, files, asked, show)
    if loaded.rejects:
        unread = f"{counted(loaded.rejects, 'line')} of {loaded.lines:,} could not be read"
        hint = detect_hint(" ".join(map(str, files))) if loaded.is_unread else "`tailmetrics load` keeps them"
        options.say("\n".join([f"{unread}; {hint}", *progress.reason_lines(loaded)]))
    return document, loaded


@options.command("How far each log is read.", "tailmetrics status", "tailmetrics status --json")
@options.shared("env_file", "store_url", *options.API, "json")
@options.with_settings
def status(settings: Settings, *, as_json: bool) -> None:
    """Name, identity, position, size, lag and state of each log: of the running service, else of the store.

    The status is 1 when a service is running and not ready.
    """
    from tailmetrics.cli import client, documents, tables

    answer = client.Client(settings).ask(documents.Readiness, {})
    if as_json:
        options.print_json(answer.json)
    else:
        tables.print_status(answer)
    sys.exit(0 if answer.document.ready else Exit.FAILED)


@options.command(
    "Customers, live.",
    "tailmetrics top",
    "tailmetrics top --from=-15m --sort=-failures --search shop",
    "tailmetrics top --count 1 > customers.txt",
    exits=(Exit.UNAVAILABLE, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@options.shared(*options.RANGE, "search", "min_requests")
@_sort_option("-requests")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds from one look to the next.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Print so many tables instead of a live screen.  [default: 1 when the output is no terminal]",
)
@options.shared("env_file", "store_url", *options.API)
@options.with_settings
def top(
    settings: Settings,
    *,
    search: str | None,
    min_requests: str | None,
    sort: str,
    interval: float,
    count: int | None,
    **asked: Any,
) -> None:
    """Customers with their totals over a range (default: the last hour), live, until q.

    Keys: s sorts by the next column, r turns the order round, / filters, n and p turn pages, space pauses.
    """
    from tailmetrics.cli import documents, tables
    from tailmetrics.cli.top import Choice, is_interactive, show

    asked = {**options.given(asked), "from": asked["from"] or "-1h"}
    choice = Choice(sort.removeprefix("-"), sort.startswith("-"), search or "", min_requests)
    client = _client(settings)
    process.resume_garbage_collection()
    if count is None and is_interactive():
        show(client, asked, choice, interval)
        return
    for turn in range(count or 1):
        if turn:
            time.sleep(interval)
        tables.print_customers(client.ask(documents.Customers, {**asked, **choice.parameters(100)}))


@options.command(
    "Look at everything a service needs.",
    "tailmetrics check",
    "tailmetrics check --env-file production.env --json",
    "tailmetrics check --deep",
    "tailmetrics check --reader",
    exits=(Exit.CONFIGURATION,),
)
@click.option("--deep", is_flag=True, help="Also read every block of a store that is a file.")
@click.option("--reader", is_flag=True, help="The store need not be written to, as by `tailmetrics serve`.")
@options.shared("env_file", *options.FOLLOWING, *options.API, "json")
def check(env_file: Path | None, deep: bool, reader: bool, as_json: bool, **flags: Any) -> None:
    """Look at settings, format, logs, store and port, and say what was found.

    Changes nothing. The status is 0 when a service could start, else 78.
    """
    from dataclasses import asdict, replace

    from tailmetrics.cli import check, tables

    findings = []
    for found in check.check(
        env_file or options.DEFAULT_ENV_FILE, deep=deep, reader=reader, **options.given(flags)
    ):
        finding = replace(found, text=masked(found.text))
        findings.append(finding)
        if not as_json:
            tables.print_finding(finding.level, finding.subject, finding.text)
    good = all(finding.level != "wrong" for finding in findings)
    if as_json:
        options.print_json({"ok": good, "findings": [asdict(finding) for finding in findings]})
    sys.exit(0 if good else Exit.CONFIGURATION)
