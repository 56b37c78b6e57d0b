"""How many wrong keys an address has tried: after some it has to wait, and no other address with it."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass

MOST_WRONG_KEYS = 10
SECONDS_EACH = 2.0  # after which one more may be tried
_MOST_ADDRESSES = 4096


@dataclass(slots=True)
class _Tried:
    count: float
    at: float
    last: bytes


class WrongKeys:
    """Wrong keys by address, of IPv6 by its network of 64 bits; the addresses seen last are remembered."""

    def __init__(self) -> None:
        self._tried: OrderedDict[str, _Tried] = OrderedDict()

    def wait_seconds(self, address: str, now: float | None = None) -> float:
        """How long an address has to wait until a key of it is looked at; 0: not at all."""
        tried = self._tried.get(_place(address)) if self._tried else None
        if tried is None:
            return 0.0
        return max(0.0, (_left(tried, now) - MOST_WRONG_KEYS + 1) * SECONDS_EACH)

    def add(self, address: str, given: bytes, now: float | None = None) -> None:
        """Count a wrong key. The same one again is no new guess: a client that nobody told of a new key."""
        place, digest = _place(address), hashlib.sha256(given).digest()
        tried = self._tried.pop(place, None) or _Tried(0.0, 0.0, b"")
        left = _left(tried, now)
        count = left if tried.last == digest else left + 1
        self._tried[place] = _Tried(count, time.monotonic() if now is None else now, digest)
        if len(self._tried) > _MOST_ADDRESSES:
            self._tried.popitem(last=False)


def _left(tried: _Tried, now: float | None) -> float:
    passed = (time.monotonic() if now is None else now) - tried.at
    return max(0.0, tried.count - passed / SECONDS_EACH)


def _place(address: str) -> str:
    if ":" not in address:
        return address
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return address
