"""The names of formats, as LOG_FORMAT takes them, and of the log that is followed when none is named."""

from __future__ import annotations

from typing import Final

DEFAULT_LOG: Final = "data/requests.log"

AUTO: Final = "auto"
REQUESTS: Final = "requests"
RESULTS: Final = "results"
REGEX: Final = "regex"
NGINX: Final = "nginx"
FORMAT_NAMES: Final = (
    REQUESTS,
    "common",
    "combined",
    "vhost_combined",
    NGINX,
    "ingress-nginx",
    "caddy",
    "traefik",
    "traefik-json",
    "haproxy",
    "envoy",
    "alb",
    "elb",
    "cloudfront",
    "s3",
    "iis",
    "w3c",
    "squid",
    "tomcat",
    "gunicorn",
    "uvicorn",
    "gin",
    "chi",
    "uwsgi",
    "heroku",
    "logfmt",
    "ecs",
    "otel",
    "json",
    REGEX,
    RESULTS,
)
# What a line may be wrapped in; behind a colon the format of what is inside may follow.
WRAPPER_NAMES: Final = ("docker", "cri", "syslog", "journald", "envelope", "prefixed")
# Whose own format strings may follow, behind a colon.
TEMPLATE_NAMES: Final = ("nginx", "apache", "envoy", "haproxy")
_ALIASES: Final = {"apache": "combined", "opentelemetry": "otel", "traefik-common": "traefik"}
EXPECTED_FORMAT: Final = (
    f"{AUTO}, one of {', '.join(FORMAT_NAMES)}, one of them behind {', '.join(WRAPPER_NAMES)} and a colon, "
    f"or a server's own format string behind {', '.join(TEMPLATE_NAMES)} and a colon"
)


def canonical_format(text: str) -> str:
    """The name of a format as the program writes it. Raises ValueError, which says what was expected."""
    prefix, colon, rest = text.strip().partition(":")
    name = _canonical_name(prefix)
    if name in WRAPPER_NAMES:
        return f"{name}:{canonical_format(rest)}" if colon else name
    if colon and prefix.lower() in TEMPLATE_NAMES and rest.strip():
        return f"{prefix.lower()}:{rest}"
    if colon or name not in (AUTO, *FORMAT_NAMES):
        raise ValueError(EXPECTED_FORMAT)
    return name


def format_and_pattern(entry: str) -> tuple[str, str]:
    """An entry of LOG_FILE_PATH, in two; the format is empty where it gives none."""
    name, _, pattern = entry.partition("=")
    try:
        return (canonical_format(name), pattern) if pattern else ("", entry)
    except ValueError:
        return "", entry


def inner_format(name: str) -> str:
    """The name of what is inside of wrappers; of a wrapper alone its own."""
    prefix, _, rest = name.partition(":")
    return inner_format(rest) if prefix in WRAPPER_NAMES and rest else name


def _canonical_name(text: str) -> str:
    folded = text.strip().lower().replace("_", "-")
    folded = _ALIASES.get(folded, folded)
    return "vhost_combined" if folded == "vhost-combined" else folded
