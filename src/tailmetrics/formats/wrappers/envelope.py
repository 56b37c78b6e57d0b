"""Objects in which shippers send a line: its text as `message` or `log`, and beside it where it is from.

Filebeat: https://www.elastic.co/docs/reference/beats/filebeat/exported-fields-beat-common and -log. Fluent
Bit: https://docs.fluentbit.io/manual/data-pipeline/outputs/kafka. Vector:
https://vector.dev/docs/reference/configuration/sources/file/. rsyslog: a template of its own, as with
option.jsonf or `list { property(... format="jsonf") }`. Docker's driver `fluentd`, as FireLens has it:
https://docs.docker.com/engine/logging/drivers/fluentd/. Google Cloud:
https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry. Loki:
https://grafana.com/docs/loki/latest/query/logcli/ (jsonl). GELF: https://go2docs.graylog.org/current/getting_in_log_data/gelf.html.
Splunk: https://docs.docker.com/engine/logging/drivers/splunk/.
CloudWatch: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import polars as pl

from tailmetrics.formats.json.keys import read_objects
from tailmetrics.formats.lines import lines_of
from tailmetrics.formats.wrappers.wrapper import (
    GOES_ON,
    INNER,
    PROBLEM,
    STREAM,
    TIME,
    UNWRAPPED_SCHEMA,
    Wrapper,
)

NAME: Final = "envelope"
_PREFIX: Final = f"{NAME}:"
_TEXTS = (
    "message",
    "log",
    "msg",
    "line",
    "textPayload",
    "short_message",
    "jsonPayload.message",
    "event",
    "event.line",
)
_TIMES = ("@timestamp", "timestamp", "date", "time", "timereported", "ts")
# What only those say who carry lines of others; the dots go into objects.
_HOSTS = ("host", "host.name", "host.hostname", "hostname", "kubernetes.host", "agent.hostname")
_FILES = ("file", "file.path", "log.file.path", "filename", "path", "$!.metadata.filename")
_MARKS = (
    *("host", "hostname", "agent", "kubernetes", "file", "filename", "source_type", "@timestamp", "date"),
    *("timestamp", "time", "ts", "container_id", "labels", "logName", "ingestionTime"),
)

_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def unwrap(text: pl.Series) -> pl.DataFrame:
    objects = _objects(text)
    nothing = pl.repeat(None, len(text), dtype=pl.String(), eager=True)
    inner = pl.Series([_text_of(each) for each in objects], dtype=pl.String())
    return pl.DataFrame(
        {
            INNER: inner.str.strip_suffix("\n"),
            PROBLEM: nothing,
            STREAM: nothing,
            GOES_ON: pl.repeat(value=False, n=len(text), eager=True),
            TIME: pl.Series([_first(each, _TIMES) for each in objects], dtype=pl.String()),
        },
        schema=UNWRAPPED_SCHEMA,
    )


def told(text: pl.Series, names: Sequence[str]) -> pl.DataFrame:
    """The fields that begin with `envelope:`: host, file, or any key, with dots that go into objects."""
    objects = _objects(text)
    columns = {}
    for name in names:
        if name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX)
            keys = {"host": _HOSTS, "file": _FILES}.get(key, (key,))
            columns[name] = [_first(each, keys) for each in objects]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def _objects(text: pl.Series) -> list[dict[str, Any]]:
    objects, _ = read_objects(_decoder, lines_of(text), {})
    return objects


def _text_of(found: dict[str, Any]) -> str | None:
    return next((value for key in _TEXTS if isinstance(value := _under(found, key), str)), None)


def _under(found: dict[str, Any], key: str) -> Any:
    value: Any = found.get(key)
    if value is None and "." in key:
        value = found
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _first(found: dict[str, Any], keys: Sequence[str]) -> str | None:
    """The first value under the keys that is text or a number."""
    for key in keys:
        value = _under(found, key)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _wraps(line: str) -> bool:
    if not line.startswith("{") or not any(f'"{key.rpartition(".")[2]}"' in line for key in _TEXTS):
        return False
    [found] = _objects(pl.Series([line]))
    return _text_of(found) is not None and (len(found) == 1 or any(key in found for key in _MARKS))


ENVELOPE: Final = Wrapper(
    name=NAME,
    expected="an object with the line as message or log, as Filebeat, Fluent Bit, Vector and rsyslog send it",
    wraps=_wraps,
    unwrap=unwrap,
    told=told,
)
