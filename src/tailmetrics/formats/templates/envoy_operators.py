"""Templates from Envoy's own words, the format string of an access log and its command operators.

The operators and what they hold are told on the pages "Access logging" (Format Rules, Format Strings) and
"Substitution Formatter" of Envoy's documentation.
"""

from __future__ import annotations

import re

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.parts import best_of, template_of, unknown, with_client, without_quotes
from tailmetrics.formats.templates.template import Field, Kind, Literal, Part, Role, Template
from tailmetrics.formats.timestamps import UTC

_FIELDS = {
    "PROTOCOL": (Kind.WORD, Role.PROTOCOL, ""),
    "RESPONSE_CODE": (Kind.WORD, Role.STATUS, ""),
    "DURATION": (Kind.WORD, Role.DURATION, "ms"),
    "DOWNSTREAM_REMOTE_ADDRESS": (Kind.WORD, Role.ADDRESS, ""),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": (Kind.WORD, Role.ADDRESS, ""),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": (Kind.WORD, Role.ADDRESS, ""),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": (Kind.WORD, Role.ADDRESS, ""),
}
# Names, with spaces between them.
_WORDS = (
    "ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT COMMON_DURATION CONNECTION_ID "
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT "
    "DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS "
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT "
    "DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION "
    "DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS "
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_PORT "
    "DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_SERIAL "
    "DOWNSTREAM_REMOTE_PORT DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION "
    "DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT GRPC_STATUS_NUMBER HOSTNAME "
    "PACKETS_RETRANSMITTED REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_DURATION "
    "RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES "
    "RESPONSE_TX_DURATION ROUNDTRIP_DURATION STREAM_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID "
    "UNIQUE_ID UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_POOL_READY_DURATION "
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT "
    "UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOST_NAME "
    "UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT "
    "UPSTREAM_LOCAL_PORT UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID "
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT "
    "UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_WIRE_BYTES_RECEIVED "
    "UPSTREAM_WIRE_BYTES_SENT"
)
_TEXTS = (
    "CEL CLUSTER_METADATA COALESCE CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS "
    "DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN "
    "DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_SUBJECT "
    "DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START "
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 "
    "DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN "
    "DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_SUBJECT "
    "DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_TRANSPORT_FAILURE_REASON DYNAMIC_METADATA ENVIRONMENT "
    "FILTER_CHAIN_NAME FILTER_STATE GRPC_STATUS LOCAL_REPLY_BODY METADATA QUERY_PARAM "
    "REQUESTED_SERVER_NAME RESP RESPONSE_CODE_DETAILS RESPONSE_HEADER RESPONSE_TRAILER ROUTE_NAME TRAILER "
    "TYPED_CEL UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_FILTER_STATE UPSTREAM_LOCAL_DNS_SAN "
    "UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_URI_SAN UPSTREAM_METADATA UPSTREAM_PEER_CERT "
    "UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN "
    "UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_TRANSPORT_FAILURE_REASON "
    "VIRTUAL_CLUSTER_NAME"
)
_OBJECTS = (
    *("CEL", "TYPED_CEL", "LOCAL_REPLY_BODY", "FILTER_STATE", "UPSTREAM_FILTER_STATE"),
    *("METADATA", "DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA"),
)
_TIMES = ("START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL")
_REQUESTS = ("REQ", "REQUEST_HEADER", "REQ_WITHOUT_QUERY")
# Headers of requests, in small letters.
_HEADERS = {
    ":method": (Kind.WORD, Role.METHOD),
    ":path": (Kind.TEXT, Role.TARGET),
    "x-envoy-original-path": (Kind.TEXT, Role.TARGET),
    ":authority": (Kind.TEXT, Role.HOST),
    "host": (Kind.TEXT, Role.HOST),
    "x-envoy-original-host": (Kind.TEXT, Role.HOST),
    "user-agent": (Kind.TEXT, Role.AGENT),
    "x-forwarded-for": (Kind.LIST, None),
    "x-envoy-external-address": (Kind.WORD, Role.ADDRESS),
    "x-real-ip": (Kind.WORD, Role.ADDRESS),
}
_WHOLE_REQUEST = re.compile(r"DS_RX_BEG:DS_TX_END:([mun]s)")
_OPERATOR = re.compile(r"%([A-Z0-9_]+)(?:\((.*?)\))?(?::[0-9]+)?%")
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*')
_ESCAPE = re.compile(r'\\(["\\t])')
_LINE_END = re.compile(r"(?:\\r|\r)?(?:\\n|\n)\s*\Z")
_EPOCH = {"%s%3f": "ms", "%s%6f": "us", "%s%9f": "ns"}
_EPOCH_IN_SECONDS = re.compile(r"%s(?:\.%[1-9]?f)?")
_FRACTION = re.compile(r"(\.?)%([1-9]?)f")
_DIGITS = ("3", "6", "9")


