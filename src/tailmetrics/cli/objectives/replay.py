"""The command alerts replay."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.errors import QueryError, SettingsError

if TYPE_CHECKING:
    from tailmetrics.objectives.alerts.alert import Alert
    from tailmetrics.objectives.definitions import Document
    from tailmetrics.settings import Settings


@options.command(
    "Which alerts would have fired in the past.",
    "tailmetrics alerts replay",
    "tailmetrics alerts replay --from=-30d --json",
    "tailmetrics backup copy.duckdb && tailmetrics alerts replay --store-url duckdb:///copy.duckdb",
    exits=(Exit.UNAVAILABLE, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.option("--from", "start", default="-7d", show_default=True, help="The first evaluation.")
@click.option("--to", "end", default="now", show_default=True, help="No evaluation is after it.")
@options.shared("env_file", "store_url", "json")
@options.with_settings
def replay(settings: Settings, *, start: str, end: str, as_json: bool) -> None:
    """Evaluate the rules of the file of OBJECTIVES over stored requests; nothing is kept, and nobody is told.

    Says when each alert would have begun to fire and been resolved, if each request had been stored at its
    own time. Of a DuckDB file that a service has open, replay a backup.
    """
    from tailmetrics.api.alerts import alert_entry
    from tailmetrics.objectives.file import read_objectives

    if not settings.objectives:
        raise SettingsError(["OBJECTIVES: found none, expected the TOML file with the objectives"])
    now = datetime.now(timezone.utc)
    bounds = _moment("from", start, now), _moment("to", end, now)
    if bounds[0] >= bounds[1]:
        raise QueryError("from", start, "a time before --to")
    changes = asyncio.run(_replayed(settings, read_objectives(settings.objectives), *bounds))
    entries = [alert_entry(alert) for alert in changes]
    if as_json:
        options.print_json({"changes": entries})
        return
    from pydantic import TypeAdapter

    from tailmetrics.cli.documents import Alert
    from tailmetrics.cli.objectives.alert_tables import print_changes

    print_changes(TypeAdapter(tuple[Alert, ...]).validate_python(entries))


def _moment(name: str, text: str, now: datetime) -> datetime:
    from zoneinfo import ZoneInfo

    from tailmetrics.api.times import parse_time

    try:
        return parse_time(text, ZoneInfo("UTC"), now)
    except ValueError as error:
        raise QueryError(name, text, str(error)) from None


async def _replayed(settings: Settings, document: Document, start: datetime, end: datetime) -> list[Alert]:
    from tailmetrics.objectives.alerts.replay import replayed
    from tailmetrics.stores import open_store

    store = open_store(settings)
    try:
        return [alert async for alert in replayed(store, document, start, end)]
    finally:
        store.close()
