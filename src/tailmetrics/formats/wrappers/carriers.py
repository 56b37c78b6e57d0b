"""How lines are had from what carries them, where it puts something before them that no wrapper reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

# What stands in front, and what leaves it out.
_REMEDIES: Final = (
    (re.compile(r"[ \t]+\Z"), "rsyslog: %msg:2:$% for %msg%"),
    (re.compile(r"[^|]*\|[ \t]*\Z"), "docker compose logs --no-log-prefix"),
    (re.compile(r"\[[^ ]*/"), "kubectl logs without --prefix"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+ [^ ]+ \Z"), "aws logs tail --format short"),
    (re.compile(r"[a-z0-9.-]+ [a-z0-9.-]+ \Z"), "stern --output raw"),
)
# https://www.freedesktop.org/software/systemd/man/latest/journalctl.html#-o: json-seq, json-sse,
# json-pretty, export, and verbose.
_OF_JOURNAL = re.compile(
    r'\x1e\{"|data: \{"__|\t"__[A-Z_]+" : |__CURSOR='
    r"|[A-Z][a-z]{2} [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ [^ ]+ \[s=[0-9a-f]+;"
)


def how_to_leave_out(words: str) -> str:
    """What leaves out the words in front of a line, in brackets behind a space; empty where nobody knows."""
    return next((f" ({remedy})" for front, remedy in _REMEDIES if front.match(words)), "")


def is_of_journal(lines: Sequence[str]) -> bool:
    """Whether lines are of journalctl in one of its ways that take several lines for a message, or marks."""
    return any(map(_OF_JOURNAL.match, islice(lines, 2)))
