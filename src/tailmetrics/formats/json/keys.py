"""Which keys of an object hold which column, and the values under these keys as they are written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from tailmetrics.errors import FormatError
from tailmetrics.formats.customers import is_forwarded, is_host
from tailmetrics.formats.json.names import Naming, written_names
from tailmetrics.formats.lines import Lines
from tailmetrics.formats.units import unit_of

SETTING: Final = "LOG_JSON_FIELDS"
NULL: Final = msgspec.Raw(b"null")  # what a key that is not there has, too
_MISSING: Final = frozenset((b"null", b'""', b'"-"'))
# Of a time also 0, which is an unknown one by OpenTelemetry (Logs Data Model) and as texts are written of it.
_NO_TIME = re.compile(rb'null|"-?"|0|"0"|"(?:0001|1970)-01-01T00:00:00(?:\.0+)?(?:Z|[+-]00:00)"')
_NUMBER = re.compile(rb'"?([0-9.][0-9.eE+-]*)"?')
_NO_NAMES: Final = ("timestamp", "path", "status_code", "duration")  # columns that tell no customer
_OPEN, _CLOSE = b"{"[0], b"}"[0]
_NOT_IN_KEYS = frozenset('"\\') | {chr(code) for code in range(32)}

Object = TypeVar("Object")
# The keys from the outermost object on to a value.
Route = tuple[str, ...]
Getter = Callable[[list[Any]], list[msgspec.Raw]]


@dataclass(frozen=True)
class JsonFields:
    """Column to keys in order of preference; a dot in a key goes into an object, else is part of the key.

    A column has the first value that is neither null nor empty nor `-`, and the time the first that is not 0
    either; else the first that is not null. The unit of a duration is that which the name of its key tells.
    Keys in `hosts` tell hosts, whatever they are called. Raises FormatError where one key is to hold
    a value and an object.
    """

    keys: Mapping[str, tuple[str, ...]]
    hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for key in (key for keys in self.keys.values() for key in keys):
            if not all(key.split(".")) or not _NOT_IN_KEYS.isdisjoint(key):
                raise FormatError(
                    f"{SETTING}: found {key!r}, expected a key without quotes, backslashes and control "
                    "characters, with a name on each side of a dot"
                )
        _tree(self)

    def routes(self, column: str) -> list[Route]:
        """In order of preference."""
        return routes_of(self.keys[column])

    def unit(self, column: str, route: Route) -> str:
        """The unit of what a route leads to; empty where it is none of its own."""
        return unit_of(route[-1]) if column == "duration" else ""

    def naming(self, column: str, route: Route) -> Naming | None:
        """How what a route leads to tells a customer; None where it is none."""
        if column in _NO_NAMES:
            return None
        return Naming(".".join(route) in self.hosts or is_host(route[-1]), is_forwarded(route[-1]))


def routes_of(keys: Sequence[str]) -> list[Route]:
    """Where the keys lead to: first to a nested value, then to one whose key has the dots itself."""
    found: list[Route] = []
    for key in keys:
        first, _, rest = key.partition(".")
        found.append(tuple(key.split(".")))
        found += [(first, rest)] if "." in rest else []
        found += [(key,)] if rest else []
    return found


def read_map(field_map: str, columns: Sequence[str], optional: Collection[str]) -> JsonFields:
    """Fields by a map as in LOG_JSON_FIELDS: `column=key`, or `column=key|key` in order of preference.

    Raises FormatError when it is no such map, or lacks a column that is not optional.
    """
    keys = choices_of(field_map, columns)
    missing = [name for name in columns if name not in keys and name not in optional]
    if missing:
        raise FormatError(f"{SETTING}: found {field_map!r}, expected a key for {', '.join(missing)} too")
    return JsonFields(keys)


def choices_of(field_map: str, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Column to its keys in order of preference, by a map as in LOG_JSON_FIELDS.

    Raises FormatError when it is no such map.
    """
    keys: dict[str, tuple[str, ...]] = {}
    for entry in field_map.split(","):
        column, separator, path = (part.strip() for part in entry.partition("="))
        choices = tuple(choice.strip() for choice in path.split("|"))
        if not separator or column not in columns or column in keys or not all(choices):
            raise FormatError(
                f"{SETTING}: found {entry.strip()!r}, expected column=key, or column=key|key, each column "
                f"once, columns are {', '.join(columns)}"
            )
        keys[column] = choices
    return keys


def read_objects(
    decoder: msgspec.json.Decoder[Object], lines: Lines, nothing: Object
) -> tuple[list[Object], list[int]]:
    """The objects in lines of UTF-8, and which lines are none: for these it is `nothing`."""
    found: list[Object] = []
    # Only so no object can go on in the next line, as `}` is never followed by `{`.
    if (lines.array[lines.starts] == _OPEN).all() and (lines.array[lines.ends - 1] == _CLOSE).all():
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            found = decoder.decode_lines(lines.data)
    if len(found) == len(lines):
        return found, []
    found, others = [], []
    for place, line in enumerate(lines.data.split(b"\n")[: len(lines)]):
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, RecursionError):  # noqa: PERF203  # each line fails alone
            found.append(nothing)
            others.append(place)
    return found, others