def from_envoy(text: str) -> Template:
    """The template of a format string, as it is in the configuration, in quotes or without them.

    Raises FormatError when an operator is unknown, or a time is written in a way that cannot be read.
    """
    quoted = _QUOTED.fullmatch(text)
    rest = _LINE_END.sub("", quoted[1] if quoted else text)
    rest = _ESCAPE.sub(lambda escape: "\t" if escape[1] == "t" else escape[1], rest)
    parts: list[Part] = []
    at = 0
    while (percent := rest.find("%", at)) >= 0:
        parts.append(Literal(rest[at:percent]))
        found = _OPERATOR.match(rest, percent)
        if rest.startswith("%%", percent):
            parts.append(Literal("%"))
        elif found:
            parts.append(_field(found[1], found[2], percent + 1))
        else:
            raise _unknown(rest[percent:].split()[0], percent + 1)
        at = found.end() if found else percent + 2
    parts.append(Literal(rest[at:]))
    told = with_client(best_of(parts, Role.TIMESTAMP, ("START_TIME", "EMIT_TIME")))
    timestamp = next((each for each in told if isinstance(each, Field) and each.role is Role.TIMESTAMP), None)
    is_local = timestamp is not None and timestamp.name.partition("(")[0].endswith("_LOCAL")
    return template_of(
        without_quotes(told, _may_have_quotes, everywhere=True), escapes=False, zone="" if is_local else UTC
    )


def _may_have_quotes(field: Field) -> bool:
    """Whether a field is what clients may write as they please, or may be an object of JSON."""
    operator, _, argument = field.name.partition("(")
    is_referer = operator in _REQUESTS and argument.lower() == "referer)"
    return field.role in (Role.TARGET, Role.PATH, Role.AGENT) or is_referer or operator in _OBJECTS


def _field(name: str, argument: str | None, column: int) -> Field:
    whole = name if argument is None else f"{name}({argument})"
    if name in _TIMES:
        return _time(whole, argument or "", column)
    if name in _REQUESTS and argument:
        return _header(whole, name, argument)
    if name == "PATH":
        is_path = (argument or "").partition(":")[0] == "NQ"
        return Field(whole, Kind.TEXT, Role.PATH if is_path else Role.TARGET)
    if name == "COMMON_DURATION" and (unit := _WHOLE_REQUEST.fullmatch(argument or "")):
        return Field(whole, Kind.WORD, Role.DURATION, unit[1])
    if name == "REQUESTED_SERVER_NAME" and (argument or "").startswith(("SNI_FIRST", "HOST_FIRST")):
        return Field(whole, Kind.TEXT, Role.HOST)
    if name in _FIELDS:
        return Field(whole, *_FIELDS[name])
    if name in _WORDS.split():
        return Field(whole, Kind.WORD)
    if name in _TEXTS.split():
        return Field(whole, Kind.TEXT)
    raise _unknown(f"%{whole}%", column)


def _header(whole: str, operator: str, argument: str) -> Field:
    """By the header, or the one that is taken where it is not there."""
    for header in argument.lower().split("?"):
        if header in _HEADERS:
            kind, role = _HEADERS[header]
            is_path = role is Role.TARGET and operator == "REQ_WITHOUT_QUERY"
            return Field(whole, kind, Role.PATH if is_path else role)
    return Field(whole, Kind.TEXT)


def _time(whole: str, shape: str, column: int) -> Field:
    if not shape or _EPOCH_IN_SECONDS.fullmatch(shape):
        return Field(whole, Kind.WORD, Role.TIMESTAMP, "s" if shape else "")
    shape = re.sub(r"(?<!\.)%f", "%9f", shape)
    if shape in _EPOCH:
        return Field(whole, Kind.WORD, Role.TIMESTAMP, _EPOCH[shape])
    for fraction in _FRACTION.finditer(shape):
        if not fraction[1] and fraction[2] not in _DIGITS:
            raise FormatError(
                f"access log format: found {fraction[0]} in %{whole}% at column {column}, expected %3f, %6f, "
                "%9f, or a point before it"
            )
    shape = _FRACTION.sub(lambda fraction: ".%f" if fraction[1] else fraction[0], shape)
    return Field(whole, Kind.STRFTIME, Role.TIMESTAMP, shape)


def _unknown(found: str, column: int) -> FormatError:
    names = sorted([*_FIELDS, *" ".join((_WORDS, _TEXTS)).split(), *_TIMES, *_REQUESTS, "PATH"])
    said = unknown(found, found.strip("%").partition("(")[0], column, names, form="%{}%")
    return FormatError(f"access log format: {said}, and %% for %")
