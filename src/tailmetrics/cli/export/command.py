"""The command export."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import counted

if TYPE_CHECKING:
    from tailmetrics.cli.client import Session
    from tailmetrics.settings import Settings

_STDOUT = Path("-")
_FORMATS = ("parquet", "csv", "jsonl", "arrow")
_FOR_STATS = ("every", "failures")


@options.command(
    "Records or statistics into files.",
    "tailmetrics export records backup/records",
    "tailmetrics export records shop.parquet --customer shop --from 2024-10-01 --to 2024-11-01",
    "tailmetrics export records - --format jsonl --from=-1h --status 5xx > failed.jsonl",
    "tailmetrics export stats daily.csv --every 1d --tz Europe/Berlin",
    exits=(Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.argument("what", type=click.Choice(["records", "stats"]), metavar="records|stats")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="What to write.  [default: as the file's name says, else parquet; of - csv]",
)
@click.option("--customer", "customer_id", help="Only this customer.")
@options.shared(*options.RANGE, *options.FILTER)
@click.option("--every", help="Of stats: length of the windows.  [default: 1d]")
@options.shared("env_file", "store_url", *options.API)
@options.with_settings
def export(settings: Settings, *, what: str, target: Path, form: str | None, **asked: Any) -> None:
    """Write requests (records), or the figures of each customer by windows (stats), to TARGET.

    TARGET is a file when its name ends as its format does (.parquet, .csv, .jsonl, .arrow), standard output
    when it is -, and else a folder. Into a folder records are written by days (day=2024-10-10/part-0.parquet)
    of --tz. Only days with something new are written again, so an export that was interrupted, or is
    repeated every night, goes on where it ended. Asked is the service while one runs, else the store.
    """
    from tailmetrics.cli.client import Client

    for name in _FOR_STATS:
        if what == "records" and asked[name] is not None:
            raise click.UsageError(f"--{name} is for stats; records are written as they are.")
    form = form or _format_of(target)
    if target == _STDOUT and form == "parquet":
        raise click.UsageError("Parquet is no format for standard output; expected csv, jsonl or arrow.")
    client = Client(settings, store_first=options.option_value("store_url") is not None)
    try:
        with client.session() as session:
            _export(session, what, target, form, options.given(asked))
    except OSError as error:
        if target == _STDOUT or error.filename == str(settings.store.path):
            raise
        options.say(f"{target} cannot be written: {error.strerror or error}")
        sys.exit(Exit.IO)


def _export(session: Session, what: str, target: Path, form: Any, asked: Mapping[str, Any]) -> None:
    from tailmetrics.cli import progress
    from tailmetrics.cli.export import records, stats

    show = progress.count_display("export", what if what == "records" else "customers", sys.stderr)
    is_file = target == _STDOUT or target.suffix == f".{form}"
    if what == "records" and not is_file:
        done = records.to_folder(session, target, form, asked, show)
        days = f"{counted(done.written, 'day')} written, {done.unchanged:,} unchanged"
        click.echo(f"{target}: {days}; {counted(done.records, 'record')}")
        return
    file = target if is_file else target / f"stats.{form}"
    with _opened(file) as opened:
        if what == "records":
            rows = records.to_file(session, opened, form, asked, show)
        else:
            rows = stats.to_file(session, opened, form, asked, show)
    if target != _STDOUT:
        click.echo(f"{file}: {counted(rows, 'record' if what == 'records' else 'row')}")


def _opened(file: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    from tailmetrics.cli.export.files import replacing

    if file == _STDOUT:
        return contextlib.nullcontext(sys.stdout.buffer)
    return replacing(file)


def _format_of(target: Path) -> str:
    if target == _STDOUT:
        return "csv"
    suffix = target.suffix.removeprefix(".")
    return suffix if suffix in _FORMATS else "parquet"
