"""The command schema: the statements that make a store's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.errors import SettingsError

if TYPE_CHECKING:
    from tailmetrics.settings import Settings


@options.command(
    "Print what makes the tables in ClickHouse.",
    "tailmetrics schema --store-url clickhouse://user:password@host:8123/shop",
    "tailmetrics schema --store-url 'clickhouse://host/shop?cluster=main' | clickhouse-client -d shop -n",
    exits=(Exit.CONFIGURATION,),
)
@options.shared("env_file", "store_url")
@options.with_settings
def schema(settings: Settings) -> None:
    """Print the statements that make the tables of a store in ClickHouse; nothing is asked or changed.

    The service makes its tables itself where it may. These are for servers on which somebody else has to,
    and to be looked at before: with ?cluster=NAME in the URL they are those of a cluster.
    """
    from tailmetrics.stores.clickhouse.address import Address
    from tailmetrics.stores.clickhouse.schema import statements

    if settings.store.scheme != "clickhouse":
        expected = "clickhouse://…, as other stores make their tables themselves"
        raise SettingsError([f"STORE_URL: found {settings.store}, expected {expected}"])
    for statement in statements(Address.of(settings.store).cluster):
        click.echo(f"{statement};\n")