# All kinds are asked of one line, and then of the next.
@lru_cache(maxsize=2)
def object_in(line: str) -> dict[str, Any] | None:
    """The object that a line is; None where it is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Objects:
    """Objects as far as the keys of some fields go."""

    def __init__(self, fields: JsonFields) -> None:
        level = _Level(_tree(fields))
        self._decoder = msgspec.json.Decoder(level.kind)
        self._encoder = msgspec.json.Encoder()
        self._nothing = level.nothing
        self._getters = {
            column: [_getter(level, fields, column, route) for route in fields.routes(column)]
            for column in fields.keys
        }

    def decode(self, lines: Lines) -> tuple[list[Any], list[int]]:
        """The objects in lines of UTF-8, and which lines are none: these have no keys."""
        return read_objects(self._decoder, lines, self._nothing)

    def encode(self, objects: Sequence[Any]) -> bytes:
        """Lines with what is read of the objects alone: keys in one order, values as they are written."""
        return self._encoder.encode_lines(objects)

    def values(self, column: str, objects: list[Any]) -> list[msgspec.Raw]:
        """What each object has for the column, as it is written there; `NULL` where it has nothing."""
        first, *others = self._getters[column]
        values = first(objects)
        if not others:
            return values
        is_missing = _is_no_time if column == "timestamp" else _is_missing
        rest = [place for place, value in enumerate(values) if is_missing(value)]
        if rest:
            further = [get([objects[place] for place in rest]) for get in others]
            for place, *choices in zip(rest, *further, strict=True):
                values[place] = _preferred([values[place], *choices], is_missing)
        return values


def _with_unit(get: Getter, unit: str, objects: list[Any]) -> list[msgspec.Raw]:
    """The values, of which numbers have the unit behind them."""
    behind = unit.encode()
    return [
        msgspec.Raw(b'"%b%b"' % (number[1], behind)) if (number := _NUMBER.fullmatch(value)) else value
        for value in get(objects)
    ]


def _is_missing(value: msgspec.Raw) -> bool:
    return len(value) <= 4 and bytes(value) in _MISSING


def _is_no_time(value: msgspec.Raw) -> bool:
    return _NO_TIME.fullmatch(value) is not None


def _preferred(values: Sequence[msgspec.Raw], is_missing: Callable[[msgspec.Raw], bool]) -> msgspec.Raw:
    good = [value for value in values if not is_missing(value)]
    return next(iter(good + [value for value in values if bytes(value) != b"null"]), NULL)


def _tree(fields: JsonFields) -> dict[str, Any]:
    """The keys that are read of each object: under each a further tree, or None for a value."""
    tree: dict[str, Any] = {}
    for route in (route for column in fields.keys for route in fields.routes(column)):
        inner = tree
        for key in route[:-1]:
            inner = inner.setdefault(key, {})
            if inner is None:
                break
        if inner is None or inner.setdefault(route[-1]) is not None:
            raise FormatError(
                f"{SETTING}: found {'.'.join(route)!r}, expected {route[0]!r} to hold either a value or an "
                "object"
            )
    return tree


class _Level:
    """What is read of an object, and of the objects in it."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._inner = {key: _Level(inner) for key, inner in tree.items() if inner is not None}
        self._names = {key: f"key{place}" for place, key in enumerate(tree)}
        members: list[tuple[str, Any, Any]] = []
        for key, name in self._names.items():
            kind: Any = msgspec.Raw
            default: msgspec.Raw | None = NULL
            if key in self._inner:
                # Where another log has a value instead of an object, nothing is in it.
                kind = self._inner[key].kind | None | str | int | float | bool | list[msgspec.Raw]
                default = None
            members.append((name, kind, msgspec.field(default=default, name=key)))
        self.kind: Any = msgspec.defstruct("Object", members, gc=False, omit_defaults=True)
        self.nothing: Any = self.kind()

    def values(self, route: Route, objects: list[Any]) -> list[msgspec.Raw]:
        """The values at the end of a route, as they are written."""
        found = list(map(attrgetter(self._names[route[0]]), objects))
        if len(route) == 1:
            return found
        level = self._inner[route[0]]
        return level.values(route[1:], [o if type(o) is level.kind else level.nothing for o in found])


def _getter(level: _Level, fields: JsonFields, column: str, route: Route) -> Getter:
    get = partial(level.values, route)
    if naming := fields.naming(column, route):
        return lambda objects: written_names(get(objects), naming)
    unit = fields.unit(column, route)
    return partial(_with_unit, get, unit) if unit else get
