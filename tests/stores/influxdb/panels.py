"""The Flux of docs/grafana.md, as Grafana sends it."""

from __future__ import annotations

import re

from tests.paths import ROOT

PAGE = (ROOT / "docs/grafana.md").read_text()
VARIABLE = "In Grafana"
RATE = "Requests per second by status class"
UPTIME = "Uptime per customer"
LATENCY = "Latency of a customer"
FAILURES = "Customers with the most failures"
PATHS = "Paths with the most requests"
REQUESTS = "Requests with their logged times"
TESTED = {VARIABLE, RATE, UPTIME, LATENCY, FAILURES, PATHS, REQUESTS}


def panels() -> dict[str, str]:
    """Each Flux text of the page by the heading that it stands under."""
    found: dict[str, str] = {}
    heading = ""
    for title, text in re.findall(r"^#+ ([^\n]+)$|^```flux\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if title:
            heading = title
        else:
            assert heading not in found
            found[heading] = text
    return found


def as_sent(text: str, *, bucket: str, start: str, stop: str, every: str, customer: str = "a") -> str:
    """A text in which Grafana has put values for its names; `customer` is a value of the tag.

    Grafana's server does so by text: https://github.com/grafana/grafana/blob/main/pkg/tsdb/influxdb/flux/macros.go
    """
    quoted = customer.replace('"', '\\"')
    values = {
        "${customer:doublequote}": f'"{quoted}"',
        "v.defaultBucket": f'"{bucket}"',
        "v.timeRangeStart": start,
        "v.timeRangeStop": stop,
        "v.windowPeriod": every,
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text
