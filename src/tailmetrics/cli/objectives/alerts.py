"""The command alerts, and those below it."""

from __future__ import annotations

import click

from tailmetrics.cli.objectives import receivers


@click.group(
    commands=[receivers.test],
    short_help="Alerts, and who is told of them.",
    epilog="Each of these commands has a --help with examples.",
)
def alerts() -> None:
    """Alerts by the rules of the file of OBJECTIVES, and the notifications of them."""
