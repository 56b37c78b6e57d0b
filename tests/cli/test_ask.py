"""What stats, customers and status answer."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.running import LOG, Run, as_json
from tests.integration.running import Service
from tests.paths import DATA


def test_stats_are_the_expected_figures(run: Run, stored: str) -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]["cust_9"]["totals"]
    answer = as_json(run("stats", "cust_9", "--json", "--store-url", stored))
    assert {name: answer[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_stats_without_a_customer_are_of_all_together(run: Run, stored: str) -> None:
    answer = as_json(run("stats", "--json", "--store-url", stored))
    assert (answer["customer_id"], answer["total_requests"]) == (None, 10_000)


def test_customers_say_how_to_get_the_next_page(run: Run, stored: str) -> None:
    first = run("customers", "--limit", 30, "--store-url", stored).stdout
    cursor = re.search(r"--cursor (\S+)", first)
    assert cursor is not None
    second = run("customers", "--limit", 30, "--cursor", cursor[1], "--store-url", stored).stdout
    assert second.count("cust_") == 20 and "--cursor" not in second


def test_a_breakdown_by_path_adds_up(run: Run, stored: str) -> None:
    lines = run("breakdown", "cust_1", "--store-url", stored).stdout.splitlines()
    assert lines[0] == "cust_1, 4 of 4 paths, beginning to end"
    assert sum(int(line.split()[1]) for line in lines[3:-1]) == 161


def test_a_breakdown_by_status_is_that_of_the_service(run: Run, service: Service, stored: str) -> None:
    arguments = ("breakdown", "--by", "status", "--from=2024-09-05")
    from_store = run(*arguments, "--store-url", stored).stdout
    from_service = run(*arguments, "--port", service.port).stdout
    assert from_store.splitlines()[:-1] == from_service.splitlines()[:-1]
    assert from_store.splitlines()[1].split() == ["status", "requests", "failed"]


def test_the_slowest_requests_that_failed_with_the_line_of_each(run: Run, service: Service) -> None:
    asked = ("requests", "cust_1", "--failed", "--slowest", "--limit", 3, "--port", service.port)
    lines = LOG.read_text().splitlines()
    shown = run(*asked, "--lines", env={"API_KEY": "secret"})
    assert shown.exit_code == 0, shown.stderr
    title, *rows = shown.stdout.splitlines()
    assert title == "cust_1, 3 requests, slowest first, beginning to end"
    slowest = sorted(
        (line for line in lines if " cust_1 " in line and int(line.split()[4]) >= 400),
        key=lambda line: float(line.split()[5]),
        reverse=True,
    )
    answer = as_json(run(*asked, "--lines", "--json", env={"API_KEY": "secret"}))
    assert [row["line"] for row in answer["requests"]] == slowest[:3]
    assert [row.strip() for row in rows[1:6:2]] == slowest[:3]
    assert [f"{LOG}:{row['offset']}" in shown.stdout for row in answer["requests"]] == [True] * 3
    head = run(*asked, env={"API_KEY": "secret"}).stdout.splitlines()[1]
    assert head.split() == ["time", "path", "status", "seconds", "log:byte"]
    assert "only status 0, 400-599; " in rows[-2]
    assert "--cursor" in rows[-1]


def test_requests_need_the_key_of_the_service(run: Run, service: Service) -> None:
    result = run("requests", "--port", service.port)
    assert (result.exit_code, "API_KEY" in result.stderr) == (77, True)


def test_requests_of_a_store_whose_log_is_not_followed_say_so(run: Run, stored: str) -> None:
    asked = ("requests", "--limit", 1, "--json", "--store-url", stored)
    [row] = as_json(run(*asked, "--lines"))["requests"]
    assert (row["line"], row["line_missing"]) == (
        None,
        f"{LOG} is none of the logs of LOG_FILE_PATH and LOG_SOURCES",
    )
    [row] = as_json(run(*asked))["requests"]
    assert (row["source"], "line" in row) == (str(LOG), False)


def test_what_is_counted_is_said_below_the_table(run: Run, stored: str) -> None:
    shown = run("stats", "--path", "/api/*", "--path", "!*3", "--status", "5xx", "--store-url", stored).stdout
    assert shown.splitlines()[-1].startswith("failed: 4xx+5xx; only path /api/*, !*3; status 5xx; from ")
    assert "only" not in run("stats", "--store-url", stored).stdout


def test_a_wrong_filter_is_a_usage_error(run: Run, stored: str) -> None:
    result = run("stats", "--status", "9xx", "--store-url", stored)
    assert (result.exit_code, "status: found '9xx', expected a status such as 404" in result.stderr) == (
        2,
        True,
    )


@pytest.fixture
def rejected(run: Run, tmp_path: Path) -> str:
    """The URL of a store with three rejects of two logs; one could be a formula, one is long."""
    (tmp_path / "a.log").write_text(f"=1+1\n2024-11-06 06:33:33 cust_1 /x 999 0.1\n{'x' * 1000}\n")
    (tmp_path / "b.log").write_text("\x1b[31m\n2024-11-06 06:33:33 cust_1 /x 200 0.1\n")
    url = f"duckdb:///{tmp_path}/rejected.duckdb"
    loads = [run("load", name, "--log-format", "requests", "--store-url", url) for name in ("a.log", "b.log")]
    assert [load.exit_code for load in loads] == [65, 0]
    return url


def test_rejects_are_shown_below_the_name_of_their_log(run: Run, rejected: str, tmp_path: Path) -> None:
    shown = run("rejects", "--store-url", rejected).stdout
    of_b, of_a = shown.partition(f"{tmp_path}/a.log")[::2]
    assert shown.startswith("4 of 4 rejected lines\n") and f"{tmp_path}/b.log" in of_b
    assert r"\x1b[31m" in of_b and "\x1b" not in of_b
    assert "status_code: found '999'" in of_a
    assert "x…" in of_a and of_a.count("x") < 400


def test_rejects_say_how_to_get_the_next_page(run: Run, rejected: str) -> None:
    first = run("rejects", "--limit", 2, "--store-url", rejected).stdout
    cursor = re.search(r"--cursor (\S+)", first)
    assert cursor is not None
    second = run("rejects", "--limit", 2, "--cursor", cursor[1], "--store-url", rejected).stdout
    assert "--cursor" not in second and "999" in first + second


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (("stats", "cust_1", "--every", "7d"), "/customers/cust_1/stats?every=7d"),
        (("customers", "--sort=-requests", "--limit", 3), "/customers?sort=-requests&limit=3"),
        (("breakdown", "cust_1", "--top", 2), "/customers/cust_1/breakdown?top=2"),
        (("breakdown", "--by", "status"), "/breakdown?by=status"),
        (("rejects",), "/rejects"),
        (
            ("stats", "--status", "5xx,404", "--path", "*2", "--path", "*1"),
            "/stats?status=5xx,404&path=*2&path=*1",
        ),
        (("customers", "--path", "!*2", "--limit", 3), "/customers?path=!*2&limit=3"),
        (("breakdown", "cust_1", "--latencies"), "/customers/cust_1/breakdown?latencies=true"),
    ],
)
def test_csv_is_that_of_the_service(
    run: Run, service: Service, stored: str, arguments: tuple[object, ...], query: str
) -> None:
    wanted = service.client.get(query, headers={"Accept": "text/csv"}).content
    for where in (("--port", service.port), ("--store-url", stored)):
        result = run(*arguments, "--csv", *where)
        assert (result.exit_code, result.stdout_bytes) == (0, wanted)
        assert ("--cursor" in result.stderr) == ("limit" in query)


def test_csv_of_rejects_holds_no_formula(run: Run, rejected: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run("rejects", "--csv", "--store-url", rejected).stdout)))
    assert "'=1+1" in [row["line"] for row in rows]


def test_csv_and_json_at_once_are_refused(run: Run, stored: str) -> None:
    result = run("rejects", "--csv", "--json", "--store-url", stored)
    assert (result.exit_code, "--json and --csv" in result.stderr) == (2, True)


def test_an_unknown_customer_is_a_failure(run: Run, stored: str) -> None:
    result = run("stats", "nobody", "--store-url", stored)
    assert (result.exit_code, "nobody" in result.stderr, result.stdout) == (1, True, "")


def test_status_without_a_service_tells_how_far_each_log_is_stored(run: Run, stored: str) -> None:
    [source] = as_json(run("status", "--json", "--store-url", stored))["sources"]
    size = LOG.stat().st_size
    assert (source["path"], source["state"], source["position"]) == (str(LOG), "stored", size)


def test_status_of_a_service_tells_what_its_dataflow_does(run: Run, service: Service) -> None:
    document = as_json(run("status", "--json", "--port", str(service.port)))
    assert (document["ready"], document["ingestion"]["state"]) == (True, "running")


def test_status_without_a_store_says_how_to_make_one(run: Run) -> None:
    result = run("status")
    assert (result.exit_code, "`tailmetrics up`" in result.stderr) == (69, True)
