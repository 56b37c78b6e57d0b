"""Keys that clients show: where they are set, and the files that hold several."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from tailmetrics.settings.model import Settings

_MOST_BYTES = 1024 * 1024  # of a file of keys
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Role(IntEnum):
    """What a key is for; the greater includes the lesser."""

    READER = 1
    WRITER = 2


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the name by which logs tell whose it is."""

    name: str
    value: str = field(repr=False)
    role: Role


@dataclass(frozen=True, slots=True)
class KeySetting:
    """A setting that holds one key, or the path of a file with one a line."""

    name: str
    role: Role
    path: str | None = None
    keys: tuple[Key, ...] = ()

    def read(self) -> bytes:
        """The content of the file. Raises OSError; ValueError when it is too large to be one of keys."""
        with Path(self.path or "").open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"found more than {_MOST_BYTES} bytes, expected one key a line")
        return content

    def parse(self, content: bytes) -> tuple[Key, ...]:
        """The keys of a file: `KEY name` a line, the name optional, `#` a comment. Raises ValueError."""
        try:
            lines = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise ValueError("found bytes that are not UTF-8, expected one key a line") from None
        keys = []
        for number, line in enumerate(lines, 1):
            if _CONTROLS.search(line):
                raise ValueError(f"line {number}: found a control character, expected a key and its name")
            value, *name = line.split(maxsplit=1)[:2] or [""]
            if value and not value.startswith("#"):
                keys.append(Key(name[0].strip() if name else f"{self.name}:{number}", value, self.role))
        return tuple(keys)

    def readers_beside_the_owner(self) -> str | None:
        """The mode of a file that every user of the machine may read, else None."""
        try:
            mode = Path(self.path or "").stat().st_mode
        except OSError:
            return None
        return f"{stat.S_IMODE(mode):04o}" if mode & stat.S_IROTH else None


def key_settings(settings: Settings) -> tuple[KeySetting, ...]:
    """The settings of keys that are set, those of writers first."""
    found = []
    for name, value, path, role in (
        ("API_KEY", settings.api_key, settings.api_key_file, Role.WRITER),
        ("API_READ_KEY", settings.api_read_key, settings.api_read_key_file, Role.READER),
    ):
        if value is not None:
            found.append(KeySetting(name, role, keys=(Key(name, value.get_secret_value(), role),)))
        if path:
            found.append(KeySetting(f"{name}_FILE", role, path))
    return tuple(found)


def key_to_send(settings: Settings, role: Role) -> tuple[Key | None, str]:
    """The key that a client of these settings sends, the least that will do, and where it was looked for."""
    looked = []
    for setting in sorted(key_settings(settings), key=lambda each: each.role):
        if setting.role < role:
            continue
        try:
            keys = setting.keys or setting.parse(setting.read())
        except (OSError, ValueError) as error:
            looked.append(f"{setting.name} cannot be read ({getattr(error, 'strerror', None) or error})")
            continue
        if keys:
            return keys[0], f"the key sent is of {setting.name}"
        looked.append(f"{setting.name} holds none")
    names = "API_KEY or API_KEY_FILE" if role is Role.WRITER else "API_READ_KEY or API_READ_KEY_FILE"
    return None, f"no key was sent: {', '.join(looked) or f'set {names} as the service has it'}"
