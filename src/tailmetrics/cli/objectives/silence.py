"""The command silence."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import escaped

if TYPE_CHECKING:
    from tailmetrics.settings import Settings


@options.command(
    "Tell nobody of some alerts for a while.",
    "tailmetrics silence 'shop-*' --for 2h --reason 'the provider mends it'",
    "tailmetrics silence --rule availability --until 2026-12-01T06:00:00Z --reason 'move of the database'",
    "tailmetrics silence",
    "tailmetrics silence --end 5f0c1a2b",
    exits=(Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION),
)
@click.argument("customer", required=False, metavar="[CUSTOMER]")
@click.option("--rule", help="Objectives, or rules: one, or many with *.  [default: all]")
@click.option("--for", "for", help="For how long: a number with s, m, h or d.")
@click.option("--until", help="Until when: RFC 3339 with its offset.")
@click.option("--reason", help="Why; whoever sees the alert sees it.")
@click.option("--by", "created_by", help="Who asks for it.  [default: the name of the API key]")
@click.option("--end", "ended", metavar="ID", help="End this silence.")
@options.shared("env_file", "store_url", *options.API, "json")
@options.with_settings
def silence(settings: Settings, *, ended: str | None, as_json: bool, **asked: Any) -> None:
    """Silence alerts about CUSTOMER: an id, or many with *; without one about all, sources included.

    They are evaluated and shown all the same, and those that still fire at its end are sent then. Without
    --reason, --for and --until all silences that have not ended are listed.
    """
    from urllib.parse import quote

    from tailmetrics.cli.client import Client
    from tailmetrics.cli.documents import Silence, Silences
    from tailmetrics.cli.objectives.alert_tables import print_silences, silence_text

    content = options.given(asked)
    if ended is not None and content:
        raise click.UsageError("--end: found other options beside it, expected it alone.")
    if content and not content.keys() & {"for", "until"}:
        raise click.UsageError("--for: found none, expected a length such as 2h, or --until.")
    if content and "reason" not in content:
        raise click.UsageError("--reason: found none, expected why nobody is to be told.")
    client = Client(settings, store_first=options.option_value("store_url") is not None)
    with client.session() as session:
        if not content and ended is None:
            listed = session.ask(Silences, {})
            options.print_json(listed.json) if as_json else print_silences(listed)
            return
        if ended is None:
            answer = session.change(Silence, "POST", Silence.path, content)
        else:
            answer = session.change(Silence, "DELETE", f"{Silence.path}/{quote(ended, safe='')}")
    if as_json:
        options.print_json(answer.json)
        sys.exit(Exit.DONE)
    told = "ended" if ended is not None else f"until {answer.document.until}"
    click.echo(f"{escaped(silence_text(answer.document))} {told}; from {answer.origin}")
