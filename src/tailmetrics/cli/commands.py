"""The commands: their options, and which part of the package each one calls."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tailmetrics import __version__, process
from tailmetrics.cli.text import counted
from tailmetrics.errors import (
    FormatError,
    LoadError,
    QueryError,
    QueueError,
    ServiceError,
    SettingsError,
    StoreError,
    TailmetricsError,
)
from tailmetrics.urls import masked

if TYPE_CHECKING:
    from datetime import datetime

    from tailmetrics.cli.client import Answer
    from tailmetrics.generator import Mode
    from tailmetrics.settings import Settings

_DEFAULT_ENV_FILE = Path(".env.local")

_SORTS = ("customer_id", "requests", "failures", "uptime", "average", "median", "p99")
_SORT_HELP = (
    "customer_id, requests, failures, uptime, average, median or p99; with - before it, from the largest."
)

_EXIT_FAILED = 1
_EXIT_USAGE = 2
_EXIT_NO_INPUT = 66
_EXIT_UNAVAILABLE = 69
EXIT_IO = 74
_EXIT_REFUSED = 77
_EXIT_CONFIGURATION = 78
_EXIT_INTERRUPTED = 130

_EXIT_TEXTS = {
    0: "done",
    _EXIT_FAILED: "failed",
    _EXIT_USAGE: "a wrong option or parameter",
    _EXIT_NO_INPUT: "a log cannot be read",
    _EXIT_UNAVAILABLE: "the store, the service or the broker does not answer",
    EXIT_IO: "a file or the output cannot be written",
    _EXIT_REFUSED: "the API key is missing or wrong",
    _EXIT_CONFIGURATION: "a setting is wrong",
    _EXIT_INTERRUPTED: "interrupted",
}
_SERVICE_EXITS = {
    0: _EXIT_UNAVAILABLE,
    401: _EXIT_REFUSED,
    403: _EXIT_REFUSED,
    422: _EXIT_USAGE,
    503: _EXIT_UNAVAILABLE,
}
_ERROR_EXITS: tuple[tuple[type[TailmetricsError], int], ...] = (
    (SettingsError, _EXIT_CONFIGURATION),
    (FormatError, _EXIT_CONFIGURATION),
    (QueryError, _EXIT_USAGE),
    (LoadError, _EXIT_NO_INPUT),
    (QueueError, _EXIT_UNAVAILABLE),
    (StoreError, _EXIT_UNAVAILABLE),
)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class _Command(click.Command):
    """A command that turns errors of this package into their text and an exit status."""

    def __init__(
        self, *arguments: Any, examples: tuple[str, ...] = (), exits: tuple[int, ...] = (), **options: Any
    ) -> None:
        statuses = (0, _EXIT_FAILED, _EXIT_USAGE, EXIT_IO, *exits)
        lines = [
            "Examples:",
            *(f"  {example}" for example in examples),
            "",
            "Exit status:",
            *(f"  {status:<4}{_EXIT_TEXTS[status]}" for status in sorted(statuses)),
        ]
        # In click's epilogs, this mark before a paragraph keeps its lines apart.
        options["epilog"] = "\b\n" + "\n".join(lines).replace("\n\n", "\n\n\b\n")
        super().__init__(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except TailmetricsError as error:
            click.echo(masked(f"tailmetrics {self.name}: {error}"), err=True)
            context.exit(_exit_status(error))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            context.exit(_EXIT_INTERRUPTED)


def _exit_status(error: TailmetricsError) -> int:
    if isinstance(error, ServiceError):
        return _SERVICE_EXITS.get(error.status, _EXIT_FAILED)
    return next((status for kind, status in _ERROR_EXITS if isinstance(error, kind)), _EXIT_FAILED)


def _setting(flag: str, name: str, text: str, **options: Any) -> Callable[[_Decorated], _Decorated]:
    """An option that wins over the setting of that name."""
    return click.option(flag, name, help=f"{text} [{name.upper()}]", **options)


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "env_file": click.option(
        "--env-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Settings are read from this file instead of .env.local.",
    ),
    "log_file_path": _setting(
        "--log-file-path",
        "log_file_path",
        "A file to follow, or a glob; may be given several times.",
        multiple=True,
    ),
    "log_format": _setting(
        "--log-format",
        "log_format",
        "Format of the lines.",
        type=click.Choice(["requests", "nginx", "json", "regex", "results"]),
    ),
    "log_timezone": _setting("--log-timezone", "log_timezone", "Time zone of timestamps without one."),
    "log_start": _setting(
        "--log-start", "log_start", "Where to begin in a new file.", type=click.Choice(["beginning", "end"])
    ),
    "store_url": _setting("--store-url", "store_url", "Where records are kept."),
    "workers": _setting("--workers", "workers", "Workers of the dataflow.", type=int),
    "api_host": _setting("--host", "api_host", "Address of the service."),
    "api_port": _setting("--port", "api_port", "Port of the service.", type=int),
    "metrics_host": _setting("--host", "metrics_host", "Address of /metrics, /health and /ready."),
    "metrics_port": _setting(
        "--port", "metrics_port", "Port of /metrics, /health and /ready; 0: none.", type=int
    ),
    "logging_level": _setting("--logging-level", "logging_level", "DEBUG, INFO, WARNING or ERROR."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
}
_FOLLOWING = ("log_file_path", "log_format", "log_timezone", "log_start", "store_url", "workers")
_API = ("api_host", "api_port")
_RANGE = (
    click.option(
        "--from", "from", help="Beginning of the range, included: 2024-10-10, RFC 3339, epoch seconds, -24h."
    ),
    click.option("--to", "to", help="End of the range, not included; the same forms."),
    click.option(
        "--tz", "tz", help="Time zone (IANA name) of days, of times without one, and of the answer."
    ),
    click.option(
        "--failures", type=click.Choice(["4xx+5xx", "5xx", "5xx+429"]), help="Which statuses count as failed."
    ),
)


def _options(*names: str) -> Callable[[_Decorated], _Decorated]:
    def decorate(function: _Decorated) -> _Decorated:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


def _range_options(function: _Decorated) -> _Decorated:
    for option in reversed(_RANGE):
        function = option(function)
    return function


def _sort_option(default: str) -> Callable[[_Decorated], _Decorated]:
    return click.option(
        "--sort",
        default=default,
        show_default=True,
        type=click.Choice([sign + name for name in _SORTS for sign in ("", "-")]),
        metavar="COLUMN",
        help=_SORT_HELP,
    )


def _to_queue(text: str, *, required: bool) -> Callable[[_Decorated], _Decorated]:
    def decorate(function: _Decorated) -> _Decorated:
        create = click.option("--create", is_flag=True, help="Make the queue, durable, when it is not there.")
        to = click.option(
            "--to",
            required=required,
            metavar="URL",
            help=f"{text} amqp://USER:PASSWORD@HOST:5672/VHOST?queue=NAME",
        )
        return to(create(function))

    return decorate


def _settings(env_file: Path | None, flags: dict[str, Any]) -> Settings:
    from tailmetrics.settings import load_settings

    return load_settings(env_file or _DEFAULT_ENV_FILE, **_given(flags))


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value not in (None, ())}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from .env.local, then the environment, then options. Each command has a --help "
    "with examples.",
)
@click.version_option(__version__, prog_name="tailmetrics", message="%(prog)s %(version)s")
def main() -> None:
    """Live statistics per customer from growing log files, each line counted exactly once."""


@main.command(
    cls=_Command,
    short_help="Follow the logs and answer questions, in one process.",
    examples=(
        "tailmetrics up",
        "tailmetrics up --log-file-path '/var/log/shop/*.log' --store-url duckdb:////var/lib/shop.duckdb",
        "tailmetrics up --log-format nginx --log-file-path /var/log/nginx/access.log --port 8080",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@click.option("--open", "open_page", is_flag=True, help="Open the dashboard in the browser.")
@_options("env_file", *_FOLLOWING, *_API, "logging_level")
def up(env_file: Path | None, open_page: bool, **flags: Any) -> None:
    """Follow the logs and answer questions, in one process, until Ctrl-C.

    All that is needed on one machine: the dataflow, the dashboard, the API with its documentation at /docs,
    and a DuckDB file that holds the records.
    """
    settings = _settings(env_file, flags)
    from tailmetrics import service
    from tailmetrics.cli import service_address
    from tailmetrics.telemetry import log

    log.configure_logging(settings)
    sys.exit(service.run_up(settings, service_address.service_url(settings) if open_page else None))


@main.command(
    cls=_Command,
    short_help="Follow the logs only.",
    examples=(
        "tailmetrics ingest --store-url postgresql://user:password@db.example/shop",
        "tailmetrics ingest --log-file-path '/var/log/shop/*.log' --port 9465",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@_options("env_file", *_FOLLOWING, "metrics_host", "metrics_port", "logging_level")
def ingest(env_file: Path | None, **flags: Any) -> None:
    """Follow the logs only, until Ctrl-C; the store must be a server, or an SQLite file.

    A DuckDB file can be opened by one process, so `tailmetrics up` is the command for it. Several of these
    may share a store, each with a NODE_ID of its own.
    """
    _run_service("run_ingest", env_file, flags)


@main.command(
    cls=_Command,
    short_help="Answer questions only.",
    examples=("tailmetrics serve --host 0.0.0.0 --port 8000",),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@_options("env_file", "store_url", *_API, "logging_level")
def serve(env_file: Path | None, **flags: Any) -> None:
    """Answer questions only, until Ctrl-C; the store must be a server, or an SQLite file.

    A DuckDB file can be opened by one process, so `tailmetrics up` is the command for it.
    """
    _run_service("run_serve", env_file, flags)


def _run_service(function: str, env_file: Path | None, flags: dict[str, Any]) -> None:
    settings = _settings(env_file, flags)
    from tailmetrics import service
    from tailmetrics.telemetry import log

    log.configure_logging(settings)
    sys.exit(getattr(service, function)(settings))


@main.command(
    cls=_Command,
    short_help="Write log lines to a file or queue at a steady pace.",
    examples=(
        "tailmetrics generate",
        "tailmetrics generate --file demo.log --batch-size 1000 --interval 0 --max-logs 1000000 --seed 1",
        "tailmetrics generate --file past.log --days 7 --max-logs 50000 --interval 0",
        "tailmetrics generate --file shuffled.log --mode uniform --max-logs 50000 --interval 0",
        "tailmetrics generate --to 'amqp://user:password@localhost/?queue=logs' --create --interval 3",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to append to.  [default: the first entry of LOG_FILE_PATH]",
)
@_to_queue("Queue that takes each batch of lines as a log, instead of a file.", required=False)
@click.option(
    "--mode",
    type=click.Choice(["realistic", "uniform"]),
    default="realistic",
    show_default=True,
    help="Realistic: mostly successful requests of more and less active customers. Uniform: every choice "
    "equally likely, timestamps shuffled over the last 30 days.",
)
@_setting("--batch-size", "log_batch_size", "Lines appended at once.", type=int)
@_setting("--interval", "log_interval_seconds", "Seconds between two appends.", type=float)
@_setting("--max-logs", "max_logs_to_generate", "Lines after which it ends; 0: never.", type=int)
@click.option(
    "--seed", type=click.IntRange(min=0), help="The same seed gives the same lines, but for the time."
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    help="Timestamps of the last so many days instead of now: rising, or shuffled in the uniform mode.",
)
@click.option(
    "--now",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="The time to take for now, in LOG_TIMEZONE; with --seed every byte is the same again.",
)
@_options("log_timezone", "env_file")
def generate(
    *,
    file: Path | None,
    to: str | None,
    create: bool,
    mode: Mode,
    seed: int | None,
    days: int | None,
    now: datetime | None,
    env_file: Path | None,
    **flags: Any,
) -> None:
    """Write log lines to a file or queue at a steady pace, until Ctrl-C or until there are enough.

    A line: 2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316
    """
    settings = _settings(env_file, flags)
    from zoneinfo import ZoneInfo

    from tailmetrics import generator
    from tailmetrics.queues import QueueUrl

    if to is not None and file is not None:
        raise click.UsageError("--file and --to: found both, expected one of them.")
    queue = None if to is None else QueueUrl.parse(to, "--to")
    if days is not None and mode == "realistic" and not settings.max_logs_to_generate:
        raise click.UsageError("--days spreads a number of lines over them, so it needs --max-logs.")
    options = generator.GeneratorOptions(
        file=None if queue is not None else file or generator.generated_file(settings),
        queue=queue,
        create_queue=create,
        mode=mode,
        batch_size=settings.log_batch_size,
        interval_seconds=settings.log_interval_seconds,
        max_lines=settings.max_logs_to_generate,
        zone=settings.log_timezone,
        seed=seed,
        days=days,
        now=None if now is None else now.replace(tzinfo=ZoneInfo(settings.log_timezone)),
    )
    process.resume_garbage_collection()
    try:
        with generator.stop_on_signals(_give_up_generating) as wait:
            done = generator.generate(options, wait)
    except OSError as error:
        click.echo(f"tailmetrics generate: {options.file} cannot be written: {error.strerror}", err=True)
        sys.exit(EXIT_IO)
    click.echo(
        f"{counted(done.lines, 'line')}, {counted(done.size, 'byte')} in {done.seconds:.1f} s "
        + (f"appended to {options.file}" if queue is None else f"sent to {queue}"),
        err=True,
    )


def _give_up_generating() -> None:
    click.echo(
        "tailmetrics generate: ended while the broker does not answer; it may not have the last log",
        err=True,
    )
    # To close the connection would wait for its answer too.
    os._exit(_EXIT_UNAVAILABLE)


@main.command(
    cls=_Command,
    short_help="Read finished logs to their ends.",
    examples=(
        "tailmetrics load requests-2024-10.log requests-2024-11.log",
        "tailmetrics load --log-format nginx /var/log/nginx/access.log.1 --json",
    ),
    exits=(
        _EXIT_NO_INPUT,
        _EXIT_UNAVAILABLE,
        _EXIT_REFUSED,
        _EXIT_CONFIGURATION,
        _EXIT_INTERRUPTED,
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_options("env_file", "log_format", "store_url", *_API, "json")
def load(files: tuple[Path, ...], env_file: Path | None, as_json: bool, **flags: Any) -> None:
    """Read finished logs to their ends into the store.

    A file that was loaded before adds nothing. Lines that cannot be read are kept as rejects and are no
    failure. While a service runs the files are sent to it; otherwise the store is written here.
    """
    settings = _settings(env_file, flags)
    from tailmetrics.cli import load, progress
    from tailmetrics.telemetry import log

    log.configure_logging(settings.model_copy(update={"logging_level": "WARNING"}))
    load.check_files(files, "loaded")
    ended = []
    with load.file_loads(
        settings, files, log_format=flags["log_format"], store_first=flags["store_url"] is not None
    ) as loads:
        process.resume_garbage_collection()
        for each in loads:
            with progress.load_display(each.file.name, sys.stderr) as show:
                ended.append(each.finish(show))
            if not as_json:
                click.echo(progress.load_summary(str(each.file), ended[-1]))
    total = load.total_progress(ended)
    if as_json:
        from tailmetrics.api.documents import loaded_file

        documents = [loaded_file(str(file), each) for file, each in zip(files, ended, strict=True)]
        _print_json({"files": documents, "totals": _sums(documents)})
    if total.state == "failed":
        click.echo(f"tailmetrics load: {total.error}", err=True)
        sys.exit(_EXIT_FAILED)


@main.command(
    cls=_Command,
    short_help="Send logs to a queue, each as a message.",
    examples=(
        "tailmetrics publish requests-2024-10.log --to 'amqp://user:password@localhost/?queue=logs' --create",
        "tailmetrics publish test_*.log --to 'amqp://user:password@broker.example/tests?queue=results'",
    ),
    exits=(_EXIT_NO_INPUT, _EXIT_UNAVAILABLE, _EXIT_CONFIGURATION, _EXIT_INTERRUPTED),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_to_queue("Queue to send to.", required=True)
@click.option(
    "--name-first", is_flag=True, help="Send the log's name as the first line instead of in a header."
)
def publish(files: tuple[Path, ...], to: str, *, create: bool, name_first: bool) -> None:
    """Send finished logs to a queue, each as one message that the broker has confirmed.

    Compressed files are sent decompressed. A log that is sent twice counts twice.
    """
    from tailmetrics.cli import load, publish, text
    from tailmetrics.queues import QueueUrl

    address = QueueUrl.parse(to, "--to")
    load.check_files(files, "sent")
    for file, size in publish.publish(files, address, create=create, name_first=name_first):
        sent = text.counted(size, "byte") + " sent" if size else "empty, not sent"
        click.echo(f"{text.escaped(str(file))}: {sent}")


@main.command(
    cls=_Command,
    short_help="Statistics of a customer, or of all together.",
    examples=(
        "tailmetrics stats cust_1",
        "tailmetrics stats cust_1 --from 2024-10-10 --to 2024-10-20 --every 1h --tz Europe/Berlin",
        "tailmetrics stats cust_1 --from=-24h --every none --json",
        "tailmetrics stats",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@click.argument("customer", required=False)
@_range_options
@click.option("--every", help="Length of the windows: a number with s, m, h or d, or none.  [default: 1d]")
@click.option(
    "--uptime-method",
    type=click.Choice(["requests", "good_windows"]),
    help="Percent of the requests, or of the windows that reach --objective.  [default: requests]",
)
@click.option("--objective", help="Uptime that makes a window good, in percent.  [default: 99]")
@click.option("--fill", is_flag=True, help="Also show windows without requests.")
@_options("env_file", "store_url", *_API, "json")
def stats(customer: str | None, fill: bool, env_file: Path | None, as_json: bool, **options: Any) -> None:
    """Requests, uptime and latencies of CUSTOMER per window; without CUSTOMER, of all together."""
    parameters = {"customer_id": customer, "fill": "true" if fill else None, **options}
    answer = _ask("/stats", parameters, env_file)
    if as_json:
        _print_json(answer.document)
    else:
        from tailmetrics.cli import tables

        tables.print_stats(answer.document, answer.origin)


@main.command(
    cls=_Command,
    short_help="All customers with their totals.",
    examples=(
        "tailmetrics customers",
        "tailmetrics customers --sort=-failures --limit 10 --from=-7d",
        "tailmetrics customers --search shop --json",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@_range_options
@click.option("--search", help="Only ids with this part; case counts.")
@click.option(
    "--sort",
    help=_SORT_HELP,
)
@click.option("--limit", help="Customers on a page.  [default: 100]")
@click.option("--cursor", help="Where the page begins: what the page before said.")
@_options("env_file", "store_url", *_API, "json")
def customers(env_file: Path | None, as_json: bool, **options: Any) -> None:
    """All customers with their totals over a range, a page at a time."""
    answer = _ask("/customers", options, env_file)
    if as_json:
        _print_json(answer.document)
    else:
        from tailmetrics.cli import tables

        tables.print_customers(answer.document, answer.origin)


@main.command(
    cls=_Command,
    short_help="The summary of the store, or of files alone.",
    examples=(
        "tailmetrics report",
        "tailmetrics report --from=-7d --sort=-failures --format markdown > report.md",
        "tailmetrics report --log-format results test_*.log --plot results.png",
    ),
    exits=(_EXIT_NO_INPUT, _EXIT_UNAVAILABLE, _EXIT_CONFIGURATION, _EXIT_INTERRUPTED),
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@_range_options
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
@_options("env_file", "log_format", "log_timezone", "store_url", *_API)
def report(
    *, files: tuple[Path, ...], form: str, plot: Path | None, env_file: Path | None, **options: Any
) -> None:
    """One row a customer (or test) with its totals: of everything in the store, or of FILEs alone.

    Files are read without a store: nothing is kept.
    """
    names = ("log_format", "log_timezone", "store_url", *_API)
    flags = {name: options.pop(name) for name in names}
    settings = _settings(env_file, flags)
    from tailmetrics.cli import plot as plots
    from tailmetrics.cli import progress, tables, text
    from tailmetrics.cli import report as reports
    from tailmetrics.telemetry import log

    if plot is not None and plot.suffix.lower() not in plots.SUFFIXES:
        raise click.UsageError(f"--plot: found {plot.name!r}, expected a name that ends in .png or .svg.")
    log.configure_logging(settings.model_copy(update={"logging_level": "WARNING"}))
    if files:
        with progress.load_display("report", sys.stderr) as show:
            answer, loaded = reports.of_files(settings, files, _given(options), show)
        if loaded.rejects:
            unread = f"{text.counted(loaded.rejects, 'line')} of {loaded.lines:,} could not be read"
            click.echo(
                f"tailmetrics report: {unread}; `tailmetrics load` keeps them with the reason", err=True
            )
    else:
        answer = reports.of_store(settings, _given(options), store_first=flags["store_url"] is not None)
    document = answer.document
    title = text.counted(len(document["customers"]), "customer")
    if form == "json":
        _print_json(document)
    elif form == "table":
        tables.print_table(title, reports.table(document), document, answer.origin)
    else:
        click.echo((reports.markdown if form == "markdown" else reports.as_csv)(document), nl=False)
    if plot is not None:
        if document["from"] or document["to"]:
            title += f", {document['from'] or 'beginning'} to {document['to'] or 'end'}"
        try:
            plots.draw(document, title, plot)
        except OSError as error:
            click.echo(f"tailmetrics report: {plot} cannot be written: {error.strerror}", err=True)
            sys.exit(EXIT_IO)


@main.command(
    cls=_Command,
    short_help="How far each log is read.",
    examples=("tailmetrics status", "tailmetrics status --json"),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION),
)
@_options("env_file", "store_url", *_API, "json")
def status(env_file: Path | None, as_json: bool, **flags: Any) -> None:
    """Name, identity, position, size, lag and state of each log: of the running service, else of the store.

    The status is 1 when a service is running and not ready.
    """
    settings = _settings(env_file, flags)
    from tailmetrics.cli import client, tables

    answer = client.readiness(settings)
    if as_json:
        _print_json(answer.document)
    else:
        tables.print_status(answer.document, answer.origin)
    sys.exit(0 if answer.document["ready"] else _EXIT_FAILED)


@main.command(
    cls=_Command,
    short_help="Customers, live.",
    examples=(
        "tailmetrics top",
        "tailmetrics top --from=-15m --sort=-failures --search shop",
        "tailmetrics top --count 1 > customers.txt",
    ),
    exits=(_EXIT_UNAVAILABLE, _EXIT_CONFIGURATION, _EXIT_INTERRUPTED),
)
@_range_options
@click.option("--search", help="Only ids with this part; case counts.")
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
@_options("env_file", "store_url", *_API)
def top(
    *,
    search: str | None,
    sort: str,
    interval: float,
    count: int | None,
    env_file: Path | None,
    **options: Any,
) -> None:
    """Customers with their totals over a range (default: the last hour), live, until q.

    Keys: s sorts by the next column, r turns the order round, / filters, n and p turn pages, space pauses.
    """
    import time

    from tailmetrics.cli import tables
    from tailmetrics.cli.top import Choice, is_interactive, show

    options["from"] = options["from"] or "-1h"
    choice = Choice(sort.removeprefix("-"), sort.startswith("-"), search or "")
    own = {name: options.pop(name) for name in ("store_url", *_API)}

    def ask(path: str, parameters: Mapping[str, str]) -> Answer:
        return _ask(path, {**parameters, **own}, env_file)

    process.resume_garbage_collection()
    if count is None and is_interactive():
        show(ask, _given(options), choice, interval)
        return
    for turn in range(count or 1):
        if turn:
            time.sleep(interval)
        answer = ask("/customers", {**_given(options), **choice.parameters(100)})
        tables.print_customers(answer.document, answer.origin)


@main.command(
    cls=_Command,
    short_help="Look at everything a service needs.",
    examples=("tailmetrics check", "tailmetrics check --env-file production.env --json"),
    exits=(_EXIT_CONFIGURATION,),
)
@_options("env_file", *_FOLLOWING, *_API, "json")
def check(env_file: Path | None, as_json: bool, **flags: Any) -> None:
    """Look at settings, format, logs, store and port, and say what was found.

    Changes nothing. The status is 0 when a service could start, else 78.
    """
    from dataclasses import asdict, replace

    from tailmetrics.cli import check, tables

    findings = []
    for found in check.check(env_file or _DEFAULT_ENV_FILE, **_given(flags)):
        finding = replace(found, text=masked(found.text))
        findings.append(finding)
        if not as_json:
            tables.print_finding(finding.level, finding.subject, finding.text)
    good = all(finding.level != "wrong" for finding in findings)
    if as_json:
        _print_json({"ok": good, "findings": [asdict(finding) for finding in findings]})
    sys.exit(0 if good else _EXIT_CONFIGURATION)


def _ask(path: str, options: dict[str, Any], env_file: Path | None) -> Answer:
    """The answer to a question whose options are settings and parameters of the API."""
    flags = {name: options.pop(name) for name in ("store_url", *_API)}
    settings = _settings(env_file, flags)
    from tailmetrics.cli import client

    return client.ask(settings, path, _given(options), store_first=flags["store_url"] is not None)


def _sums(documents: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        name: sum(document[name] for document in documents)
        for name in ("bytes", "lines", "records", "rejects", "blanks")
    }


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2))
