"""Logs as Polars frames, read without a store."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from tailmetrics.errors import LoadError, UndecidedFormat
from tailmetrics.formats import open_format
from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import LongLine, Source, derive_source_id
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.identity import checkpoint_of
from tailmetrics.tailing.log_file import open_finished
from tailmetrics.telemetry.log import configure_events


def read_log(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  # as the setting is called
    tz: str | None = None,
    customer: str | None = None,
    duration_unit: str | None = None,
    regex: str | None = None,
) -> pl.DataFrame:
    """The requests of a log, one row each, in the order of its lines; nothing is kept.

    Columns: `timestamp` (UTC, microseconds), `customer_id`, `path`, `status_code` (0: no answer), `duration`
    (seconds, null where it is unknown) and `offset`, the byte at which the line begins. Files compressed by
    gzip, xz, bzip2 or zstd are read as what they hold.

    The parameters are the settings LOG_FORMAT ("auto" finds it by the first lines), LOG_TIMEZONE,
    LOG_CUSTOMER, LOG_DURATION_UNIT and LOG_REGEX; those left out, and the other LOG_ settings, are as
    .env.local and the environment have them. Lines that could not be read are rows of `read_rejects`; where
    they are more than the requests, a UserWarning says so.

    Raises LoadError when the file cannot be read, UndecidedFormat, which is one, when its lines do not tell
    the format, SettingsError or FormatError when a parameter is wrong.
    """
    settings = _settings(format, tz, customer, duration_unit, regex)
    parsed = list(_parsed(Path(path), settings))
    rejects = [each.rejects for each in parsed if each.rejects.height]
    records = pl.concat([no_records(), *(each.records for each in parsed)])
    found = sum(each.height for each in rejects)
    if found > records.height:
        lines = f"{found:,} of {found + records.height:,} lines of {path} could not be read"
        warnings.warn(
            f"{lines}, the first one as {rejects[0]['reason'][0]}; tailmetrics.read_rejects has them all",
            stacklevel=2,
        )
    return records.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def read_rejects(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  # as the setting is called
    tz: str | None = None,
    customer: str | None = None,
    duration_unit: str | None = None,
    regex: str | None = None,
) -> pl.DataFrame:
    """The lines of a log that could not be read, one row each, in their order; all else is as for `read_log`.

    Columns: `offset` (byte at which the line begins), `reason` (the field, what was found, what was expected)
    and `line`.
    """
    settings = _settings(format, tz, customer, duration_unit, regex)
    return pl.concat([no_rejects(), *(each.rejects for each in _parsed(Path(path), settings))])


def _settings(
    log_format: str | None, tz: str | None, customer: str | None, duration_unit: str | None, regex: str | None
) -> Settings:
    settings = load_settings(
        log_format=log_format,
        log_timezone=tz,
        log_customer=customer,
        log_duration_unit=duration_unit,
        log_regex=regex,
    )
    configure_events(settings.model_copy(update={"logging_level": "WARNING"}))
    return settings


def _parsed(path: Path, settings: Settings) -> Iterator[ParsedLines]:
    """The lines of a log, as a load reads them."""
    try:
        with contextlib.closing(open_finished(str(path))) as file:
            start = checkpoint_of(0, b"", b"")
            source_id = derive_source_id("", *file.key, 0, start.head_hash)
            follower = Follower(
                Source(source_id, "", *file.key, 0, str(path.absolute()), start),
                file,
                settings.tailing_options,
                str(path.absolute()),
                settings.format_options(),
                registered=True,
                finite=True,
            )
            follower.refresh()
            while follower.unread_bytes:
                chunk = follower.read() or follower.read(final=True)
                if chunk is None:  # it became shorter meanwhile
                    return
                read = open_format(chunk.log_format).of_source(chunk.path, chunk.written_ns, chunk.header)
                parse = read.parse_too_long if isinstance(chunk, LongLine) else read.parse
                yield parse(chunk.data, chunk.offset)
    except UndecidedFormat as error:
        raise UndecidedFormat(f"{path}: {error}; or here: format=NAME") from error
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
