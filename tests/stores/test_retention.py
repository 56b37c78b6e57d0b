"""What RETENTION_DAYS deletes is told in one line of the log."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.stores import open_store
from tailmetrics.stores.retention import log_deleted
from tests.builders import at, batch_of, moved, source_of


@pytest.mark.parametrize("url", ["duckdb:///{}/store.duckdb", "sqlite:///{}/store.sqlite"])
def test_a_run_that_deletes_says_how_many_of_which_range_and_by_which_setting(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(None, store_url=url.format(tmp_path), node_id="node")
    now = datetime.now(timezone.utc)
    store = open_store(settings)
    source = store.register(source_of())
    first = batch_of(source, [(now - timedelta(days=days), "a", "/", 200, 0.1) for days in range(10)])
    store.write([first])
    store.close()
    assert "RETENTION_DAYS" not in capsys.readouterr().out
    keeping = open_store(settings.model_copy(update={"retention_days": 5}))
    keeping.write([batch_of(moved(source, first), blanks=1)])
    keeping.close()
    [line] = [line for line in capsys.readouterr().out.splitlines() if "deleted by RETENTION_DAYS" in line]
    begin, end = ((now - timedelta(days=days)).strftime("%Y-%m-%dT%H") for days in (9, 5))
    assert re.search(rf"before={end}.* from={begin}.* records=5 rejects=0 retention_days=5", line)


def test_where_only_rejects_are_deleted_no_range_of_records_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_deleted(3, at("2024-10-10"), None, 0, 7)
    line = capsys.readouterr().out
    assert "before=2024-10-10T00:00:00Z" in line
    assert "from=" not in line
    assert "rejects=7" in line
