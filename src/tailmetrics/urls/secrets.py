"""Secrets of URLs kept out of what is printed."""

from __future__ import annotations

import re

_MASK = "***"
_PASSWORDS = (
    re.compile(r"(https?://[^\s:@/]*):[^\s@/]*(?=@)"),
    # To the last @ before another URL: a password that was not percent-encoded may hold any sign.
    # What examples have is no secret, where no other @ says that the password goes on. A URL with a slash or
    # the colon left out is none, but has a password all the same.
    re.compile(
        r"((?<!http)(?<!https)(?<![:/])(?::/{1,3}|//)(?!user:password@[^\s@]*(?!\S))[^\s:@/]*)"
        r":(?:(?!,\w+://)[^\s'\"<>])*(?=@)"
    ),
    re.compile(
        r"(\A['\"]?[^\s:@/'\"]+):[^\s/'\"<>][^\s'\"<>]*(?=@)"
    ),  # nothing but what is behind the scheme
)
_PARAMETER = re.compile(r"([?&][\w-]*(?:password|passwd|token|secret|api_?key)=)[^\s&'\"<>]+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with the password, and parameters that are secrets, of each URL in it masked."""
    for password in _PASSWORDS:
        text = password.sub(rf"\1:{_MASK}", text)
    return _PARAMETER.sub(rf"\1{_MASK}", text)
