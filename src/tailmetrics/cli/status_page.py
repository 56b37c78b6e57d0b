"""The command that makes, lists and revokes status pages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import escaped

if TYPE_CHECKING:
    from tailmetrics.settings import Settings


@options.command(
    "Make, list or revoke read-only pages of one customer's status.",
    "tailmetrics status-page create cust_1",
    "tailmetrics status-page create cust_1 --failures 5xx --tz Europe/Berlin",
    "tailmetrics status-page list",
    "tailmetrics status-page revoke 5f0c1a2b",
    exits=(Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION),
)
@click.argument("action", type=click.Choice(["create", "list", "revoke"]))
@click.argument("subject", metavar="[CUSTOMER|ID]", required=False)
@options.shared("failures", "tz", "env_file", "store_url", *options.API)
@options.with_settings
def status_page(
    settings: Settings, *, action: str, subject: str | None, failures: str | None, tz: str | None
) -> None:
    """Pages that show one customer's uptime and objectives, and nothing else, without a key.

    Whoever has the address has the page, so it is told once, when it is made: only a hash of it is kept.
    A revoked address is as one that never was. There are no such pages until somebody makes one.
    """
    from tailmetrics.client.transport import connect, refusal

    if (subject is None) != (action == "list"):
        expected = {"create": "a customer", "list": "nothing", "revoke": "an id, as `list` shows it"}[action]
        raise click.UsageError(f"{action}: found {subject or 'nothing'} behind it, expected {expected}.")
    asked = {"customer": subject, "failures": failures, "tz": tz}
    body = {name: value for name, value in asked.items() if value is not None}
    store_first = options.option_value("store_url") is not None
    with contextlib.closing(connect(settings, store_first=store_first)) as transport:
        if action == "create":
            response = transport.change("POST", "/status-pages", body)
        elif action == "revoke":
            response = transport.change("DELETE", f"/status-pages/{subject}")
        else:
            response = transport.get("/status-pages", {})
        if not response.is_success:
            raise refusal(response)
        answer = response.json()
        if action == "create":
            click.echo(f"{_address(transport.origin)}{answer['path']}")
        elif action == "revoke":
            click.echo(f"revoked {answer['id']}, the page of {escaped(answer['customer_id'])}")
        else:
            for page in answer["status_pages"]:
                created = f"{page['created_at'][:10]}  {page['failures']:<7}  {page['tz']}"
                click.echo(f"{page['id']}  {created}  {escaped(page['customer_id'])}")


def _address(origin: str) -> str:
    """That of the service; of a store only the path is known."""
    return origin.rstrip("/") if origin.startswith("http") else ""
