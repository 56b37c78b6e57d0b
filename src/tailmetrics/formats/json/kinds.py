"""The formats of an object a line, told apart by the keys that their objects have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from tailmetrics.formats.customers import is_told
from tailmetrics.formats.json.keys import JsonFields, object_in, read_map, routes_of
from tailmetrics.formats.json.reading import COLUMNS, MESSAGE, OPTIONAL, JsonFormat
from tailmetrics.formats.json.suggest import duration_called, time_called
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.rules import Rules
from tailmetrics.settings import FormatOptions

NAME: Final = "json"
_NEEDED_AS_MAPPED: Final = (("timestamp", "customer_id"), ("path",), ("status_code",))
# Fewer than logfmt has: each key that is looked for takes a while, of objects that have it not, too.
_DURATIONS: Final = (
    *(
        "duration_ms",
        "durationMs",
        "duration_s",
        "duration_seconds",
        "duration_us",
        "duration_ns",
        "duration",
    ),
    *("latency_ms", "elapsed_ms", "took_ms", "request_time_ms", "response_time_ms"),
    *("latencyMs", "responseTimeMs"),
)
_CALLED: Final = {"timestamp": time_called, "duration": duration_called}
_AGENT_KEYS = ("user_agent", "http_user_agent")

Keys = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class ObjectLog:
    """How a program writes its objects.

    `keys` are those of each field in order of preference; every line has one for each of `needed`, fields of
    which each may stand for another. Where there is a `message`, lines with another under the key `msg` tell
    no request. No line has one of `nowhere_else` under a key that is called so and is none of these.
    `unit` is that of durations; with `asks_whole_unit` that of whole numbers is told by LOG_DURATION_UNIT.
    """

    name: str
    title: str
    example: str
    keys: Keys
    needed: tuple[tuple[str, ...], ...] = (("timestamp",), ("path",), ("status_code",))
    nowhere_else: tuple[str, ...] = ("duration",)
    message: str = ""
    customer: tuple[str, ...] = ("user", "address")
    unit: str | None = None
    asks_whole_unit: bool = False
    _routes: Mapping[str, Sequence[tuple[str, ...]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        routes = {name: routes_of(keys) for name, keys in self.keys.items()}
        object.__setattr__(self, "_routes", routes)

    def claims(self, found: Mapping[str, Any]) -> bool:
        """Whether an object tells a request as this program writes it, whatever its values are."""
        if self.message and found.get("msg") != self.message:
            return False
        return not self.missing(found)

    def missing(self, found: Mapping[str, Any]) -> list[str]:
        """The fields that an object does not have, and that are needed, or are there under another key."""
        needed = [names[0] for names in self.needed if not any(self._has(found, name) for name in names)]
        return needed or [
            name for name in self.nowhere_else if not self._has(found, name) and _CALLED[name](found)
        ]

    def _has(self, found: Mapping[str, Any], name: str) -> bool:
        return any(_is_there(found, route) for route in self._routes.get(name, ()))

    def open(self, options: FormatOptions) -> JsonFormat:
        """The format as the options describe it. Raises FormatError when these cannot be used."""
        names = options.customer or self.customer
        fields = {column: self.keys[column] for column in COLUMNS if column in self.keys}
        if any(name.startswith("/") or is_told(name) for name in names):
            rules = Rules(options, customer=names, unit=self.unit)
            others = {name: self._keys_of(name) for name in rules.fields}
            fields |= {name: keys for name, keys in others.items() if keys}
            fields.setdefault("customer_id", ("customer_id",))
        else:
            # Which key it is under, is told as for any other column.
            rules = Rules(replace(options, customer=()), unit=self.unit)
            choices = dict.fromkeys(key for name in names for key in self._keys_of(name))
            fields["customer_id"] = tuple(choices) or ("customer_id",)
        if rules.paths.needs_agent and (agent := self._keys_of(AGENT)):
            fields[AGENT] = agent
        if self.message:
            fields[MESSAGE] = ("msg",)
        hosts = frozenset(self.keys.get("host", ()))
        whole_unit = options.duration_unit if self.asks_whole_unit else None
        return JsonFormat(JsonFields(fields, hosts), rules, options.max_line_bytes, self.message, whole_unit)

    def _keys_of(self, name: str) -> tuple[str, ...]:
        """None where the log has an object for a value, or a value for an object: other logs are meant."""
        known = [key for keys in self.keys.values() for key in keys]
        is_other = any(key.startswith(f"{name}.") or name.startswith(f"{key}.") for key in known)
        return self.keys.get(name, () if is_other else (name,))


# https://caddyserver.com/docs/caddyfile/directives/log
_CADDY = ObjectLog(
    name="caddy",
    title="Caddy's access logs in JSON",
    example='{"level":"info","ts":1716723772.6014807,"logger":"http.log.access","msg":"handled request",'
    '"request":{"remote_ip":"10.5.1.1","client_ip":"203.0.113.9","method":"GET","host":"shop.example",'
    '"uri":"/cart?item=7"},"user_id":"","duration":0.0123,"size":5,"status":200}',
    keys={
        "timestamp": ("ts",),
        "path": ("request.uri",),
        "status_code": ("status",),
        "duration": ("duration", "latency"),  # latency up to 2.4
        "user": ("user_id",),
        "host": ("request.host",),
        "address": ("request.client_ip", "request.remote_ip", "request.remote_addr"),
        AGENT: ("request.headers.User-Agent",),
    },
    message="handled request",
    customer=("host", "address"),
    unit="s",
    asks_whole_unit=True,  # duration_format of its log encoder: decimals are s, whole numbers ms or ns
)
# https://doc.traefik.io/traefik/observability/access-logs/
_TRAEFIK = ObjectLog(
    name="traefik-json",
    title="Traefik's access logs in JSON",
    example='{"ClientAddr":"203.0.113.9:51206","ClientHost":"203.0.113.9","ClientUsername":"-",'
    '"DownstreamStatus":200,"Duration":12300000,"RequestHost":"shop.example","RequestMethod":"GET",'
    '"RequestPath":"/cart?item=7","StartUTC":"2024-10-01T00:00:01.123456789Z","level":"info","msg":"",'
    '"time":"2024-10-01T00:00:01Z"}',
    keys={
        "timestamp": ("StartUTC", "StartLocal", "time"),
        "path": ("RequestPath",),
        "status_code": ("DownstreamStatus",),
        "duration": ("Duration",),
        "user": ("ClientUsername",),
        "host": ("RequestHost",),
        "address": ("ClientHost",),
        AGENT: ("request_User-Agent",),
    },
    customer=("host", "address"),
    unit="ns",
)
# https://www.elastic.co/docs/reference/ecs/ecs-field-reference, keys nested or with dots.
_ECS = ObjectLog(
    name="ecs",
    title="Elastic Common Schema",
    example='{"@timestamp":"2024-10-01T00:00:01.123Z","log.level":"info","message":"GET /cart",'
    '"client":{"ip":"203.0.113.9"},"http":{"request":{"method":"GET"},"response":{"status_code":200}},'
    '"url":{"path":"/cart","domain":"shop.example"},"event":{"duration":12300000},"ecs.version":"8.11"}',
    keys={
        "timestamp": ("@timestamp",),
        "path": ("url.path", "url.original"),
        "status_code": ("http.response.status_code",),
        # Those of labels and of the response are what programs add.
        "duration": ("event.duration", "labels.duration_ms", "http.response.duration_ms"),
        "user": ("user.name", "user.id"),
        "host": ("url.domain",),
        "address": ("client.ip", "client.address", "source.ip", "source.address"),
        AGENT: ("user_agent.original",),
    },
    unit="ns",
)
# https://opentelemetry.io/docs/specs/otel/logs/data-model/ with the attributes, those of today first, of
# https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and http-metrics/.
_OTEL_KEYS: Final = {
    "path": ("url.path", "http.target", "http.route"),
    "status_code": ("http.response.status_code", "http.status_code"),
    "duration": ("http.server.request.duration", "duration_ms"),
    "user": ("user.id", "enduser.id"),
    "host": ("server.address", "http.host", "net.host.name"),
    "address": ("client.address", "http.client_ip"),
    AGENT: ("user_agent.original", "http.user_agent"),
}
_OTEL = ObjectLog(
    name="otel",
    title="OpenTelemetry's log records, with HTTP attributes",
    example='{"timeUnixNano":"1727740801123456789","severityText":"INFO","body":"GET /cart","attributes":'
    '{"http.request.method":"GET","url.path":"/cart","http.response.status_code":200,"client.address":'
    '"203.0.113.9","server.address":"shop.example","http.server.request.duration":0.0123}}',
    keys={
        "timestamp": (
            *("timeUnixNano", "Timestamp", "timestamp", "time"),
            *("observedTimeUnixNano", "ObservedTimestamp", "observedTimestamp"),
        ),
        **{
            name: tuple(f"{holder}.{key}" for key in keys for holder in ("attributes", "Attributes"))
            for name, keys in _OTEL_KEYS.items()
        },
    },
    unit="s",
)


_JSON = ObjectLog(
    name=NAME,
    title="a JSON object a line, whose keys LOG_JSON_FIELDS names",
    example='{"timestamp": "2024-10-01T00:00:01Z", "customer_id": "cust_40", "path": "/cart", '
    '"status_code": 200, "duration": 0.316}',
    keys={
        AGENT: _AGENT_KEYS,
        **{column: (column,) for column in COLUMNS},
        "duration": _DURATIONS,
    },
    # The time may be that of what a line is wrapped in.
    needed=(("customer_id",), ("path",), ("status_code",)),
    nowhere_else=("timestamp", "duration"),
    customer=("customer_id",),
)
_LOGS: Final = (_CADDY, _TRAEFIK, _ECS, _OTEL, _JSON)


def _described(field_map: str, optional: Sequence[str]) -> ObjectLog:
    """Objects by a map as in LOG_JSON_FIELDS. Raises FormatError when it is no such map."""
    keys = read_map(field_map, COLUMNS, optional).keys
    used = {key.partition(".")[0] for choices in keys.values() for key in choices}
    agent = tuple(key for key in _AGENT_KEYS if key not in used)
    return replace(
        _JSON,
        keys={**({AGENT: agent} if agent else {}), **keys},
        needed=_NEEDED_AS_MAPPED,
        nowhere_else=(),
    )


def described_by(field_map: str) -> Callable[[str], bool]:
    """Whether a line has the keys of a map as in LOG_JSON_FIELDS: of path, status, and time or customer.

    Raises FormatError when it is no such map.
    """
    log = _described(field_map, (*OPTIONAL, "customer_id"))

    def described(line: str) -> bool:
        found = object_in(line)
        return found is not None and log.claims(found)

    return described


def of_customer(names: Sequence[str]) -> Callable[[str], bool]:
    """Whether a line is of `json` where LOG_CUSTOMER names the keys that may tell its customer."""
    choices = ("path" if name.startswith("/") else name for name in names)  # which a part of the path tells
    log = replace(_JSON, keys={**_JSON.keys, "customer_id": ("customer_id", *choices)})

    def claimed(line: str) -> bool:
        found = object_in(line)
        return found is not None and _name_of(line) in (None, NAME) and log.claims(found)

    return claimed


def lacking(line: str) -> list[tuple[str, str]]:
    """Of an object, the formats that lack least of it, each with the first field that is not there."""
    found = object_in(line)
    if found is None:
        return []
    of_logs = [(log.name, log.missing(found)) for log in _LOGS]
    # That whose keys can be named first.
    of_logs.sort(key=lambda each: (each[0] != NAME, len(each[1])))
    return [(name, missing[0]) for name, missing in of_logs if missing]


@lru_cache(maxsize=2)
def _name_of(line: str) -> str | None:
    """The first kind that claims a line."""
    found = object_in(line)
    return next((log.name for log in _LOGS if log.claims(found)), None) if found else None


def _is_there(found: Mapping[str, Any], route: tuple[str, ...]) -> bool:
    value: Any = found
    for key in route:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def _open_described(options: FormatOptions) -> JsonFormat:
    if not options.json_fields:
        return _JSON.open(options)
    optional = (*OPTIONAL, "customer_id") if options.customer else OPTIONAL
    return _described(options.json_fields, optional).open(options)


def _kind(log: ObjectLog) -> Kind:
    return Kind(
        name=log.name,
        title=log.title,
        example=log.example,
        claims=lambda line: _name_of(line) == log.name,
        open=_open_described if log.name == NAME else log.open,
        customer=log.customer,
        unit=log.unit,
        is_object=True,
    )


KINDS: Final = tuple(map(_kind, _LOGS))
