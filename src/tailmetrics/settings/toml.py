"""Files of TOML that settings name: reading them, and what is wrong with one in words."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tailmetrics.errors import SettingsError
from tailmetrics.urls import masked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 1024 * 1024  # which take a third of a second
_HOW_LONG = re.compile(r"^(string|tuple|list) should have ")  # as pydantic begins it


def read_toml(setting: str, file: str) -> tuple[Mapping[str, Any], str]:
    """What a file holds, and its text. Raises SettingsError that names the setting and the file."""
    try:
        if (size := Path(file).stat().st_size) > _MAX_BYTES:
            raise SettingsError([f"{setting}: {file}: found {size:,} bytes, expected at most {_MAX_BYTES:,}"])
        text = Path(file).read_text(encoding="utf-8-sig")  # as some editors write it
        return tomllib.loads(text), text
    except OSError as error:
        problem = f"{setting}: {file} cannot be read: {error.strerror}; expected a TOML file"
    except UnicodeDecodeError as error:
        problem = f"{setting}: {file}: found bytes that are not UTF-8 at byte {error.start}, expected TOML"
    except (ValueError, RecursionError) as error:  # also numbers too long, and lists in lists, for Python
        problem = f"{setting}: {file}: found what is no TOML: {masked(str(error))}"
    raise SettingsError([problem])


def sentence_of(problem: Any, key: str, known: Iterable[str], missing: str) -> str:
    """What pydantic found wrong with a key of a table; `missing` is what is expected where there is none."""
    reason = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return unknown_key(key, known)
    if problem["type"] == "missing":
        return f"{key}: found none, expected {missing}"
    if not key or reason.startswith(f"{key}:"):
        return reason  # which is a sentence already
    if problem["type"].startswith("bool"):
        reason = "true or false"
    if problem["type"] == "tuple_type":
        reason = "a list such as ['a', 'b']"
    expected = (reason[0].lower() + reason[1:]).removeprefix("input should be ")
    expected = _HOW_LONG.sub(r"a \1 with ", expected)
    return f"{key}: found {masked(repr(problem['input']))}, expected {expected}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    names = list(known)
    nearest = difflib.get_close_matches(key, names, n=1)
    hint = f"; is {nearest[0]!r} meant?" if nearest else ""
    return f"found the key {key!r}, expected one of {', '.join(names)}{hint}"
