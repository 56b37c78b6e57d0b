"""A service that follows logs with settings of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import Service

NGINX = '203.0.113.9 - bob [10/Oct/2024:13:55:36 +0200] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 250\n'


@pytest.mark.slow
def test_each_log_is_followed_by_the_settings_of_its_table(tmp_path: Path) -> None:
    web, jobs, other = (tmp_path / name for name in ("web.log", "jobs.log", "other.log"))
    web.write_text(NGINX)
    jobs.write_text("2024-10-10 13:55:36|ann|/job|200\n")
    other.write_text("2024-10-10 13:55:36 eve /cart 200 0.5\n")
    sources = tmp_path / "sources.toml"
    sources.write_text(f"""
[[source]]
path = "{web}"
format = "nginx"
duration_unit = "ms"
[[source]]
path = "{jobs}"
timezone = "Asia/Tokyo"
pattern = '(?P<timestamp>[^|]+)\\|(?P<customer_id>[^|]+)\\|(?P<path>[^|]+)\\|(?P<status_code>\\d+)'
""")
    service = Service(tmp_path, str(other), LOG_SOURCES=str(sources))
    try:
        service.start()
        service.await_total(3)
        spans = {"bob": 11, "ann": 4, "eve": 13}  # the hour in UTC
        stats = {
            name: service.client.get(
                f"/customers/{name}/stats?from=2024-10-10T{hour:02}:55:36Z&to=2024-10-10T{hour:02}:55:37Z"
            ).json()
            for name, hour in spans.items()
        }
        ready = service.client.get("/ready").json()
    finally:
        service.close()
    assert [stats[name]["average_latency"] for name in stats] == [0.25, None, 0.5]
    assert [stats[name]["total_requests"] for name in stats] == [1, 1, 1]
    assert {source["path"] for source in ready["sources"]} == {str(web), str(jobs), str(other)}
