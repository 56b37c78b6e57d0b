"""Backups of a running service and of stores that nobody has open, and what is restored of them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.stores import backup as backups
from tailmetrics.urls import FILE_STORE_SCHEMES, STORE_SCHEMES
from tests.cli.running import LOG, Run
from tests.integration.conftest import new_service
from tests.integration.running import Service, await_that
from tests.tailing.following import append, numbered

__all__ = ["new_service"]

_LINES_A_SECOND = 20_000


@contextmanager
def growing(log: Path) -> Iterator[list[int]]:
    """A log that grows by numbered lines; what is given holds how many there are."""
    written, ended = [0], threading.Event()

    def write() -> None:
        while not ended.wait(0.1):
            append(log, *numbered(written[0], written[0] + _LINES_A_SECOND // 10))
            written[0] += _LINES_A_SECOND // 10

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join()


def records_by_hand(content: bytes) -> list[tuple[Any, ...]]:
    """Each line with its offset, read without the package."""
    records, offset = [], 0
    for line in content.splitlines(keepends=True):
        day, time, customer, path, status, duration = line.decode().split()
        timestamp = datetime.fromisoformat(f"{day} {time}")
        records.append((offset, timestamp, customer, path, int(status), float(duration)))
        offset += len(line)
    return records


def test_a_backup_of_a_service_that_reads_20000_lines_a_second_goes_on_where_it_ends(
    run: Run, new_service: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, file = tmp_path / "x.log", tmp_path / "backup.duckdb"
    service = new_service(API_KEY="secret")
    monkeypatch.setenv("API_PORT", str(service.port))
    service.start()
    with growing(log) as written:
        service.await_total(_LINES_A_SECOND)
        assert (refused := run("backup", file)).exit_code == 77
        assert "X-API-Key: found nothing" in refused.stderr
        monkeypatch.setenv("API_KEY", "secret")
        taken = run("backup", file)
        at_the_end = written[0]
        await_that(lambda: written[0] > at_the_end + _LINES_A_SECOND, 30.0)
    assert (taken.exit_code, taken.stderr) == (0, "")
    assert taken.stdout.endswith(f"; from http://127.0.0.1:{service.port}\n")
    service.await_total(written[0])
    service.end()
    assert service.numbers() == list(range(written[0]))

    with duckdb.connect(str(file), read_only=True) as connection:
        [(position,)] = connection.execute("SELECT position FROM sources").fetchall()
        held = connection.execute(
            'SELECT "offset", timestamp, customer_id, path, status_code, duration FROM records ORDER BY 1'
        ).fetchall()
    expected = records_by_hand(log.read_bytes()[:position])
    assert _LINES_A_SECOND <= len(expected) <= at_the_end
    assert held == expected

    restored = new_service(str(log))
    done = run("restore", file, "--store-url", f"duckdb:///{restored.store}")
    assert (done.exit_code, done.stderr) == (0, "")
    restored.start()
    restored.await_total(written[0])
    restored.end()
    assert restored.numbers() == list(range(written[0]))


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_store_that_nobody_has_open_is_backed_up_and_restored(
    run: Run, tmp_path: Path, scheme: str
) -> None:
    messy = tmp_path / "messy.log"
    messy.write_bytes(LOG.read_bytes() + b"no request\n")
    urls = [f"{scheme}:///{tmp_path}/{name}.{scheme}" for name in ("first", "second")]
    assert run("load", messy, "--store-url", urls[0]).exit_code == 0
    taken = run("backup", "backup", "--store-url", urls[0])
    assert (taken.exit_code, taken.stderr) == (0, "")
    assert taken.stdout.startswith("backup: 10,000 records, 1 reject, positions of 1 log, ")
    assert run("restore", "backup", "--store-url", urls[1]).exit_code == 0
    stats = [run("stats", "--store-url", url, "--json").stdout for url in urls]
    assert json.loads(stats[0])["total_requests"] == 10_000
    assert stats[0] == stats[1]
    assert "already loaded" in run("load", messy, "--store-url", urls[1]).stdout


def test_a_file_that_is_there_is_replaced_only_by_force(run: Run, stored: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("the only copy of something")
    refused = run("backup", file, "--store-url", stored)
    assert (refused.exit_code, file.read_text()) == (1, "the only copy of something")
    assert run("backup", file, "--store-url", stored, "--force").exit_code == 0
    store = stored.removeprefix("duckdb:///")
    assert "is the store itself" in run("backup", store, "--store-url", stored, "--force").stderr


TOOLS = {
    "postgresql": "pg_dump --format=custom and pg_restore",
    "mysql": "mysqldump --single-transaction and mysql",
    "mariadb": "mariadb-dump --single-transaction and mariadb",
    "influxdb": "influx backup and influx restore",
    "clickhouse": "BACKUP DATABASE and RESTORE DATABASE",
}


@pytest.mark.parametrize("scheme", [each for each in STORE_SCHEMES if each not in FILE_STORE_SCHEMES])
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_server_is_left_to_its_own_tools(run: Run, command: str, scheme: str) -> None:
    login = "" if scheme == "influxdb" else "me:secret@"
    result = run(command, "backup", "--store-url", f"{scheme}://{login}host/shop")
    assert result.exit_code == 78
    assert TOOLS[scheme] in result.stderr
    assert "secret" not in result.stderr


def test_without_a_store_there_is_nothing_to_back_up(run: Run, tmp_path: Path) -> None:
    result = run("backup", "backup")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "there is no store at data/tailmetrics.duckdb" in result.stderr


@contextmanager
def _service_that_breaks_off(*, after: Callable[[], object]) -> Iterator[tuple[str, threading.Event]]:
    """Sends half of a backup, calls `after` and ends the connection; gives its port, and whether it sent."""
    sent = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b'{"status": "alive"}', 19)

        def do_POST(self) -> None:
            self._answer(bytes(1_000_000), 2_000_000)
            sent.set()
            after()

        def _answer(self, body: bytes, length: int) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield str(server.server_port), sent
        finally:
            server.shutdown()


def _backup_process(port: str, file: Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tailmetrics", "backup", str(file), "--port", port],
        env={**os.environ, "API_KEY": "secret"},
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_service_that_ends_meanwhile_leaves_no_backup(run: Run, tmp_path: Path) -> None:
    with _service_that_breaks_off(after=lambda: None) as (port, _):
        result = run("backup", tmp_path / "backup", "--port", port)
    assert (result.exit_code, list(tmp_path.iterdir())) == (69, [])
    assert f"the service at http://127.0.0.1:{port} gave no answer" in result.stderr


def test_ctrl_c_leaves_no_backup(tmp_path: Path) -> None:
    ended = threading.Event()
    with _service_that_breaks_off(after=lambda: ended.wait(60)) as (port, sent):
        process = _backup_process(port, tmp_path / "backup")
        assert sent.wait(30)
        await_that(lambda: any(tmp_path.iterdir()), 30.0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        ended.set()
    assert (process.returncode, said, list(tmp_path.iterdir())) == (130, "Interrupted.\n", [])


def test_a_full_disk_leaves_no_backup(tmp_path: Path) -> None:
    with _service_that_breaks_off(after=lambda: None) as (port, _):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
        process = _backup_process(port, tmp_path / "backup", preexec_fn=limit)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, list(tmp_path.iterdir())) == (74, [])
    assert "backup cannot be read or written: File too large" in said


def test_without_room_nothing_is_copied(
    run: Run, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = backups.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(backups.shutil, "disk_usage", lambda _: free)
    result = run("backup", tmp_path / "backup", "--store-url", stored)
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "has 1,000 bytes free, expected " in result.stderr


def test_a_running_service_keeps_its_store(run: Run, service: Service, stored: str, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "backup", "--store-url", stored).exit_code == 0
    url = f"duckdb:///{service.store}"
    assert "with --force it is kept" in run("restore", tmp_path / "backup", "--store-url", url).stderr
    held = run("restore", tmp_path / "backup", "--store-url", url, "--force")
    assert held.exit_code == 69
    assert "is held by process" in held.stderr
    assert service.total() == 10_000
