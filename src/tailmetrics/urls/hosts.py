"""How hosts are written in URLs."""

from __future__ import annotations


def bracketed(host: str) -> str:
    """A host as it is written before a port."""
    return f"[{host}]" if ":" in host else host
