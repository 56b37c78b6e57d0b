"""The program `tailmetrics`: the group of all commands."""

from __future__ import annotations

import click

from tailmetrics import __version__
from tailmetrics.cli import ask, backup, copy, detect, load, run, schema, status_page, write
from tailmetrics.cli.export import command as export
from tailmetrics.cli.objectives import alerts, silence
from tailmetrics.cli.objectives import command as objectives


@click.group(
    commands=[
        *(run.up, run.ingest, run.ship, run.serve),
        *(write.generate, write.publish, load.load, detect.detect),
        *(backup.backup, backup.restore, copy.copy, schema.schema, export.export),
        *(ask.stats, ask.customers, ask.breakdown, ask.requests, ask.rejects),
        *(objectives.objectives, alerts.alerts, silence.silence, status_page.status_page),
        *(ask.report, ask.status, ask.top, ask.check),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from .env.local, then the environment, then options. Each command has a --help "
    "with examples.",
)
@click.version_option(__version__, prog_name="tailmetrics", message="%(prog)s %(version)s")
def main() -> None:
    """Live statistics per customer from growing log files, each line counted exactly once."""
