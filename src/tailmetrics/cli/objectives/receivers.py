"""The command alerts test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.errors import SettingsError

if TYPE_CHECKING:
    from tailmetrics.objectives.definitions import Document, Receiver
    from tailmetrics.objectives.notifications.outbox import Outcome
    from tailmetrics.settings import Settings


@options.command(
    "Send a test to the receivers of notifications.",
    "tailmetrics alerts test",
    "tailmetrics alerts test --receiver operators",
    exits=(Exit.CONFIGURATION,),
)
@click.option("--receiver", "name", help="Only the receiver of this name.")
@options.shared("env_file", "json")
@options.with_settings
def test(settings: Settings, *, name: str | None, as_json: bool) -> None:
    """Send each receiver of the file of OBJECTIVES a message that says that it is a test.

    Says of each what happened; the status is 1 when one did not take it. Secrets are those of this command's
    environment, which may not be that of the service.
    """
    from tailmetrics.cli.tables import print_finding
    from tailmetrics.objectives.file import read_objectives

    if not settings.objectives:
        raise SettingsError(["OBJECTIVES: found none, expected the TOML file with the receivers"])
    document = read_objectives(settings.objectives)
    receivers = [each for each in document.receivers if name in (None, each.name)]
    if not document.receivers:
        raise SettingsError([f"OBJECTIVES: {settings.objectives}: found no [[receiver]], expected one"])
    if not receivers:
        names = ", ".join(each.name for each in document.receivers)
        raise click.BadParameter(f"found {name!r}, expected one of {names}", param_hint="--receiver")
    outcomes = asyncio.run(_tested(document, receivers))
    good = all(outcome.kind == "delivered" for outcome in outcomes)
    if as_json:
        told = [
            {
                "receiver": each.name,
                "kind": each.kind,
                "outcome": outcome.kind,
                "error": outcome.error or None,
            }
            for each, outcome in zip(receivers, outcomes, strict=True)
        ]
        options.print_json({"ok": good, "receivers": told})
    else:
        for each, outcome in zip(receivers, outcomes, strict=True):
            level = "ok" if outcome.kind == "delivered" else "wrong"
            print_finding(level, each.name, ": ".join(filter(None, [outcome.kind, outcome.error])))
    sys.exit(Exit.DONE if good else Exit.FAILED)


async def _tested(document: Document, receivers: Sequence[Receiver]) -> list[Outcome]:
    from tailmetrics.objectives.notifications.notifier import Notifier

    notifier = Notifier(receivers, document.external_url)
    try:
        return await asyncio.gather(*map(notifier.test, receivers))
    finally:
        await notifier.close()
