"""The file of LOG_SOURCES: a table for each source, with what differs from the settings."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator, model_validator
from typing_extensions import Self

from tailmetrics.errors import SettingsError
from tailmetrics.settings.names import NGINX, REGEX, canonical_format, format_and_pattern, inner_format
from tailmetrics.settings.toml import read_toml, sentence_of, unknown_key
from tailmetrics.settings.values import CommaSeparated, DurationUnit, TimeZone, is_queue
from tailmetrics.urls import parse_queue

SETTING: Final = "LOG_SOURCES"
_TABLE = "source"
_PATHS = "a path, a glob or the URL of a queue or topic, or a list of them"


def _patterns(value: Any) -> Any:
    patterns = [value] if isinstance(value, str) else value
    is_list = isinstance(patterns, list) and patterns
    if not is_list or not all(isinstance(pattern, str) and pattern.strip() for pattern in patterns):
        raise ValueError(_PATHS)
    return tuple(patterns)


def _without_format(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The paths, none of which is an entry as of LOG_FILE_PATH; a file that is called so is ./NAME."""
    for pattern in patterns:
        name, path = format_and_pattern(pattern)
        if name:
            raise ValueError(f"path = {path!r} with format = {name!r}")
    return patterns


def _queues_can_be_read(patterns: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for pattern in filter(is_queue, patterns):
            parse_queue(pattern, "path")
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return patterns


def _field_map(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    entries = [f"{column}={'|'.join(_keys(keys))}" for column, keys in value.items()]
    return ",".join(entries)


def _keys(keys: Any) -> list[str]:
    """The keys of a column; a separator of the map cannot be part of one."""
    choices = [keys] if isinstance(keys, str) else keys
    if not isinstance(choices, list) or not all(isinstance(key, str) and "," not in key for key in choices):
        raise ValueError("a key without a comma for each column")
    return choices


class SourceTable(BaseModel):
    """A table [[source]]: where logs are, and how their lines are; what is None comes from the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[
        tuple[str, ...],
        BeforeValidator(_patterns),
        AfterValidator(_queues_can_be_read),
        AfterValidator(_without_format),
    ]
    format: Annotated[str, AfterValidator(canonical_format)] | None = None
    pattern: str | None = Field(default=None, min_length=1)
    json_fields: Annotated[str | None, BeforeValidator(_field_map)] = None
    timestamp_format: str | None = None
    timezone: TimeZone | None = None
    duration_unit: DurationUnit | None = None
    customer: CommaSeparated | None = None
    exclude: CommaSeparated | None = None
    keep_query: bool | None = None
    path_patterns: CommaSeparated | None = None

    @model_validator(mode="after")
    def _pattern_has_its_format(self) -> Self:
        if self.pattern is not None and inner_format(self.format_name or "") not in {REGEX, NGINX}:
            raise ValueError(f"pattern: found it with format {self.format!r}, expected {REGEX} or {NGINX}")
        return self

    @property
    def format_name(self) -> str | None:
        """The name of the format; a pattern alone is that of `regex`."""
        return REGEX if self.format is None and self.pattern is not None else self.format

    @property
    def options(self) -> dict[str, Any]:
        """What the table says, by the names of FormatOptions, but for the format."""
        of_nginx = inner_format(self.format_name or "") == NGINX
        values = {
            "nginx_regex" if of_nginx else "regex": self.pattern,
            "json_fields": self.json_fields,
            "timestamp_format": self.timestamp_format,
            "zone": self.timezone,
            "duration_unit": self.duration_unit,
            "customer": self.customer,
            "exclude": self.exclude,
            "keep_query": self.keep_query,
            "path_patterns": self.path_patterns,
        }
        return {name: value for name, value in values.items() if value is not None}


def read_sources(file: str) -> tuple[SourceTable, ...]:
    """The tables of a file, in its order. Raises SettingsError with a sentence for each wrong thing."""
    document, _ = read_toml(SETTING, file)
    others = [f"{SETTING}: {file}: {unknown_key(key, [_TABLE])}" for key in document if key != _TABLE]
    tables = document.get(_TABLE)
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        found = f"another {_TABLE!r}" if tables else "none"
        raise SettingsError([*others, f"{SETTING}: {file}: found {found}, expected tables [[{_TABLE}]]"])
    read, problems = [], others
    for number, table in enumerate(tables, 1):
        try:
            read.append(SourceTable.model_validate(table))
        except ValidationError as error:  # noqa: PERF203  # all that is wrong is told at once
            problems += [
                f"{SETTING}: {place(file, number)}: {_sentence(problem)}" for problem in error.errors()
            ]
    if problems:
        raise SettingsError(problems)
    return tuple(read)


def place(file: str, number: int) -> str:
    """How a table of a file is called; the first one is number 1."""
    return f"{file}, {_TABLE} {number}"


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    return sentence_of(problem, key, SourceTable.model_fields, _PATHS)
