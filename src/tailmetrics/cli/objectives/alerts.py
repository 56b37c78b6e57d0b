"""The command alerts, and those below it that show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tailmetrics.cli import options
from tailmetrics.cli.ask import show_answer
from tailmetrics.cli.objectives import receivers, replay

if TYPE_CHECKING:
    from tailmetrics.settings import Settings

_CHOSEN = (
    click.option(
        "--state", type=click.Choice(["pending", "firing", "resolved"]), help="Only those in this state."
    ),
    click.option("--customer", help="Only those about this customer, or the source of this path."),
    click.option("--rule", help="Only those of the objective, or rule, of this name."),
    click.option("--severity", type=click.Choice(["page", "ticket"]), help="Only those of it."),
    click.option("--limit", help="Alerts, at most.  [default: 1000]"),
)


def _chosen(function: Any) -> Any:
    for option in reversed(_CHOSEN):
        function = option(function)
    return function


@options.command(
    "Alerts that fire, are pending or were resolved.",
    "tailmetrics alerts list",
    "tailmetrics alerts list --state firing --severity page",
    "tailmetrics alerts list --customer cust_1 --json",
)
@_chosen
@options.shared("env_file", "store_url", *options.API, "json")
@options.with_settings
def current(settings: Settings, *, as_json: bool, **asked: Any) -> None:
    """Alerts that fire, then those that are pending, then those resolved within the last hour."""
    from tailmetrics.cli.documents import Alerts
    from tailmetrics.cli.objectives.alert_tables import print_alerts

    show_answer(settings, Alerts, asked, print_alerts, as_json=as_json, as_csv=False)


@options.command(
    "When alerts began to fire and were resolved.",
    "tailmetrics alerts history",
    "tailmetrics alerts history --customer cust_1 --limit 20",
)
@_chosen
@options.shared("env_file", "store_url", *options.API, "json")
@options.with_settings
def history(settings: Settings, *, as_json: bool, **asked: Any) -> None:
    """The last thousand changes, the latest first: alerts as they were when they began to fire or ended."""
    from tailmetrics.cli.documents import AlertHistory
    from tailmetrics.cli.objectives.alert_tables import print_history

    show_answer(settings, AlertHistory, asked, print_history, as_json=as_json, as_csv=False)


@click.group(
    commands={"list": current, "history": history, "replay": replay.replay, "test": receivers.test},
    invoke_without_command=True,
    short_help="Alerts, and who is told of them.",
    epilog=options.epilog_of(
        "tailmetrics alerts",
        "tailmetrics alerts history --customer cust_1",
        "tailmetrics alerts replay --from=-7d",
        "tailmetrics alerts test",
    ),
)
@click.pass_context
def alerts(context: click.Context) -> None:
    """Alerts by the rules of the file of OBJECTIVES, and the notifications of them.

    Without a command those of now, as `tailmetrics alerts list` shows them.
    """
    if context.invoked_subcommand is None:
        with current.make_context("alerts", [], parent=context) as below:
            current.invoke(below)
