"""Topics that are deleted and made anew while they are read."""

from __future__ import annotations

import re
from typing import Any, Final

_CHANGED_ID: Final = re.compile(r"Topic (\S+) changed id from (\S+) to ")
_NO_ID: Final = "A" * 22  # of a topic that the client did not know yet


class RecreatedTopics:
    """Notes them, as a client that reads topics logs them.

    It goes on at the same offset of the new topic, and says so nowhere else: not as an error, nor with the
    messages. It logs that before it asks for any of the new ones, and hands it over before these.
    """

    def __init__(self) -> None:
        self._names: list[str] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What the client is given for it."""
        return {"debug": "metadata", "logger": self}

    def log(self, _level: int, _text: str, *parts: object) -> None:
        """As `logging.Logger.log`, called within the client's calls."""
        if parts and (found := _CHANGED_ID.search(str(parts[-1]))) and found[2] != _NO_ID:
            self._names.append(found[1])

    def take(self) -> list[str]:
        """Those since the last time."""
        names, self._names = self._names, []
        return names
