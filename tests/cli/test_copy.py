"""The command copy: from store to store, what it says, and a service that goes on with the new store."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.stores import copying
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.cli.running import LOG, MESSY, Run, as_json
from tests.faults.living import Living
from tests.servers import mariadb, postgresql
from tests.tailing.following import append, numbered

ASKED = (
    ("customers", "--limit", "100"),
    ("stats", "--every", "1d"),
    ("stats", "cust_31", "--every", "1h", "--tz", "Europe/Berlin"),
    ("breakdown", "cust_31"),
    ("requests", "cust_31"),
    ("rejects", "--limit", "1000"),
    ("status",),
)


def answers(run: Run, store: str) -> list[object]:
    return [comparable(as_json(run(*asked, "--json", "--store-url", store))) for asked in ASKED]


def comparable(document: Any) -> Any:
    """Without what is of one store alone, and the last digits of sums, which depend on their order."""
    if isinstance(document, dict):
        own = ("version", "updated_at", "store")
        return {name: comparable(value) for name, value in document.items() if name not in own}
    if isinstance(document, list):
        return [comparable(each) for each in document]
    return float(f"{document:.12g}") if isinstance(document, float) else document


@pytest.fixture
def old(run: Run, tmp_path: Path) -> str:
    store = f"duckdb:///{tmp_path}/old.duckdb"
    assert run("load", LOG, MESSY, "--log-format", "requests", "--store-url", store).exit_code == 0
    return store


@pytest.mark.nightly
def test_a_copy_of_a_copy_gives_the_answers_of_the_first_store(run: Run, old: str, tmp_path: Path) -> None:
    stores = [old, f"sqlite:///{tmp_path}/new/b.sqlite", f"duckdb:///{tmp_path}/c.duckdb"]
    for origin, target in itertools.pairwise(stores):
        copied = run("copy", "--from", origin, "--to", target)
        assert (copied.exit_code, copied.stderr) == (0, "")
        assert copied.stdout.startswith(f"{target}: 12,013 records, 26 rejects, ")
        assert copied.stdout.endswith(f"; from {origin}\n")
    first = answers(run, old)
    for store in stores[1:]:
        assert answers(run, store) == first


@pytest.mark.servers
def test_a_copy_through_servers_gives_the_answers_of_the_first_store(
    run: Run, old: str, tmp_path: Path
) -> None:
    stores = [old, postgresql().new_database(), mariadb().new_database(), f"duckdb:///{tmp_path}/d.duckdb"]
    for origin, target in itertools.pairwise(stores):
        copied = run("copy", "--from", origin, "--to", target)
        assert copied.exit_code == 0, copied.stderr
        assert "pass%2Fw%40rd" not in copied.stdout
    first = answers(run, old)
    assert [answers(run, store) for store in stores[1:]] == [first] * 3


def test_a_second_copy_says_that_it_is_done(run: Run, old: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path}/new.sqlite"
    first = as_json(run("copy", "--from", old, "--to", new, "--json"))
    assert (first["from"], first["to"], first["was_done"]) == (old, new, False)
    again = run("copy", "--from", old, "--to", new)
    assert again.stdout.startswith(f"{new}: already copied, nothing was added: {first['records']:,} records")


def test_a_copy_that_is_killed_is_gone_on_with(run: Run, old: str, tmp_path: Path) -> None:
    """By SIGKILL behind a commit: a child has commits of few records, and ends itself."""
    new = f"duckdb:///{tmp_path}/new.duckdb"
    child = (
        "import os, signal, sys\n"
        "from tailmetrics.cli.commands import main\n"
        "from tailmetrics.stores import record_pages\n"
        "from tailmetrics.stores.duckdb.store import DuckDBStore\n"
        "record_pages.PAGE_RECORDS = 500\n"
        "DuckDBStore.commit_lines, write, left = 500, DuckDBStore.write, [int(sys.argv.pop())]\n"
        "def dying(store, batches):\n"
        "    write(store, batches)\n"
        "    left[0] -= 1\n"
        "    left[0] or os.kill(os.getpid(), signal.SIGKILL)\n"
        "DuckDBStore.write = dying\n"
        "main()\n"
    )
    for commits in (1, 7):
        arguments = ["copy", "--from", old, "--to", new, str(commits)]
        ended = subprocess.run([sys.executable, "-c", child, *arguments], timeout=60, check=False)
        assert ended.returncode == -signal.SIGKILL
    assert run("copy", "--from", old, "--to", new).exit_code == 0
    assert answers(run, new) == answers(run, old)


def test_interrupted_it_says_how_far_it_is(
    run: Run, old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"duckdb:///{tmp_path}/new.duckdb"
    rejects = copying._Copying.copy_rejects

    async def interrupted(copy: copying._Copying) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await rejects(copy)

    monkeypatch.setattr(copying._Copying, "copy_rejects", interrupted)
    result = run("copy", "--from", old, "--to", new)
    assert result.exit_code == 130
    assert "interrupted at 12,013 of 12,039 lines; the same command goes on" in result.stderr
    monkeypatch.undo()
    assert as_json(run("copy", "--from", old, "--to", new, "--json"))["was_done"] is False


def test_a_service_goes_on_with_the_new_store_at_the_same_byte(run: Run, tmp_path: Path) -> None:
    """Lines come, and the log is rotated, between the end of one store and the beginning of the other."""
    log = tmp_path / "logs" / "x.log"
    log.parent.mkdir()
    append(log, *numbered(0, 1000))
    living = Living(tmp_path / "living", f"{log.parent}/*.log*")
    living.start()
    living.await_count(1000)
    append(log, *numbered(1000, 1500))
    living.await_count(1500)
    living.stop()
    append(log, *numbered(1500, 1700))
    log.rename(log.with_name("x.log.1"))
    append(log, *numbered(1700, 2000))
    first, between = f"duckdb:///{tmp_path}/first.duckdb", f"sqlite:///{tmp_path}/between.sqlite"
    store = living.folder / "store.duckdb"
    shutil.move(store, tmp_path / "first.duckdb")
    for origin, target in ((first, between), (between, f"duckdb:///{store}")):
        assert run("copy", "--from", origin, "--to", target).exit_code == 0
    living.must_have(range(2000))


def test_the_store_to_copy_is_that_of_the_settings(
    run: Run, old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_URL", old)
    assert f"; from {old}\n" in run("copy", "--to", f"duckdb:///{tmp_path}/new.duckdb").stdout


def test_it_says_what_retention_will_delete_and_deletes_nothing_of_the_old_store(
    run: Run, old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = as_json(run("status", "--json", "--store-url", old))
    monkeypatch.setenv("RETENTION_DAYS", "30")
    copied = run("copy", "--from", old, "--to", f"sqlite:///{tmp_path}/new.sqlite")
    assert copied.exit_code == 0
    assert "RETENTION_DAYS is 30: of the records, which begin at 2024-" in copied.stderr
    monkeypatch.delenv("RETENTION_DAYS")
    assert as_json(run("status", "--json", "--store-url", old)) == before


class TestRefusals:
    def test_one_store_twice(self, run: Run, old: str, tmp_path: Path) -> None:
        (tmp_path / "link.duckdb").symlink_to(tmp_path / "old.duckdb")
        for target in (old, f"duckdb:///{tmp_path}/link.duckdb"):
            result = run("copy", "--from", old, "--to", target)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "--from and --to are the same store" in result.stderr

    def test_a_store_that_is_not_there_is_not_made(self, run: Run, tmp_path: Path) -> None:
        result = run("copy", "--from", f"duckdb:///{tmp_path}/no.duckdb", "--to", f"sqlite:///{tmp_path}/x")
        assert result.exit_code == 1
        assert f"there is no store at {tmp_path}/no.duckdb; --from must name one" in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_database_that_holds_no_store_is_only_read(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty.sqlite").touch()
        result = run(
            "copy", "--from", f"sqlite:///{tmp_path}/empty.sqlite", "--to", f"sqlite:///{tmp_path}/x"
        )
        assert result.exit_code == 69
        assert f"there is no store at sqlite:///{tmp_path}/empty.sqlite; expected one" in result.stderr
        assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("empty.sqlite", 0)]

    def test_a_file_that_a_service_holds(self, run: Run, old: str, tmp_path: Path) -> None:
        holding = DuckDBStore(load_settings(None, store_url=old))
        result = run("copy", "--from", old, "--to", f"sqlite:///{tmp_path}/new.sqlite")
        holding.close()
        assert result.exit_code == 69
        assert "--from: " in result.stderr

    def test_a_url_of_no_store_with_its_password_masked(self, run: Run, old: str) -> None:
        result = run("copy", "--from", old, "--to", "mongodb://user:secret@host/shop")
        assert result.exit_code == 2
        assert "--to: found 'mongodb://user:***@host/shop', expected a URL that begins with" in result.stderr
