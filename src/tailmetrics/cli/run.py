"""The commands that run until a signal: up, ingest, ship and serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options

if TYPE_CHECKING:
    from tailmetrics.settings import Settings


@options.command(
    "Follow the logs and answer questions, in one process.",
    "tailmetrics up",
    "tailmetrics up --log-file-path '/var/log/shop/*.log' --store-url duckdb:////var/lib/shop.duckdb",
    "tail -F /var/log/shop.log | tailmetrics up --log-file-path -",
    "tailmetrics up --log-format nginx --log-file-path /var/log/nginx/access.log --port 8080",
)
@click.option("--open", "open_page", is_flag=True, help="Open the dashboard in the browser.")
@options.shared("env_file", *options.FOLLOWING, *options.API, "logging_level", "parent_pid")
@options.with_settings
def up(settings: Settings, *, open_page: bool) -> None:
    """Follow the logs and answer questions, in one process, until Ctrl-C.

    All that is needed on one machine: the dataflow, the dashboard, the API with its documentation at /docs,
    and a DuckDB file that holds the records.
    """
    from tailmetrics import service
    from tailmetrics.client.service_address import ServiceAddress

    page = ServiceAddress(settings.api_host, settings.api_port).url if open_page else None
    sys.exit(service.run_up(settings, page))


@options.command(
    "Follow the logs only.",
    "tailmetrics ingest --store-url postgresql://user:password@db.example/shop",
    "tailmetrics ingest --log-file-path '/var/log/shop/*.log' --port 9465",
    "tailmetrics ingest --processes 4",
)
@click.option("--share", type=int, hidden=True)  # as --processes starts each of them
@options.shared("env_file", *options.FOLLOWING, "processes", "metrics_host", "metrics_port", "logging_level")
@options.shared("parent_pid")
@options.with_settings
def ingest(settings: Settings, *, share: int | None) -> None:
    """Follow the logs only, until Ctrl-C; the store must be a server, or an SQLite file.

    A DuckDB file can be opened by one process, so `tailmetrics up` is the command for it. Several of these
    may share a store, each with a NODE_ID of its own. On one machine --processes does that: each follows its
    share of the logs, and is started again when it dies.
    """
    if share is None and settings.processes > 1:
        from tailmetrics.ingest import processes

        sys.exit(processes.run(settings, [sys.executable, "-m", "tailmetrics", *sys.argv[1:]]))
    from tailmetrics import service

    sys.exit(service.run_ingest(settings, share))


@options.command(
    "Follow the logs and send their lines to Kafka.",
    "tailmetrics ship --to kafka://broker1:9092,broker2:9092/logs",
    "tailmetrics ship --log-file-path '/var/log/shop/*.log' --to 'kafka://user:password@broker1/logs?tls=true'",
)
@options.shared("env_file")
@options.setting("ship_to", "Topic to send to: kafka://USER:PASSWORD@HOST:9092/TOPIC.", "--to")
@options.shared(*(name for name in options.FOLLOWING if name != "store_url"))
@options.setting("ship_store_url", "Where positions are kept.", "--store-url")
@options.shared("metrics_host", "metrics_port", "logging_level", "parent_pid")
@options.with_settings
def ship(settings: Settings) -> None:
    """Follow the logs and send their lines to a topic of Kafka, as they are, until Ctrl-C.

    How far each file was sent is kept in a store of its own, once the brokers have the lines. What was on its
    way when the process was killed is sent again, with the same source and offset in its headers, and
    counts once where `tailmetrics ingest` or `up` reads the topic.
    """
    from tailmetrics import service

    sys.exit(service.run_ship(settings))


@options.command("Answer questions only.", "tailmetrics serve --host 0.0.0.0 --port 8000")
@options.shared("env_file", "store_url", *options.API, "logging_level", "parent_pid")
@options.with_settings
def serve(settings: Settings) -> None:
    """Answer questions only, until Ctrl-C; the store must be a server, or an SQLite file.

    A DuckDB file can be opened by one process, so `tailmetrics up` is the command for it.
    """
    from tailmetrics import service

    sys.exit(service.run_serve(settings))
