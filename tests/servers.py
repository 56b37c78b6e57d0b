"""Database servers for tests: real ones on free ports of the loopback, with folders of their own."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import psycopg
import pymysql

from tests.integration.running import free_port
from tests.paths import ROOT

USER = "tailmetrics"
PASSWORD = "pass/w@rd"  # noqa: S105  # of a server that lives as long as the tests
_URL_PASSWORD = "pass%2Fw%40rd"  # noqa: S105
_START_SECONDS = 60.0
_OWNER = "nobody"  # of the servers' processes, when the tests are run by root


class Server:
    """A server's process: started, killed, started again on the same data and port."""

    scheme: str
    _crash = signal.SIGKILL

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def url(self, database: str, *, user: str = USER, password: str = _URL_PASSWORD) -> str:
        return f"{self.scheme}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"store_{os.getpid()}_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        self._process = self._run_in_background(self._command())
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.02)

    def stop(self) -> None:
        """End it without a word to anyone, as a crash does."""
        if self._process is not None:
            self._process.send_signal(self._crash)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            tasks = Path(f"/proc/{self._process.pid}/task")
            while any(_state(task) != "T" for task in tasks.iterdir()):
                time.sleep(0.001)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def execute(self, *statements: str, database: str = "") -> list[tuple]:
        """Run statements as the owner of the server; the rows of the last one."""
        raise NotImplementedError

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        # A port that takes connections first: what is refused leaves a socket open in PyMySQL.
        with contextlib.suppress(OSError, psycopg.Error, pymysql.Error):
            socket.create_connection(("127.0.0.1", self.port)).close()
            self.execute("SELECT 1")
            return True
        return False

    def _as_owner(self, command: Sequence[str]) -> list[str]:
        """These servers refuse to run as root."""
        if os.getuid():
            return list(command)
        group = str(pwd.getpwnam(_OWNER).pw_gid)
        return ["setpriv", f"--reuid={_OWNER}", f"--regid={group}", "--clear-groups", *command]

    def _run_in_background(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                self._as_owner(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )

    def _run(self, command: Sequence[str]) -> None:
        self._run_in_background(command).wait(_START_SECONDS)


_Kind = TypeVar("_Kind", bound=Server)


def _state(task: Path) -> str:
    """Of a thread, as a letter: T is stopped, as is one that has ended meanwhile."""
    with contextlib.suppress(OSError):
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    return "T"


class PostgreSQL(Server):
    """PostgreSQL, of which there may be several versions: the newest is taken."""

    scheme = "postgresql"
    durability = "off"  # what tests write need not outlive a machine
    _crash = signal.SIGQUIT  # takes its processes along, which SIGKILL does not

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self._programs = versions[-1]
        self._run(
            [
                f"{self._programs}/initdb",
                *("-D", "data", "-U", "owner", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
            ]
        )

    def _command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": self.durability,
            "full_page_writes": self.durability,
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "autovacuum": "off",  # of a thousand databases that are left it would look at ten a second
            "max_connections": "60",
            "shared_buffers": "64MB",
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return [f"{self._programs}/postgres", "-D", "data", "-p", str(self.port), *flags]

    def start(self) -> None:
        super().start()
        if not self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'"):
            self.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")

    def new_database(self) -> str:
        url = super().new_database()
        name = url.rpartition("/")[2]
        self.execute(f"GRANT ALL ON SCHEMA public TO {USER}", database=name)
        return url

    def execute(self, *statements: str, database: str = "") -> list[tuple]:
        rows: list[tuple] = []
        with psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user="owner",
            dbname=database or "postgres",
            autocommit=True,
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows


class MariaDB(Server):
    """MariaDB; its owner is root, who comes by the socket without a password."""

    scheme = "mariadb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data"]
        self._run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"])

    def _command(self) -> Sequence[str]:
        return [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--tmpdir={self.folder}",  # a server that starts removes what others have in theirs
            f"--pid-file={self.folder}/pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=2",  # survives the end of the process, not of the machine
            "--innodb-flush-method=nosync",
            "--debug-no-sync",
            "--innodb-buffer-pool-size=64M",
            "--skip-name-resolve",
            "--max-connections=60",
        ]

    def start(self) -> None:
        super().start()
        self.execute(
            f"CREATE USER IF NOT EXISTS {USER} IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON `store\\_%`.* TO {USER}",
        )

    def execute(self, *statements: str, database: str = "") -> list[tuple]:
        connection = pymysql.connect(
            unix_socket=f"{self.folder}/socket", user="root", database=database or None, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


class ClickHouse(Server):
    """ClickHouse's engine in a process of its own, or the server that CLICKHOUSE_TEST_URL names.

    That one is never stopped, and what tests make in it stays there, in databases of their own.
    """

    scheme = "clickhouse"
    given = os.environ.get("CLICKHOUSE_TEST_URL", "").rstrip("/")

    def url(self, database: str, *, user: str = USER, password: str = _URL_PASSWORD) -> str:
        if self.given:
            address, mark, parameters = self.given.partition("?")
            return f"{address}/{database}{mark}{parameters}"
        return super().url(database, user=user, password=password)

    def new_database(self) -> str:
        url = super().new_database()
        if cluster := parse_qs(urlsplit(url).query).get("cluster"):
            name = urlsplit(url).path[1:]
            self.execute(f"CREATE DATABASE IF NOT EXISTS {name} ON CLUSTER `{cluster[0]}`")
        return url

    def start(self) -> None:
        if not self.given:
            super().start()

    def execute(self, *statements: str, database: str = "") -> list[tuple]:
        """Values are as TabSeparated has them."""
        address = urlsplit(self.url(database))
        rows: list[tuple] = []
        for statement in statements:
            answer = httpx.post(
                f"http://{address.hostname}:{address.port or 8123}/",
                params={"database": database} if database else {},
                content=statement,
                auth=(unquote(address.username or "default"), unquote(address.password or "")),
                timeout=60,
            )
            if answer.status_code != 200:
                raise RuntimeError(answer.text)
            rows = [tuple(line.split("\t")) for line in answer.text.splitlines()]
        return rows

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "tests.stores.clickhouse.front", str(self.port), f"{self.folder}/data"]

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return bool(self.execute("SELECT 1"))
        return False

    def _as_owner(self, command: Sequence[str]) -> list[str]:
        """It runs as anybody."""
        return list(command)

    def _run_in_background(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)


def influxd() -> str | None:
    """The program of InfluxDB 2 that INFLUXD names, else the one on the path, if there is one."""
    return shutil.which(os.environ.get("INFLUXD") or "influxd")


class InfluxDB(Server):
    """InfluxDB 2 with an organisation, and a token of its own that may do everything."""

    org = "tests"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.address = f"http://127.0.0.1:{self.port}"
        self.token = secrets.token_hex(24)

    def start(self) -> None:
        super().start()
        if httpx.get(f"{self.address}/api/v2/setup", timeout=30).json()["allowed"]:
            first = {"username": "tests", "password": secrets.token_hex(8), "bucket": "tests"}
            wanted = {**first, "org": self.org, "token": self.token}
            httpx.post(f"{self.address}/api/v2/setup", json=wanted, timeout=30).raise_for_status()

    def _command(self) -> Sequence[str]:
        program = influxd()
        if program is None:
            raise RuntimeError("found no influxd, expected one on the path, or INFLUXD=/path/to/influxd")
        return [
            program,
            f"--http-bind-address=127.0.0.1:{self.port}",
            f"--bolt-path={self.folder}/bolt",
            f"--sqlite-path={self.folder}/sqlite",
            f"--engine-path={self.folder}/engine",
            "--reporting-disabled",
            "--log-level=warn",
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.address}/health", timeout=30).status_code == 200
        return False

    def _as_owner(self, command: Sequence[str]) -> list[str]:
        """It runs as anybody, and its program may be where another user may not look."""
        return list(command)


_running = contextlib.ExitStack()

may_start = True  # whether the test that runs is marked as one that needs servers; set by tests/conftest.py


def require_mark() -> None:
    """Raises RuntimeError in a test that would start a server in a run that promises to start none."""
    if not may_start:
        raise RuntimeError("found a test that starts a server, expected @pytest.mark.servers on it")


def postgresql() -> Server:
    """PostgreSQL for all tests, started by the first that needs it."""
    require_mark()
    return started(PostgreSQL)


def mariadb() -> Server:
    """MariaDB for all tests, started by the first that needs it."""
    require_mark()
    return started(MariaDB)


def clickhouse() -> Server:
    """ClickHouse for all tests, started by the first that needs it."""
    require_mark()
    return started(ClickHouse)


@functools.cache
def started(kind: Callable[[Path], _Kind]) -> _Kind:
    """A server for all tests, started by the first that needs it."""
    return _running.enter_context(running(kind))


def stop_all() -> None:
    """End the servers for all tests."""
    _running.close()


@contextlib.contextmanager
def running(kind: Callable[[Path], _Kind]) -> Iterator[_Kind]:
    """A server that runs until the context ends."""
    # Not in pytest's folder, which the server's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="tailmetrics-"))
    try:
        if not os.getuid():
            user = pwd.getpwnam(_OWNER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        server = kind(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
