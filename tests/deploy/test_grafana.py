"""Dashboards of deploy/grafana ask for what there is, and their data sources are provisioned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailmetrics.stores import open_store
from tests import servers
from tests.builders import at, batch_of, source_of
from tests.deploy.test_prometheus import promtool
from tests.paths import ROOT
from tests.stores.influxdb.panels import panels
from tests.stores.sql.database import run, settings_of

FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")}
SOURCES = yaml.safe_load((FOLDER / "provisioning/datasources/tailmetrics.yml").read_text())["datasources"]


def targets(name: str) -> Iterator[dict[str, Any]]:
    for panel in DASHBOARDS[name]["panels"]:
        yield from panel["targets"]


def test_there_is_a_dashboard_for_each_data_source() -> None:
    asked = {
        target["datasource"]["uid"]: target["datasource"]["type"]
        for name in DASHBOARDS
        for target in targets(name)
    }
    assert asked == {source["uid"]: source["type"] for source in SOURCES}
    assert sorted(DASHBOARDS) == ["daily-stats", "influxdb", "prometheus"]


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    found = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    cells = [
        (x, y)
        for panel in found
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert all(panel["title"] and panel["description"] for panel in found)


def test_no_two_dashboards_have_one_address() -> None:
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


def test_flux_is_that_of_the_page_which_a_real_server_answers() -> None:
    texts = set(panels().values())
    assert {target["query"] for target in targets("influxdb")} <= texts
    [variable] = DASHBOARDS["influxdb"]["templating"]["list"]
    assert variable["query"]["query"] in texts


def test_dashboards_are_looked_for_where_compose_puts_them() -> None:
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/tailmetrics.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in (ROOT / "docker-compose.yml").read_text()


@pytest.mark.servers
def test_what_is_asked_of_prometheus_can_be_read(tmp_path: Path) -> None:
    texts = [
        target["expr"].replace("$customer", ".*").replace("$__rate_interval", "1m")
        for target in targets("prometheus")
    ]
    rules = [{"record": f"panel:{place}", "expr": text} for place, text in enumerate(texts)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(texts)} rules found" in promtool("check", "rules", str(file))


@pytest.mark.servers
def test_what_is_asked_of_daily_stats_is_answered() -> None:
    settings = settings_of(servers.postgresql().new_database())
    store = open_store(settings)
    rows = [
        (at(f"2024-10-{day}T12:00:00"), name, "/", status, 0.5)
        for day, name, status in ((10, "a", 200), (10, "a", 500), (11, "a'b", 200), (20, "a", 200))
    ]
    store.write([batch_of(store.register(source_of()), rows)])
    store.close()
    [variable] = DASHBOARDS["daily-stats"]["templating"]["list"]
    assert run(settings, variable["query"]) == [("a",), ("a'b",)]

    def asked(target: dict[str, Any]) -> list[Any]:
        text = target["rawSql"].replace("${customer:sqlstring}", "'a','a''b'")  # as Grafana puts them in
        within = "day BETWEEN '2024-10-10T06:00:00Z' AND '2024-10-12T06:00:00Z'"
        return run(settings, text.replace("$__timeFilter(day)", within))

    *by_day, table = (asked(target) for target in targets("daily-stats"))
    figures = [[(f"{time:%d}", name, float(value)) for time, name, value in each] for each in by_day]
    assert figures[0] == [("10", "a", 2), ("11", "a'b", 1)]  # requests
    assert figures[1] == [("10", "a", 50), ("11", "a'b", 100)]  # uptime
    assert figures[2] == figures[3] == [("10", "a", 0.5), ("11", "a'b", 0.5)]  # median and p99
    assert [(row[0], *map(float, row[1:])) for row in table] == [
        ("a", 2, 1, 50, 50, 0.5),
        ("a'b", 1, 0, 100, 100, 0.5),
    ]
