"""The keys in force: those of the settings, and of files, which are read again while the service runs."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

from tailmetrics.api.http.sessions import is_session
from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings
from tailmetrics.settings.keys import Key, KeySetting, key_settings
from tailmetrics.telemetry.log import EventLog

log = EventLog()

LOOK_SECONDS = 0.5  # between two looks at a file of keys
_MOST_REMEMBERED = 1024
_EXPECTED = "expected a file that this process may read, with one key a line"


@dataclass(frozen=True, slots=True)
class _Known:
    key: Key
    digest: bytes


class _KeyFile:
    """A file of keys. One that cannot be read any more leaves the keys in force that it held before."""

    def __init__(self, setting: KeySetting) -> None:
        self.setting = setting
        self.problem: str | None = None
        try:
            self._content = setting.read()
            self.keys = setting.parse(self._content)
        except (OSError, ValueError) as error:
            raise SettingsError([f"{setting.name}: {self._said(error)}, {_EXPECTED}"]) from error
        self._note()

    def look(self) -> bool:
        """Read the file; whether it is another than before."""
        # The content is compared, as a file may be written twice within the tick of its time.
        try:
            content = self.setting.read()
            if content == self._content:
                self.problem = None
                return False
            keys = self.setting.parse(content)
        except (OSError, ValueError) as error:
            problem = f"{self.setting.name}: {self._said(error)}; the keys read before stay in force"
            if problem != self.problem:
                log.error("keys not read again", error=problem)  # noqa: TRY400  # one line an event
            self.problem = problem
            return False
        self.problem, self._content, self.keys = None, content, keys
        self._note()
        return True

    def _note(self) -> None:
        log.info("keys read", setting=self.setting.name, file=self.setting.path, keys=len(self.keys))
        if mode := self.setting.readers_beside_the_owner():
            log.warning("all users of the machine may read the keys", file=self.setting.path, mode=mode)

    def _said(self, error: OSError | ValueError) -> str:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"{self.setting.path} cannot be used ({reason})"


class Keyring:
    """The keys in force. Raises SettingsError when a file of them cannot be read at the start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = key_settings(settings)
        self._fixed = [key for setting in self.settings for key in setting.keys]
        self._files = [_KeyFile(setting) for setting in self.settings if setting.path is not None]
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._known = self._gathered()
        self._remembered: dict[tuple[bytes, bytes], float] = {}

    def find(self, given: bytes) -> Key | None:
        """The key that was given, the one that may do the most where it stands twice."""
        digest = hashlib.sha256(given).digest()
        found = [each.key for each in self._current() if hmac.compare_digest(each.digest, digest)]
        return found[0] if found else None

    def of_session(self, session: str) -> Key | None:
        """The key with which a session was begun that has not ended."""
        return next((each.key for each in self._current() if is_session(each.key.value, session)), None)

    def remember(self, header: tuple[bytes, bytes], until: float) -> None:
        """That this header showed a key in force, or a session until so many seconds since 1970."""
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[header] = until

    def remembers(self, header: tuple[bytes, bytes]) -> bool:
        """Whether the header showed a key that is in force still."""
        # Found by a hash with a secret of the process, so its time tells nothing of a key.
        self._current()
        return self._remembered.get(header, 0.0) > time.time()

    def problems(self) -> list[tuple[str, str]]:
        """The files that cannot be read again, and why."""
        self._current()
        return [(file.setting.path or "", file.problem) for file in self._files if file.problem]

    def _current(self) -> list[_Known]:
        if self._files and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            changed = [file.look() for file in self._files]
            if any(changed):
                self._known = self._gathered()
                self._remembered.clear()
        return self._known

    def _gathered(self) -> list[_Known]:
        keys = [*self._fixed, *(key for file in self._files for key in file.keys)]
        keys.sort(key=lambda key: key.role, reverse=True)
        return [_Known(key, hashlib.sha256(key.value.encode()).digest()) for key in keys]
