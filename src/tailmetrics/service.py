"""Running the parts together: what the commands up, ingest, serve and load do."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from tailmetrics.api.app import create_app
from tailmetrics.api.live import LiveViews
from tailmetrics.api.parameters import ViewParameters
from tailmetrics.errors import SettingsError, TailmetricsError
from tailmetrics.ingestion import Ingestion
from tailmetrics.metrics import Metrics
from tailmetrics.settings import Settings
from tailmetrics.sources import LoadProgress
from tailmetrics.stores import open_store
from tailmetrics.stores.base import Store

log = structlog.get_logger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1

_PROGRESS_SECONDS = 0.1
_SHUTDOWN_SECONDS = 1


def configure_logging(settings: Settings) -> None:
    """Log events to standard error, one line each, as key=value pairs."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.logging_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def run_up(settings: Settings, page: str | None = None) -> int:
    """API, dashboard and dataflow in one process, until a signal; returns the exit status.

    `page` is an address to open in the user's browser.
    """
    server = _Server()
    with _listening(settings) as listener, _opened(settings) as store:
        metrics = Metrics()
        ingestion = Ingestion(settings, store, metrics, on_give_up=server.ask_to_end)
        _on_hangup(ingestion.reopen)
        ingestion.start()
        if page is not None:
            # The listener takes connections already; a browser may take its time to start.
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
        try:
            server.run_until_signal(create_app(settings, store, ingestion, metrics), listener)
        finally:
            ingestion.stop()
        return _exit_status(ingestion)


def run_ingest(settings: Settings) -> int:
    """The dataflow alone, until a signal; returns the exit status."""
    _refuse_file_store(settings, "ingest")
    ended = threading.Event()
    _on_signals(ended.set)
    with _opened(settings) as store:
        ingestion = Ingestion(settings, store, Metrics(), on_give_up=ended.set)
        _on_hangup(ingestion.reopen)
        ingestion.start()
        ended.wait()
        ingestion.stop()
        return _exit_status(ingestion)


def run_serve(settings: Settings) -> int:
    """The API alone, until a signal; returns the exit status."""
    _refuse_file_store(settings, "serve")
    server = _Server()
    with _listening(settings) as listener, _opened(settings) as store:
        server.run_until_signal(create_app(settings, store, None, Metrics()), listener)
        return EXIT_OK


def load_files(
    settings: Settings, files: Sequence[Path], on_progress: Callable[[LoadProgress], None]
) -> LoadProgress:
    """Read finished files to their ends into the store; returns the sum over all files.

    `on_progress` is called several times a second with the sum so far.
    """
    with _opened(settings) as store:
        ingestion = Ingestion(settings, store, Metrics(), follow=False)
        ingestion.start()
        try:
            jobs = [ingestion.start_load(path.absolute(), str(path.absolute()), None) for path in files]
            for job in jobs:
                while not job.wait(_PROGRESS_SECONDS):
                    on_progress(total_progress([each.progress() for each in jobs]))
        finally:
            ingestion.stop()
        return total_progress([job.progress() for job in jobs])


def total_progress(loads: Sequence[LoadProgress]) -> LoadProgress:
    """The sum of several loads: failed when one failed, already loaded when all were."""
    states = {load.state for load in loads}
    errors = [load.error for load in loads if load.error]
    if "failed" in states and states <= {"failed", "done"}:
        state = "failed"
    else:
        state = "done" if states <= {"done"} else "running"
    return LoadProgress(
        state=state,  # type: ignore[arg-type]  # one of its literals
        bytes_total=sum(load.bytes_total for load in loads),
        bytes_done=sum(load.bytes_done for load in loads),
        lines=sum(load.lines for load in loads),
        records=sum(load.records for load in loads),
        rejects=sum(load.rejects for load in loads),
        blanks=sum(load.blanks for load in loads),
        already_loaded=all(load.already_loaded for load in loads),
        error="; ".join(errors) or None,
    )


class _Server:
    """uvicorn, ended by a signal with status 0 or by `ask_to_end` from any thread."""

    def __init__(self) -> None:
        self._server: uvicorn.Server | None = None
        self._asked = False
        _on_signals(self.ask_to_end)

    def run_until_signal(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            server_header=False,
        )
        self._server = _QuietServer(config, app.state.live)
        self._server.should_exit = self._asked
        host, port = listener.getsockname()[:2]
        log.info("listening", address=f"http://{_bracketed(host)}:{port}")
        self._server.run(sockets=[listener])

    def ask_to_end(self) -> None:
        self._asked = True
        if self._server is not None:
            self._server.should_exit = True


class _QuietServer(uvicorn.Server):
    """uvicorn raises the signal that ended it once more; here a signal is an ordinary end.

    It waits for its connections when it ends, and a page's stream of events has no end of its own.
    """

    def __init__(self, config: uvicorn.Config, live: LiveViews[ViewParameters]) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _on_signals(end: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end())


def _on_hangup(reopen: Callable[[], None]) -> None:
    signal.signal(signal.SIGHUP, lambda *_: reopen())


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket of the API, taken before anything else starts."""
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.api_host, settings.api_port))
        except OSError as error:
            address = f"{_bracketed(settings.api_host)}:{settings.api_port}"
            problem = (
                f"API_PORT: cannot listen on {address} ({error.strerror or error}); "
                "stop what uses it or choose another port"
            )
            raise SettingsError([problem]) from error
        listener.listen(2048)
        listener.set_inheritable(False)
        yield listener
    finally:
        listener.close()


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def _exit_status(ingestion: Ingestion) -> int:
    if ingestion.failure is None:
        return EXIT_OK
    if isinstance(ingestion.failure, TailmetricsError):
        raise ingestion.failure
    log.error("ended", error=str(ingestion.failure), kind=type(ingestion.failure).__name__)
    return EXIT_FAILED


def _refuse_file_store(settings: Settings, command: str) -> None:
    if settings.store_url.startswith("duckdb:"):
        problem = (
            f"STORE_URL: found {settings.store_url}, a file that one process may open; {command} expected "
            "the URL of a server. Use `tailmetrics up`, which does both in one process"
        )
        raise SettingsError([problem])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
