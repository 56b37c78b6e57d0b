"""Lines with fields that nobody would send in good faith, escaped as the servers escape them."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st

_ODD = [
    "",
    "-",
    '"',
    '" "',
    '" 200 0 "',
    "\\",
    '\\"',
    "a b",
    "[x] ",
    "] [",
    "客 é",
    "\xa0",
    "{|}",
    "%22",
    "?",
    "-1",
]
_ODD += ["a=b c=", "http://x:1/", " - - ", "\u2028", " HTTP/1.1", '"curl"']
_text = st.one_of(
    st.sampled_from(["/cart", "curl/8.5", "-", "x" * 300]),
    st.lists(st.sampled_from(_ODD) | st.text("ab \"'\\/?é[]", max_size=4), max_size=3).map("".join),
)
_word = _text.map(lambda text: re.sub(r"\s", "", text) or "-")
_host = st.sampled_from(["shop.example", "shop.example:8443", "10.0.0.1", "[::1]:80", "-", ""]) | _word
_request = st.one_of(
    st.builds("GET {} HTTP/1.1".format, _word),
    st.builds("GET /{} HTTP/2.0".format, _word),
    st.builds("POST http://{}/{} HTTP/1.1".format, _host, _word),
    _text,
    st.sampled_from(["-", "", "- - -", "- - - ", "- http://e.org:80- -", "<BADREQ>"]),
)
_seconds = st.sampled_from(["0.000", "0.001", "-1", "-", "12.5", "0.1", "0.2"]) | st.integers(0, 10**7).map(
    lambda microseconds: f"{microseconds / 10**6:.6f}"
)
_milliseconds = st.integers(0, 10**6).map(str)
_some_milliseconds = _milliseconds.map("{}ms".format) | st.just("")
_address = st.sampled_from(["203.0.113.9", "2001:db8::1", "-"])


def _as_it_is(text: str) -> str:
    return text


def _hashed(text: str) -> str:
    """As HAProxy writes what clients sent."""
    return "".join(
        "".join(f"#{byte:02X}" for byte in letter.encode()) if letter in '"#{}|' or letter > "~" else letter
        for letter in text
    )


def _in_hexadecimal(text: str) -> str:
    """As nginx escapes."""
    return "".join(
        "".join(f"\\x{byte:02X}" for byte in letter.encode()) if letter in '"\\' or letter > "~" else letter
        for letter in text
    )


def _behind_backslashes(text: str) -> str:
    """As Tomcat escapes."""
    return re.sub(r'(["\\])', r"\\\1", text)


def _quotes_behind_backslashes(text: str) -> str:
    """As Gunicorn escapes."""
    return text.replace('"', '\\"')


def _lines(
    template: str,
    escaped: Callable[[str], str] = _as_it_is,
    status: str = "-",
    duration: st.SearchStrategy[str] = _milliseconds,
) -> st.SearchStrategy[str]:
    """Lines as a template says, whose fields are hostile; `status` is that of a request without an answer."""
    return st.builds(
        template.format,
        address=_address,
        user=_word.map(escaped),
        word=_word.map(escaped),
        host=_host.map(escaped),
        request=_request.map(escaped),
        text=_text.map(escaped),
        more=_text.map(escaped),
        status=st.sampled_from(["200", "404", "503", status]),
        d=duration,
        d2=duration,
        d3=duration,
    )


_CLF = '{address} - {user} [10/Oct/2024:13:55:36 +0200] "{request}" {status} 612'
_COMBINED = _CLF + ' "{text}" "{more}"'
_CLOUD = '{address}:2817 10.0.0.1:80 {d} {d2} {d3} {status} 200 34 366 "{request}" "{text}"'
_ISO = "2024-10-10T13:55:36.123456"
HOSTILE_LINES = {
    "traefik": _lines(_COMBINED + ' 17 "web@docker" "http://172.17.0.2:80" {d}ms', status="0"),
    "haproxy": _lines(
        "{address}:3317 [10/Oct/2024:13:55:36.123] in web/srv 10/0/30/-1/{d} {status} 27 - - ---- "
        "1/1/1/1/0 0/0 "
        '{{{text}}} {{{more}}} "{request}"',
        _hashed,
        status="-1",
        duration=_milliseconds | st.just("-1"),
    ),
    "envoy": _lines(
        f'[{_ISO}Z] "{{request}}" {{status}} - 0 612 {{d}} 11 "{{address}}, {{more}}" "{{text}}" "cc21d9b0" '
        '"{host}" "10.0.2.1:80"',
        status="0",
        duration=_milliseconds | st.just("-"),
    ),
    "squid": _lines(
        "1728568536.123 {d} {address} TCP_MISS/{status} 411 GET http://{host}/{word} {user} "
        "HIER_DIRECT/- text/html",
        status="000",
        duration=st.integers(0, 10**7).map("{:6}".format),
    ),
    "ingress-nginx": _lines(
        _COMBINED + " 420 {d} [default-web-80] [] 10.0.0.7:8080 612 0.011 200 8f2c1a0b9d",
        _in_hexadecimal,
        duration=_seconds.filter(lambda text: text != "-1"),
    ),
    "alb": _lines(
        f'https {_ISO}Z app/lb/50dc6c49 {_CLOUD} ECDHE TLSv1.2 arn:x "Root=1" "{{host}}" "arn:y" 0 {_ISO}Z '
        '"forward" "{more}" "-" "10.0.0.1:80" "200" "-" "-"',
        duration=_seconds,
    ),
    "elb": _lines(f"{_ISO}Z my-lb {_CLOUD} - -", duration=_seconds),
    "s3": _lines(
        "79a59df9 shop [10/Oct/2024:13:55:36 +0000] {address} {user} 3E57427F REST.GET.OBJECT {word} "
        '"{request}" {status} - 113 113 {d} 6 "{more}" "{text}" - s9lzHYrF SigV4',
        duration=_milliseconds | st.just("-"),
    ),
    "heroku": _lines(
        f'{_ISO}+02:00 heroku[router]: at=info method=GET path="/{{word}}" host={{host}} request_id=8 '
        'fwd="{address}, 10.0.0.1" dyno=web.1 connect={d} service={d2} status={status} bytes=13',
        status="500",
        duration=_some_milliseconds,
    ),
    "tomcat": _lines(
        _COMBINED + " {d} 3", _behind_backslashes, duration=st.sampled_from(["0.012", "1.5", "-"])
    ),
    "gunicorn": _lines(
        _COMBINED + " {d}",
        _quotes_behind_backslashes,
        status="500",
        duration=_milliseconds | st.sampled_from(["0.012345", "-"]),
    ),
    "uvicorn": _lines(
        f'{_ISO} INFO:     {{address}}:52044 - "{{request}}" {{status}} OK', status="[accepted]"
    ),
    "gin": _lines(
        '[GIN] 2024/10/10 - 13:55:36 | {status} | {d} | {address} | GET      "/{word}"',
        _behind_backslashes,
        status="500",
        duration=st.sampled_from(["1.234ms", "45µs", "1m2.5s", "0s"]),
    ),
    "chi": _lines(
        '2024/10/10 13:55:36 "GET http://{host}/{word} HTTP/1.1" from {address} - {status} 12B in {d}',
        status="500",
        duration=st.sampled_from(["1.234ms", "45.1µs", "1m2.5s", "0s"]),
    ),
    "uwsgi": _lines(
        "[pid: 7|app: 0|req: 1/1] {address} () {{40 vars in 500 bytes}} [Thu Oct 10 13:55:36 2024] "
        "GET /{word} => generated 12 bytes in {d} (HTTP/1.1 {status}) 2 headers in 70 bytes (1 switches)",
        status="500",
        duration=st.sampled_from(["3 msecs", "3012 micros"]),
    ),
}
