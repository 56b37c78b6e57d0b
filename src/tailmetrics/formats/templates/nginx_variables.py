"""Templates from nginx's own words, `log_format` and its variables.

The variables and what they hold are told on the pages "Module ngx_http_log_module", "Module
ngx_http_core_module" (embedded variables) and "Module ngx_http_upstream_module" of nginx's documentation.
"""

from __future__ import annotations

import re

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.parts import template_of, unknown, with_client
from tailmetrics.formats.templates.template import Field, Kind, Literal, Part, Role, Template

_FIELDS = {
    "time_local": (Kind.TIME, Role.TIMESTAMP, ""),
    "time_iso8601": (Kind.WORD, Role.TIMESTAMP, ""),
    "msec": (Kind.WORD, Role.TIMESTAMP, "s"),
    "remote_addr": (Kind.WORD, Role.ADDRESS, ""),
    "http_x_real_ip": (Kind.WORD, Role.ADDRESS, ""),
    "realip_remote_addr": (Kind.WORD, Role.ADDRESS, ""),
    "proxy_protocol_addr": (Kind.WORD, Role.ADDRESS, ""),
    "http_x_forwarded_for": (Kind.LIST, None, ""),
    "proxy_add_x_forwarded_for": (Kind.LIST, None, ""),
    "remote_user": (Kind.TEXT, Role.USER, ""),
    "host": (Kind.WORD, Role.HOST, ""),
    "http_host": (Kind.WORD, Role.HOST, ""),
    "server_name": (Kind.WORD, Role.HOST, ""),
    "http_user_agent": (Kind.TEXT, Role.AGENT, ""),
    "request": (Kind.TEXT, Role.REQUEST, ""),
    "request_method": (Kind.WORD, Role.METHOD, ""),
    "request_uri": (Kind.WORD, Role.TARGET, ""),
    "uri": (Kind.TEXT, Role.PATH, ""),
    "document_uri": (Kind.TEXT, Role.PATH, ""),
    "is_args": (Kind.WORD, Role.QUERY, ""),
    "args": (Kind.WORD, Role.QUERY, ""),
    "query_string": (Kind.WORD, Role.QUERY, ""),
    "status": (Kind.WORD, Role.STATUS, ""),
    "request_time": (Kind.WORD, Role.DURATION, "s"),
    "upstream_response_time": (Kind.LIST, Role.DURATION, "s"),
}
# Names, with spaces between them.
_LISTS = (
    "upstream_addr upstream_bytes_received upstream_bytes_sent upstream_connect_time "
    "upstream_first_byte_time upstream_header_time upstream_queue_time upstream_response_length "
    "upstream_session_time upstream_status"
)
_WORDS = (
    "body_bytes_sent bytes_sent connection connection_requests connection_time connections_active "
    "content_length geoip_area_code geoip_city_country_code geoip_country_code geoip_region gzip_ratio "
    "hostname https http2 http3 limit_rate limit_conn_status limit_req_status msie nginx_version pid "
    "pipe proxy_host proxy_port proxy_protocol_port proxy_protocol_server_addr "
    "proxy_protocol_server_port quic realip_remote_port remote_port request_completion request_id "
    "request_length scheme secure_link server_addr server_port server_protocol slice_range spdy "
    "ssl_cipher ssl_client_fingerprint ssl_client_serial ssl_client_verify ssl_curve ssl_early_data "
    "ssl_protocol ssl_server_name ssl_session_id ssl_session_reused tcpinfo_rcv_space tcpinfo_rtt "
    "tcpinfo_rttvar tcpinfo_snd_cwnd uid_got uid_set upstream_cache_status upstream_cache_age "
    "upstream_last_server_name"
)
_TEXTS = (
    "ancient_browser content_type document_root geoip_city geoip_country_name http_cookie http_referer "
    "http_via modern_browser realpath_root request_body request_body_file "
    "request_filename ssl_ciphers ssl_client_i_dn ssl_client_s_dn ssl_curves upstream_cache_key"
)
_PREFIXES = (
    "arg_ cookie_ http_ sent_http_ sent_trailer_ upstream_cookie_ upstream_http_ upstream_trailer_ "
    "jwt_claim_ jwt_header_ proxy_protocol_tlv_"
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DIRECTIVE = re.compile(r"\s*log_format\s+\S+\s+")
_ESCAPE = re.compile(r"\s*escape=(default|json|none)\s+")
_WORD = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s;'\"][^\s;]*))", re.DOTALL)


def from_nginx(text: str) -> Template:
    """The template of a `log_format`, whole (`log_format name '…' '…';`) or what is between its quotes.

    `escape=json` or `escape=none` may stand before it. Raises FormatError when a variable is unknown.
    """
    is_directive = _DIRECTIVE.match(text)
    rest = text[is_directive.end() :] if is_directive else text
    escape = _ESCAPE.match(rest)
    rest = rest[escape.end() :] if escape else rest
    if is_directive or rest.lstrip()[:1] == "'":
        rest = _unquoted(rest)
    rest = rest.replace(r"\t", "\t")
    parts: list[Part] = []
    at = 0
    for variable in _VARIABLE.finditer(rest):
        parts.append(Literal(rest[at : variable.start()]))
        parts.append(_field(variable[1] or variable[2], variable.start() + 1))
        at = variable.end()
    parts.append(Literal(rest[at:]))
    return template_of(with_client(parts), escapes=not escape or escape[1] != "none")


def _unquoted(words: str) -> str:
    """The words of a directive as nginx puts them together."""
    found, at = [], 0
    while match := _WORD.match(words, at):
        escaped = next(group for group in match.groups() if group is not None)
        found.append(re.sub(r"\\([\"'\\])", r"\1", escaped))
        at = match.end()
    if words[at:].strip() not in ("", ";"):
        raise FormatError(f"log_format: found {words[at:].strip()!r}, expected quoted text and a semicolon")
    return "".join(found)


def _field(name: str, column: int) -> Field:
    if name in _FIELDS:
        kind, role, unit = _FIELDS[name]
        return Field(name, kind, role, unit)
    if name in _LISTS.split():
        return Field(name, Kind.LIST)
    if name in _WORDS.split():
        return Field(name, Kind.WORD)
    if name in _TEXTS.split() or name.startswith(tuple(_PREFIXES.split())):
        return Field(name, Kind.TEXT)
    named = [*_FIELDS, *" ".join((_LISTS, _WORDS, _TEXTS)).split()]
    prefixed = [f"{each}NAME" for each in _PREFIXES.split()]
    said = unknown(f"${name}", name, column, named, form="${}", others=prefixed)
    raise FormatError(
        f"log_format: {said}; in place of a variable of your own (set, map) write one that is like it, as "
        "$http_NAME"
    )
