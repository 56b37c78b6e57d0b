"""Shared by all commands: options, exit statuses, and how an error ends a command."""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tailmetrics import errors, process
from tailmetrics.urls import masked

if TYPE_CHECKING:
    from tailmetrics.settings import Settings

DEFAULT_ENV_FILE = Path(".env.local")


class Exit(IntEnum):
    """Exit statuses and their help texts; those from 64 to 78 have the meaning of sysexits.h."""

    text: str

    DONE = 0, "done"
    FAILED = 1, "failed"
    USAGE = 2, "a wrong option or parameter"
    DATA = 65, "no line of a log could be read"
    NO_INPUT = 66, "a log cannot be read"
    UNAVAILABLE = 69, "the store, the service or the broker does not answer"
    IO = 74, "a file or the output cannot be read or written"
    REFUSED = 77, "the API key is missing or wrong"
    CONFIGURATION = 78, "a setting is wrong"
    INTERRUPTED = 130, "interrupted"

    def __new__(cls, status: int, text: str) -> Exit:
        member = int.__new__(cls, status)
        member._value_ = status
        member.text = text
        return member


_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class _Command(click.Command):
    """A command that turns errors of this package into their text and an exit status."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except errors.TailmetricsError as error:
            say(str(error))
            context.exit(_exit_status(error))
        except ModuleNotFoundError as error:
            say(
                f"the package {error.name} is not installed: pip install tailmetrics brings all that it needs"
            )
            context.exit(Exit.CONFIGURATION)
        except PermissionError as error:
            say(f"{error.filename}: {error.strerror}; it may be another user's: `sudo` or its group opens it")
            context.exit(Exit.IO)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            context.exit(Exit.INTERRUPTED)


def command(
    short_help: str, *examples: str, exits: tuple[Exit, ...] = (Exit.UNAVAILABLE, Exit.CONFIGURATION)
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command; its help ends with examples and exit statuses: `exits` and those every command has."""
    return click.command(cls=_Command, short_help=short_help, epilog=epilog_of(*examples, exits=exits))


def epilog_of(*examples: str, exits: tuple[Exit, ...] = (Exit.UNAVAILABLE, Exit.CONFIGURATION)) -> str:
    """With what the help of a command, or of a group of them, ends."""
    statuses = sorted((Exit.DONE, Exit.FAILED, Exit.USAGE, Exit.IO, *exits))
    # In click's epilogs, this mark before a paragraph keeps its lines apart.
    epilog = "".join(
        f"\b\n{title}:\n" + "".join(f"  {line}\n" for line in lines) + "\n"
        for title, lines in (
            ("Examples", examples),
            ("Exit status", [f"{status:<4}{status.text}" for status in statuses]),
        )
    )
    return epilog.rstrip("\n")


def _exit_status(error: errors.TailmetricsError) -> Exit:
    match error:
        case errors.SettingsError() | errors.FormatError() | errors.StoreRefused():
            return Exit.CONFIGURATION
        case errors.QueryError() | errors.ServiceError(status=422):
            return Exit.USAGE
        case errors.LoadError():
            return Exit.NO_INPUT
        case errors.ServiceError(status=401 | 403):
            return Exit.REFUSED
        case (
            errors.QueueError()
            | errors.StoreError()
            | errors.Overloaded()
            | errors.ServiceError(status=0 | 503)
        ):
            return Exit.UNAVAILABLE
        case _:
            return Exit.FAILED


def say(text: str) -> None:
    """Print a problem to standard error, after the command's name, with passwords masked."""
    context = click.get_current_context()
    names = [context.info_name]
    while context.parent is not None and context.parent.parent is not None:  # below a group of commands
        context = context.parent
        names.insert(0, context.info_name)
    click.echo(masked(f"tailmetrics {' '.join(map(str, names))}: {text}"), err=True)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that the command can say how far it came."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def print_json(document: object) -> None:
    """Print a document, given as an object or as JSON text, indented."""
    click.echo(json.dumps(json.loads(document) if isinstance(document, bytes) else document, indent=2))


def setting(
    name: str, text: str, flag: str | None = None, **options: Any
) -> Callable[[_Decorated], _Decorated]:
    """An option that wins over the setting of that name."""
    flag = flag or f"--{name.replace('_', '-')}"
    return click.option(flag, name, help=f"{text} [{name.upper()}]", **options)


