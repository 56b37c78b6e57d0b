"""A command that gets the document on its standard input."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import Final

from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Outcome
from tailmetrics.objectives.notifications.secrets import hidden

TIMEOUT_SECONDS: Final = 10.0
# Nothing else of the environment, where the keys of the service and passwords of stores are.
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
_SHOWN_BYTES = 300  # of what it wrote to standard error, the last ones


def run(receiver: Receiver, message: Message, timeout: float = TIMEOUT_SECONDS) -> Outcome:
    """Run a receiver's command; blocks. Delivered is what it takes with the exit status 0.

    What it has started in its process group ends with it when it takes too long.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with tempfile.TemporaryFile() as errors:  # a pipe would be held open by what the command leaves behind
        try:
            process = subprocess.Popen(  # noqa: S603  # a list of arguments, from the owner's own file
                receiver.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment | {"TAILMETRICS_NOTIFICATION_ID": message.id},
                start_new_session=True,
            )
        except OSError as error:
            return Outcome("failed", f"{receiver.command[0]} cannot be started: {error.strerror}")
        try:
            process.communicate(message.json(), timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Outcome("failed", f"was ended, as it took more than {timeout:g} seconds")
        if process.returncode == 0:
            return Outcome("delivered")
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _SHOWN_BYTES))
        said = hidden(errors.read().decode(errors="replace"), ())
    return Outcome("failed", f"exit status {process.returncode}" + (f": {said}" if said else ""))
