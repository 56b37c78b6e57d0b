"""Running the parts together: what the commands up, ingest and serve do."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tailmetrics.api.app import create_app, create_probes_app
from tailmetrics.api.server import HttpServer, Listener
from tailmetrics.errors import SettingsError, StoreError, TailmetricsError
from tailmetrics.ingest.dataflow import ChunkParser, Parser
from tailmetrics.ingest.share_locks import joining
from tailmetrics.ingest.shipping.carrying import ChunkCarrier
from tailmetrics.ingest.shipping.store import shipping_store
from tailmetrics.ingest.standard_input import following_standard_input
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.objectives.file import ObjectivesFile
from tailmetrics.process import release_code_pages, resume_garbage_collection, take_short_turns
from tailmetrics.settings import Settings, resolve_node_id
from tailmetrics.stores import open_store
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.log import EventLog
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.telemetry.service_manager import ServiceManager, notify
from tailmetrics.urls import KafkaUrl, bracketed

log = EventLog()

EXIT_OK = 0
EXIT_FAILED = 1


def run_up(settings: Settings, page: str | None = None) -> int:
    """API, dashboard and dataflow in one process, until a signal; returns the exit status.

    `page` is an address to open in the user's browser.
    """
    server = _Server()
    objectives = ObjectivesFile(settings)
    _tell_who_may_ask(settings)
    with (
        _listening(settings.api_host, settings.api_port, "API_PORT") as listener,
        _opened(lambda: open_store(settings)) as store,
    ):
        metrics = Metrics(settings.metrics_customers_max)
        ingestion = Supervisor(settings, store, metrics, on_give_up=server.ask_to_end)
        _on_hangup(ingestion.reopen, objectives.reload)
        ingestion.start()
        if page is not None:
            # The listener takes connections already; a browser may take its time to start.
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
        try:
            with following_standard_input(settings, ingestion.sources):
                app = create_app(settings, store, ingestion, metrics, objectives)
                server.run_until_signal(HttpServer(app, _manager(ingestion).turn), listener)
        finally:
            ingestion.stop()
        return _exit_status(ingestion, store)


def run_ingest(settings: Settings, share: int | None = None) -> int:
    """The dataflow, with its metrics port, until a signal; returns the exit status.

    With the number of a `share` other processes follow the other logs.
    """
    _refuse_embedded_store(settings, "ingest")
    return _run_dataflow(settings, lambda: open_store(settings), ChunkParser, share)


def run_ship(settings: Settings) -> int:
    """Lines of files to a topic, with a metrics port, until a signal; returns the exit status.

    Raises SettingsError when there is no topic, or when lines are not those of files.
    """
    if not settings.ship_to:
        raise SettingsError(["SHIP_TO: found none, expected a topic: --to kafka://HOST:9092/TOPIC"])
    if settings.log_queues or settings.log_topics:
        problem = (
            "LOG_FILE_PATH: found a queue or a topic, expected files; what is in a queue is read from there "
            "by `tailmetrics ingest`"
        )
        raise SettingsError([problem])
    url = KafkaUrl.parse(settings.ship_to, "SHIP_TO")
    own = settings.model_copy(update={"store_url": settings.ship_store_url})

    def opened() -> Store:
        store = open_store(own)
        _refuse_records(store, own)
        return shipping_store(store, url, resolve_node_id(own))

    return _run_dataflow(own, opened, ChunkCarrier)


def _refuse_records(store: Store, settings: Settings) -> None:
    """Raises SettingsError: whoever reads logs into that store would take what was shipped for read."""
    with suppress(StoreError):  # one that is away is waited for
        if records := asyncio.run(store.status()).records:
            store.close()
            found = f"found records in {settings.store} ({records:,}), expected a store of positions only"
            raise SettingsError([f"SHIP_STORE_URL: {found}"])


def _run_dataflow(
    settings: Settings, opened: Callable[[], Store], parser: type[Parser], share: int | None = None
) -> int:
    server = _Server()
    with ExitStack() as open_parts:
        shares = None if share is None else open_parts.enter_context(joining(settings, share))
        listener = None
        if settings.metrics_port:
            port = settings.metrics_port + (share or 0)
            listener = open_parts.enter_context(_listening(settings.metrics_host, port, "METRICS_PORT"))
        store = open_parts.enter_context(_opened(opened))
        metrics = Metrics(settings.metrics_customers_max)
        ingestion = Supervisor(
            settings, store, metrics, on_give_up=server.ask_to_end, parser=parser, shares=shares
        )
        _on_hangup(ingestion.reopen)
        ingestion.start()
        try:
            with following_standard_input(settings, ingestion.sources):
                if listener is None:
                    server.wait_for_signal(_manager(ingestion))
                else:
                    app = create_probes_app(settings, store, ingestion, metrics)
                    server.run_until_signal(HttpServer(app, _manager(ingestion).turn), listener)
        finally:
            ingestion.stop()
        return _exit_status(ingestion, store)


def run_serve(settings: Settings) -> int:
    """The API alone, until a signal; returns the exit status."""
    _refuse_embedded_store(settings, "serve")
    server = _Server()
    objectives = ObjectivesFile(settings)
    _tell_who_may_ask(settings)
    with (
        _listening(settings.api_host, settings.api_port, "API_PORT") as listener,
        _opened(lambda: open_store(settings)) as store,
    ):
        _on_hangup(objectives.reload)
        app = create_app(settings, store, None, Metrics(), objectives)
        http = HttpServer(app, ServiceManager().turn, **_draining(settings))
        server.run_until_signal(http, listener)
        store.check_present()
        return EXIT_OK


def _draining(settings: Settings) -> dict[str, float]:
    """How a server ends behind a balancer, where there is one."""
    if not settings.drain_seconds:
        return {}
    return {"drain_seconds": settings.drain_seconds, "finish_seconds": settings.query_timeout_seconds}


def _tell_who_may_ask(settings: Settings) -> None:
    if settings.access_warning is not None:
        log.warning("the service is open", warning=settings.access_warning)


class _Server:
    """What is served, ended by a signal with status 0 or by `ask_to_end` from any thread."""

    def __init__(self) -> None:
        self._server: HttpServer | None = None
        self._asked = threading.Event()
        _on_signals(self.ask_to_end)

    def run_until_signal(self, server: HttpServer, listener: socket.socket) -> None:
        resume_garbage_collection()
        release_code_pages()
        take_short_turns()
        self._server = server
        server.should_exit = self._asked.is_set()
        host, port = listener.getsockname()[:2]
        log.info("listening", address=f"http://{bracketed(host)}:{port}")
        server.run(sockets=[listener])

    def wait_for_signal(self, manager: ServiceManager) -> None:
        """Where nothing is served."""
        resume_garbage_collection()
        release_code_pages()
        while not self._asked.wait(manager.turn_seconds):
            manager.turn()

    def ask_to_end(self) -> None:
        notify("STOPPING=1")
        self._asked.set()
        if self._server is not None:
            self._server.end()


def _manager(ingestion: Supervisor) -> ServiceManager:
    """A dataflow that waits for its store is not ready, though it goes on."""
    return ServiceManager(
        lambda: ingestion.state().name == "running" and ingestion.state().store_error is None,
        ingestion.overdue_seconds,
    )


def _on_signals(end: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end())


def _on_hangup(*actions: Callable[[], object]) -> None:
    """Do these on SIGHUP, in a thread: a handler of signals may wait for a lock that its own thread holds."""

    def act() -> None:
        for action in actions:
            action()

    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=act, name="hangup").start())


@contextmanager
def _listening(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """A socket that listens, taken before anything else starts; `setting` is where the port comes from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio does not know it for TCP, and the kernel holds back the body of an answer.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            problem = (
                f"{setting}: cannot listen on {bracketed(host)}:{port} ({error.strerror or error}); "
                "stop what uses it or choose another port"
            )
            raise SettingsError([problem]) from error
        listener.listen(2048)
        listener.set_inheritable(False)
        yield listener
    finally:
        listener.close()


@contextmanager
def _opened(opened: Callable[[], Store]) -> Iterator[Store]:
    store = opened()
    store.summarize(in_background=True)
    try:
        yield store
    finally:
        store.close()


def _exit_status(ingestion: Supervisor, store: Store) -> int:
    if ingestion.failure is None:
        store.check_present()
        return EXIT_OK
    if isinstance(ingestion.failure, TailmetricsError):
        raise ingestion.failure
    log.error("ended", error=str(ingestion.failure), kind=type(ingestion.failure).__name__)
    return EXIT_FAILED


def _refuse_embedded_store(settings: Settings, command: str) -> None:
    if settings.store.scheme == "duckdb":
        problem = (
            f"STORE_URL: found {settings.store}, a file that one process may open; {command} expected "
            "the URL of a server, or of an SQLite file. Use `tailmetrics up`, which does both in one process"
        )
        raise SettingsError([problem])