def _end_with_parent(_context: click.Context, _parameter: click.Parameter, pid: int | None) -> None:
    if pid is not None:
        process.end_with_parent(pid)


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "env_file": click.option(
        "--env-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Settings are read from this file instead of .env.local.",
    ),
    "log_file_path": setting(
        "log_file_path",
        "A file to follow, a glob, or - for standard input; may be given several times.",
        multiple=True,
    ),
    "log_format": setting("log_format", "Format of the lines."),
    "log_timezone": setting("log_timezone", "Time zone of timestamps without one."),
    "log_start": setting(
        "log_start", "Where to begin in a new file.", type=click.Choice(["beginning", "end", "oldest"])
    ),
    "store_url": setting("store_url", "Where records are kept."),
    "workers": setting("workers", "Workers of the dataflow.", type=int),
    "processes": setting(
        "processes",
        "Processes that divide the logs and take over from one that dies.",
        type=click.IntRange(1, 64),
    ),
    "api_host": setting("api_host", "Address of the service.", "--host"),
    "api_port": setting("api_port", "Port of the service.", "--port", type=int),
    "metrics_host": setting("metrics_host", "Address of /metrics, /health and /ready.", "--host"),
    "metrics_port": setting(
        "metrics_port", "Port of /metrics, /health and /ready; 0: none.", "--port", type=int
    ),
    "parent_pid": click.option(
        "--parent-pid",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_end_with_parent,
        help="End, as after SIGTERM, once the process of this id, which started it, has ended.",
    ),
    "logging_level": setting("logging_level", "DEBUG, INFO, WARNING or ERROR."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "csv": click.option("--csv", "as_csv", is_flag=True, help="Print CSV, as the API gives it."),
    "limit": click.option("--limit", help="Entries on a page.  [default: 100]"),
    "cursor": click.option("--cursor", help="Where the page begins: what the page before said."),
    "from": click.option(
        "--from", "from", help="Beginning of the range, included: 2024-10-10, RFC 3339, epoch seconds, -24h."
    ),
    "to": click.option("--to", "to", help="End of the range, not included; the same forms."),
    "tz": click.option(
        "--tz", "tz", help="Time zone (IANA name) of days, of times without one, and of the answer."
    ),
    "failures": click.option(
        "--failures",
        type=click.Choice(["4xx+5xx", "5xx", "5xx+429"]),
        help="Which statuses count as failed, beside no answer.",
    ),
    "path": click.option(
        "--path",
        "path",
        multiple=True,
        help="Only requests of this path, * standing for anything; with ! before it, of others. May be given "
        "several times: of one of them.",
    ),
    "status": click.option(
        "--status",
        "status",
        multiple=True,
        help="Only requests of this status: 404, 5xx, 400-499, or 0 for no answer; several with commas.",
    ),
    "search": click.option("--search", help="Only ids with this part; of A to Z case does not count."),
    "min_requests": click.option(
        "--min-requests", help="Only customers with at least so many requests.  [default: 1]"
    ),
    "create": click.option(
        "--create", is_flag=True, help="Make the queue, durable, or the topic when it is not there."
    ),
}
FOLLOWING = ("log_file_path", "log_format", "log_timezone", "log_start", "store_url", "workers")
API = ("api_host", "api_port")
PAGE = ("limit", "cursor")
RANGE = ("from", "to", "tz", "failures")
FILTER = ("path", "status")
TOPIC_URL = "kafka://USER:PASSWORD@HOST:9092/TOPIC"
QUEUE_URL = "amqp://USER:PASSWORD@HOST:5672/VHOST?queue=NAME"


def shared(*names: str) -> Callable[[_Decorated], _Decorated]:
    """The shared options of these names, in this order."""

    def decorate(function: _Decorated) -> _Decorated:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass `settings` to a command instead of --env-file and all options that have the name of a setting.

    A command without the option --logging-level logs warnings and errors only.
    """

    @functools.wraps(function)
    def run(env_file: Path | None, **values: Any) -> Any:
        from tailmetrics.settings import Settings, load_settings
        from tailmetrics.telemetry.log import configure_logging

        flags = {name: values.pop(name) for name in values.keys() & Settings.model_fields.keys()}
        settings = load_settings(env_file or DEFAULT_ENV_FILE, **given(flags))
        quiet = {} if "logging_level" in flags else {"logging_level": "WARNING"}
        configure_logging(settings.model_copy(update=quiet))
        return function(settings=settings, **values)

    return run


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that have a value."""
    return {name: value for name, value in values.items() if value not in (None, ())}


def named_format(settings: Settings) -> str | None:
    """The format that the running command was given with --log-format, None without it."""
    return settings.log_format if option_value("log_format") else None


def option_value(name: str) -> Any:
    """The value that the running command was given for an option, None without one."""
    return click.get_current_context().params[name]
