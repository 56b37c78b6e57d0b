"""Several processes that follow logs, started, watched and ended by one that does nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings, resolve_node_id
from tailmetrics.telemetry.log import EventLog
from tailmetrics.telemetry.service_manager import OF_PARENT, ServiceManager, notify, watchdog_seconds

log = EventLog()

LOOK_SECONDS = 0.2  # from one look at the others to the next
LOCK = "lock"  # a file of the one that starts all, which has the time of that start
DATABASE = "logs.sqlite"

_WATCHDOG_SECONDS = 300.0  # where the service manager has none
_STOPPED_SECONDS = 10.0  # for which a process may be stopped before others take over its logs
_END_SECONDS = 4.8
_LONGEST_RESTART_SECONDS = 30.0
_FIRST_RESTART_SECONDS = 0.5
_HEALTHY_SECONDS = 60.0
_LAST_PORT = 65_535
_LEFT_SECONDS = 10.0  # in which the processes of an earlier start end


def run(settings: Settings, command: Sequence[str]) -> int:
    """PROCESSES processes of a command that divide the logs, until a signal; returns the exit status.

    Raises SettingsError.
    """
    _refuse_what_cannot_be_divided(settings)
    processes = Processes(command, settings.processes, folder_of(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: processes.end())
    signal.signal(signal.SIGHUP, lambda *_: processes.reopen())
    return processes.run()


def _refuse_what_cannot_be_divided(settings: Settings) -> None:
    problems = []
    if settings.standard_input is not None:
        problems.append(
            f"PROCESSES: found {settings.processes}, expected 1, as LOG_FILE_PATH has - (standard input), "
            "which one process can read"
        )
    if settings.store.scheme == "influxdb":
        problems.append(
            f"PROCESSES: found {settings.processes}, expected 1, as STORE_URL is an InfluxDB, where a "
            "process holds the logs that it read until it ends"
        )
    last_port = settings.metrics_port + settings.processes - 1
    if settings.metrics_port and last_port > _LAST_PORT:
        problems.append(f"METRICS_PORT: the last of {settings.processes} processes would have {last_port}")
    if problems:
        raise SettingsError(problems)


def folder_of(settings: Settings) -> Path:
    """Where processes that divide the logs of a node for a store tell each other who has which."""
    whose = f"{settings.store}\0{resolve_node_id(settings)}".encode()
    return settings.data_folder / f"processes-{hashlib.blake2b(whose, digest_size=4).hexdigest()}"


class _Child:
    """One of the processes: it says how it is as it would to a service manager."""

    def __init__(self, command: Sequence[str], number: int, lock: int, watchdog_seconds: float) -> None:
        self.number = number
        self._command = [*command, "--share", str(number), "--parent-pid", str(os.getpid())]
        self._lock = lock
        self._watchdog_seconds = watchdog_seconds
        self._deaths = 0
        self.heard_at: float | None = None
        self.is_ready = False
        self._start()

    def fileno(self) -> int:
        return self._ear.fileno()

    def hear(self) -> None:
        """Take what it says."""
        with contextlib.suppress(OSError):
            while said := self._ear.recv(4096):
                self.heard_at = time.monotonic()
                self.is_ready = self.is_ready or b"READY=1" in said

    def status(self) -> int | None:
        """The exit status with which it gave up; None while it lives, or died and is started again."""
        now = time.monotonic()
        if now < self._due_at:
            return None
        if self._due_at:
            self._start()
            return None
        status = self.process.poll()
        if status is None:
            self._end_what_hangs(now)
        elif status > 0:
            return status
        else:
            self._note_death(-status, now)
        return None

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self, deadline: float) -> int:
        """Wait for its end, and see to it; returns its exit status, 0 when it was killed."""
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a process did not end, killed it", process=self.number + 1, pid=self.process.pid)
            self.process.kill()
            status = self.process.wait()
        self._ear.close()
        return max(0, status)

    def _start(self) -> None:
        self._due_at = 0.0  # when it is to be started again
        self._started_at = time.monotonic()
        self._stopped_since = math.inf
        self.heard_at, self.is_ready = None, False
        self._ear, mouth = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.setblocking(False)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": f"{OF_PARENT}{mouth.fileno()}",
            "WATCHDOG_USEC": str(int(self._watchdog_seconds * 1e6)),
        }
        environment.pop("WATCHDOG_PID", None)
        with mouth:
            self.process = subprocess.Popen(  # noqa: S603  # this program
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[mouth.fileno(), self._lock],
            )
        log.info("started a process", process=self.number + 1, pid=self.process.pid)

    def _note_death(self, number: int, now: float) -> None:
        self._deaths = 1 if now - self._started_at > _HEALTHY_SECONDS else self._deaths + 1
        wait = min(_FIRST_RESTART_SECONDS * 2 ** (self._deaths - 2), _LONGEST_RESTART_SECONDS)
        # One that was told to end, and was not told by this one, may know of an end that is to come here too.
        self._due_at = now + (0.0 if number and self._deaths == 1 else wait)
        self.is_ready = False
        self._ear.close()
        ended_by = signal.Signals(number).name if number else "itself"
        log.warning("a process died, starting it again", process=self.number + 1, ended_by=ended_by)

    def _end_what_hangs(self, now: float) -> None:
        self._stopped_since = min(self._stopped_since, now) if _is_stopped(self.process.pid) else math.inf
        if now - self._stopped_since > _STOPPED_SECONDS:
            reason = "it is stopped"
        elif self.heard_at is not None and now - self.heard_at > self._watchdog_seconds:
            reason = "it hangs"
        else:
            return
        log.error("killed a process", process=self.number + 1, pid=self.process.pid, reason=reason)
        self.process.kill()


class Processes:
    """`count` processes of a command that divide the logs; whichever dies is started again.

    Others follow its logs meanwhile. When one gives up, all end. `folder` is where they tell each other what
    they do.
    """

    def __init__(self, command: Sequence[str], count: int, folder: Path) -> None:
        self._command = command
        self._count = count
        self._folder = folder
        self._asked = threading.Event()
        self._children: list[_Child] = []

    def end(self) -> None:
        """Have all end soon; a handler of signals may call it."""
        self._asked.set()

    def reopen(self) -> None:
        """Have all close their files and look for them anew; a handler of signals may call it."""
        for child in self._children:
            if child.heard_at is not None:  # else it is about to open them, and would die of the signal
                child.process.send_signal(signal.SIGHUP)

    def run(self) -> int:
        """Until `end`, or until one gives up; returns the exit status. Raises SettingsError."""
        manager = ServiceManager(self._are_ready)
        watchdog = watchdog_seconds() or _WATCHDOG_SECONDS
        with _dividing(self._folder) as lock:
            try:
                while not self._asked.is_set():
                    # The first alone until it speaks: what is wrong with the settings is said once.
                    while len(self._children) < self._count and (
                        not self._children or self._children[0].heard_at is not None
                    ):
                        self._children.append(_Child(self._command, len(self._children), lock, watchdog))
                    self._listen()
                    if failed := next(filter(None, [child.status() for child in self._children]), 0):
                        return failed
                    manager.turn()
                return 0
            finally:
                notify("STOPPING=1")
                self._end_all()

    def _are_ready(self) -> bool:
        return len(self._children) == self._count and all(child.is_ready for child in self._children)

    def _listen(self) -> None:
        alive = [child for child in self._children if child.fileno() >= 0]
        heard, _, _ = select.select(alive, [], [], LOOK_SECONDS)
        for child in heard:
            child.hear()

    def _end_all(self) -> None:
        for child in self._children:
            child.end()
        deadline = time.monotonic() + _END_SECONDS
        for child in self._children:
            child.close(deadline)


def _is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal; false where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def _dividing(folder: Path) -> Iterator[int]:
    """Be the one that starts processes which divide logs; all shares are decided anew.

    Yields a descriptor for them to inherit: as long as one of them lives there is no other start. Raises
    SettingsError when one that lives does not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = opened_lock(folder / LOCK)
    try:
        due = time.monotonic() + _LEFT_SECONDS
        while not is_locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > due:
                raise SettingsError([_in_use(folder, os.pread(descriptor, 100, 0).decode(errors="replace"))])
            time.sleep(LOOK_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        for left in folder.glob(f"{DATABASE}*"):
            left.unlink()
        yield descriptor
    finally:
        os.close(descriptor)


def _in_use(folder: Path, pid: str) -> str:
    return (
        f"PROCESSES: found processes in {folder} that process {pid} has started, expected none: end them, or "
        "give this one another NODE_ID"
    )


def opened_lock(path: Path) -> int:
    """A descriptor of a file to be locked, which is made if it is not there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def is_locked(descriptor: int, kind: int) -> bool:
    """Lock a file if nobody else has; whether it is locked now. `kind` is fcntl.LOCK_EX or LOCK_SH."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
