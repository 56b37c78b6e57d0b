"""The commands that write logs: generate to a file, queue or topic, publish to a queue or topic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailmetrics import process
from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import counted, escaped

if TYPE_CHECKING:
    from datetime import datetime

    from tailmetrics.generator import GeneratorOptions, Mode
    from tailmetrics.settings import Settings


@options.command(
    "Write log lines to a file or queue at a steady pace.",
    "tailmetrics generate",
    "tailmetrics generate --file demo.log --batch-size 1000 --interval 0 --max-logs 1000000 --seed 1",
    "tailmetrics generate --file past.log --days 7 --max-logs 50000 --interval 0",
    "tailmetrics generate --file week.log --mode demo --days 7 --batch-size 1",
    "tailmetrics generate --file shuffled.log --mode uniform --max-logs 50000 --interval 0",
    "tailmetrics generate --to 'amqp://user:password@localhost/?queue=logs' --create --interval 3",
    "tailmetrics generate --file test_1700000000.log --log-format results --max-logs 160 --interval 0",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to append to.  [default: the first entry of LOG_FILE_PATH]",
)
@click.option(
    "--to",
    metavar="URL",
    help="Queue that takes each batch of lines as a log, or topic that takes lines, instead of a file. "
    f"{options.QUEUE_URL} or {options.TOPIC_URL}",
)
@options.shared("create")
@options.setting(
    "log_format",
    "Format of the lines; a test of results counts as one line.",
    type=click.Choice(["requests", "results"]),
)
@click.option(
    "--mode",
    type=click.Choice(["realistic", "uniform", "demo"]),
    default="realistic",
    show_default=True,
    help="Realistic: mostly successful requests of more and less active customers. Uniform: every choice "
    "equally likely, timestamps shuffled over the last 30 days. Demo: realistic, more by day than by night, "
    "and some customers differ.",
)
@options.setting("log_batch_size", "Lines appended at once.", "--batch-size", type=int)
@options.setting("log_interval_seconds", "Seconds between two appends.", "--interval", type=float)
@options.setting("max_logs_to_generate", "Lines after which it ends; 0: never.", "--max-logs", type=int)
@click.option(
    "--seed", type=click.IntRange(min=0), help="The same seed gives the same lines, but for the time."
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    help="Timestamps of the last so many days instead of now: rising, or shuffled in the uniform mode. In "
    "the mode demo: what --batch-size and --interval would have written meanwhile, and an incident, at once.",
)
@click.option(
    "--now",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="The time to take for now, in LOG_TIMEZONE; with --seed every byte is the same again.",
)
@options.shared("log_timezone", "env_file", "parent_pid")
@options.with_settings
def generate(
    settings: Settings,
    *,
    file: Path | None,
    to: str | None,
    create: bool,
    mode: Mode,
    seed: int | None,
    days: int | None,
    now: datetime | None,
) -> None:
    """Write log lines to a file or queue at a steady pace, until Ctrl-C or until there are enough.

    A line: 2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316
    """
    from zoneinfo import ZoneInfo

    from tailmetrics import generator
    from tailmetrics.urls import parse_target

    if to is not None and file is not None:
        raise click.UsageError("--file and --to: found both, expected one of them.")
    queue = None if to is None else parse_target(to, "--to")
    if days is not None and mode == "demo" and not settings.log_interval_seconds:
        raise click.UsageError(
            "--days in the mode demo writes what the pace would have: it needs an --interval."
        )
    if days is not None and mode == "realistic" and not settings.max_logs_to_generate:
        raise click.UsageError("--days spreads a number of lines over them, so it needs --max-logs.")
    target = queue or file or generator.generated_file(settings.log_paths)
    read_as = settings.format_options() if queue or file else settings.log_paths[0].log_format
    is_results = read_as.name == "results"
    if days is not None and is_results:
        raise click.UsageError(
            "--days: found it with the format results, whose tests have the time of their log."
        )
    asked = generator.GeneratorOptions(
        target,
        create_queue=create,
        mode=mode,
        batch_size=settings.log_batch_size,
        interval_seconds=settings.log_interval_seconds,
        max_lines=settings.max_logs_to_generate,
        zone=read_as.zone,
        seed=seed,
        days=days,
        format_name="results" if is_results else "requests",
        now=None if now is None else now.replace(tzinfo=ZoneInfo(read_as.zone)),
    )
    _write(asked, "test" if is_results else "line")


def _write(asked: GeneratorOptions, noun: str) -> None:
    from tailmetrics import generator

    process.resume_garbage_collection()
    try:
        with generator.stop_on_signals(_give_up_generating) as wait:
            done = generator.generate(asked, wait)
    except OSError as error:
        options.say(f"{asked.target} cannot be written: {error.strerror}")
        sys.exit(Exit.IO)
    wrote = f"{counted(done.lines, noun)}, {counted(done.size, 'byte')} in {done.seconds:.1f} s"
    verb = "appended" if isinstance(asked.target, Path) else "sent"
    click.echo(f"{wrote} {verb} to {asked.target}", err=True)


def _give_up_generating() -> None:
    options.say("ended while the broker does not answer; it may not have the last log")
    # To close the connection would wait for its answer too.
    os._exit(Exit.UNAVAILABLE)


@options.command(
    "Send logs to a queue or a topic.",
    "tailmetrics publish requests-2024-10.log --to 'amqp://user:password@localhost/?queue=logs' --create",
    "tailmetrics publish test_*.log --to 'amqp://user:password@broker.example/tests?queue=results'",
    "tailmetrics publish requests-2024-10.log.gz --to kafka://broker1:9092,broker2:9092/logs",
    exits=(Exit.NO_INPUT, Exit.UNAVAILABLE, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, metavar="URL", help=f"Where to. {options.QUEUE_URL} or {options.TOPIC_URL}"
)
@options.shared("create")
@click.option(
    "--name-first", is_flag=True, help="Send the log's name as the first line instead of in a header."
)
def publish(files: tuple[Path, ...], to: str, *, create: bool, name_first: bool) -> None:
    """Send finished logs, to a queue of RabbitMQ each as one message, to a topic of Kafka as lines.

    They are there when the command ends well. Compressed files are sent decompressed. A log that is sent
    twice counts twice.
    """
    from tailmetrics.cli import load, publish
    from tailmetrics.urls import KafkaUrl, parse_target

    address = parse_target(to, "--to")
    if name_first and isinstance(address, KafkaUrl):
        raise click.UsageError("--name-first: found it with a topic, where names are in headers.")
    load.check_files(files, "sent", may_be_standard_input=False)
    for file, size in publish.publish(files, address, create=create, name_first=name_first):
        sent = counted(size, "byte") + " sent" if size else "empty, not sent"
        click.echo(f"{escaped(str(file))}: {sent}")
