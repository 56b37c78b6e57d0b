"""The command objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tailmetrics.cli import options
from tailmetrics.cli.ask import show_answer

if TYPE_CHECKING:
    from tailmetrics.settings import Settings


@options.command(
    "Whether what was promised to customers is kept.",
    "tailmetrics objectives",
    "tailmetrics objectives --customer cust_1",
    "tailmetrics objectives --objective availability --at 2024-11-01 --csv > october.csv",
)
@click.option("--customer", help="Only this customer.")
@click.option("--objective", help="Only the objective of this name.")
@click.option(
    "--at", help="The moment of the figures: 2024-10-10, RFC 3339, epoch seconds, -24h.  [default: now]"
)
@click.option(
    "--sort",
    type=click.Choice(["left", "-left", "customer_id", "-customer_id"]),
    metavar="COLUMN",
    help="left (what is left of the budget) or customer_id; with - before it, from the largest.  "
    "[default: left]",
)
@options.shared(*options.PAGE, "env_file", "store_url", *options.API, "json", "csv")
@options.with_settings
def objectives(settings: Settings, *, as_json: bool, as_csv: bool, **asked: Any) -> None:
    """Compliance, what is left of the budget, and how fast it burns: of each objective and customer.

    Objectives are those of the file of OBJECTIVES; the one with the least left comes first.
    """
    from tailmetrics.cli.documents import Objectives
    from tailmetrics.cli.objectives.table import print_objectives

    show_answer(settings, Objectives, asked, print_objectives, as_json=as_json, as_csv=as_csv)
