"""The named text formats of proxies, load balancers and application servers."""

from __future__ import annotations

from typing import Final

from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.servers import applications, clouds, proxies

KINDS: Final[tuple[Kind, ...]] = tuple(
    log.kind() for log in (*proxies.LOGS, *clouds.LOGS, *applications.LOGS)
)
