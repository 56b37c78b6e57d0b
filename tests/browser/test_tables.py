"""The tables and lists of the dashboard: nothing of them is cut off, and what they leave out is said."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, lines
from tests.integration.running import Service

AXE = Path(__file__).parent / "axe" / "axe.min.js"
LONG_PATH = "/api/v2/organizations/payments/reconciliation/report"
LONG_LINE = '203.0.113.9 - bob "GET /a/very/long/path/that/goes/on?with=a&query=string HTTP/1.1" 200 612 250'


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with long paths and ids, lines of which one is long, and one customer of one request."""
    folder = tmp_path_factory.mktemp("wide")
    now = datetime.now(timezone.utc) - timedelta(minutes=2)
    log = lines().replace("/api/v1/resource1", LONG_PATH).replace("cust_5", "acme-industries-international")
    log += f"{now:%Y-%m-%d %H:%M:%S} lonely / 500 12.5\n{LONG_LINE}\n{'x' * 400}\n"
    (folder / "requests.log").write_text(log)
    service = Service(folder, str(folder / "requests.log"))
    service.start()
    service.await_total(276)
    yield service
    service.close()


def see_all(page: Page) -> None:
    """Scroll to what is loaded when it is seen; what is above may grow meanwhile, and push it away again."""
    page.wait_for_function(
        """() => {
            document.querySelector("#breakdown").scrollIntoView();
            return document.querySelectorAll("#statuses tbody tr").length === 2;
        }"""
    )


def cut_off(page: Page, width: int) -> tuple[list[str], int]:
    """What is not wholly on the screen and in what it stands in, and how much was looked at."""
    cut, number = page.evaluate(
        """(width) => {
            const all = [...document.querySelectorAll(':is(th, td), #rejects li > *')];
            const cells = all.filter((cell) => cell.checkVisibility());
            const isCut = (cell) => {
                const range = document.createRange();
                range.selectNodeContents(cell);
                const {left, right} = range.getBoundingClientRect();
                const holder = cell.closest('.scroll, .panel').getBoundingClientRect();
                const isWithin = left >= Math.max(0, holder.left) && right <= Math.min(width, holder.right);
                return !isWithin || cell.scrollWidth > cell.clientWidth;
            };
            return [cells.filter(isCut).map((cell) => cell.outerHTML), cells.length];
        }""",
        width,
    )
    return cut, number


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("address", ["/?range=24h&tz=UTC", "/?customer=cust_1&range=24h&tz=UTC"])
def test_all_that_tables_and_lists_hold_is_on_the_screen(
    new_visitor: Callable[..., Visitor], wide: Service, address: str, width: int, scheme: str
) -> None:
    visitor = new_visitor(color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 900})
    page = visitor.open(wide, address)
    see_all(page)
    for chart in ("Requests", "Latency"):
        page.get_by_text(f"{chart} as a table").click()
    expect(page.locator("#chart-latency tbody tr").first).to_be_attached()
    cut, number = cut_off(page, width)
    assert (cut, number > 50) == ([], True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=AXE)
    found = page.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_line_that_could_not_be_read_has_the_width_of_its_panel(
    new_visitor: Callable[..., Visitor], wide: Service, width: int
) -> None:
    page = new_visitor(viewport={"width": width, "height": 900}).open(wide, "/?range=24h&tz=UTC")
    line = page.locator("#rejects code", has_text="x" * 100)
    panel = page.locator("#rejects").bounding_box()
    box = line.bounding_box()
    assert panel and box and box["width"] > 0.85 * panel["width"]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_path_is_broken_behind_slashes_only(
    new_visitor: Callable[..., Visitor], wide: Service, width: int
) -> None:
    page = new_visitor(viewport={"width": width, "height": 900}).open(wide, "/?range=24h&tz=UTC")
    see_all(page)
    name = page.locator("#paths .name", has_text="reconciliation")
    assert name.text_content() == LONG_PATH
    parts = name.evaluate(
        """name => [...name.childNodes].filter(({nodeType}) => nodeType === Node.TEXT_NODE).map((part) => {
            const range = document.createRange();
            range.selectNodeContents(part);
            return range.getClientRects().length;
        })"""
    )
    assert parts == [1] * len(LONG_PATH.split("/"))


@pytest.mark.parametrize("width", [1280, 390])
def test_counts_of_millions_have_room_beside_each_other(
    new_visitor: Callable[..., Visitor], wide: Service, width: int
) -> None:
    visitor = new_visitor(viewport={"width": width, "height": 900})
    count = {"total_requests": 12_345_678, "failed_requests": 12_345_678}
    few = {"total_requests": 12, "failed_requests": 1}
    answer = {
        "paths": [{"path": LONG_PATH, **count}, {"path": "/", **few}],
        "paths_total": 2,
        "statuses": [{"status_code": 404, **count}, {"status_code": 500, **few}],
    }
    visitor.context.route(re.compile(r"/breakdown\?"), lambda route: route.fulfill(json=answer))
    page = visitor.open(wide, "/?range=24h&tz=UTC")
    see_all(page)
    cut, number = cut_off(page, width)
    assert (cut, number > 20) == ([], True)
    for table in ("paths", "statuses"):
        edges = page.locator(f"#{table} tbody tr").evaluate_all(
            """rows => rows.map(({cells}) => {
                const edge = (node, side) => Math.round(node.getBoundingClientRect()[side]);
                const [, requests, failed] = cells;
                const bar = requests.querySelector('svg');
                const [count, share] = failed.children;
                return {
                    space: edge(count, 'left') - edge(bar, 'right'),
                    alike: [edge(bar, 'left'), edge(bar, 'right'), edge(count, 'right'), edge(share, 'left')],
                };
            })"""
        )
        assert all(row["space"] >= 8 for row in edges), edges
        assert edges[0]["alike"] == edges[1]["alike"]
        parts = page.locator(f"#{table} :is(thead, tbody)")
        assert (
            parts.evaluate_all("all => all.map((part) => getComputedStyle(part).borderBottomWidth)")
            == ["0px"] * 2
        )


@pytest.mark.parametrize("locale", ["en-GB", "en-US"])
def test_the_last_label_of_an_axis_has_room(
    new_visitor: Callable[..., Visitor], wide: Service, locale: str
) -> None:
    """A label is centered below its line, which may be at the very end."""
    page = new_visitor(locale=locale).open(wide, "/?range=24h&tz=UTC")
    over = page.locator("#chart-requests .u-over")
    over.wait_for()
    room, label = over.evaluate(
        """over => {
            const pen = document.createElement('canvas').getContext('2d');
            pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
            const time = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit'}).format();
            const canvas = over.parentElement.querySelector('canvas').getBoundingClientRect();
            return [canvas.right - over.getBoundingClientRect().right, pen.measureText(time).width];
        }"""
    )
    assert room >= label / 2


def test_the_overview_has_the_paths_and_statuses_of_the_api(visitor: Visitor, wide: Service) -> None:
    page = visitor.open(wide, "/?range=24h&tz=UTC")
    see_all(page)
    wanted = wide.client.get("/breakdown").json()
    for table, key, name in (("paths", "paths", "path"), ("statuses", "statuses", "status_code")):
        shown = page.locator(f"#{table} tbody .name").all_text_contents()
        assert shown == [str(row[name]) for row in wanted[key]]
    # Those of a customer come in their place, and go with it.
    page.get_by_role("link", name="lonely").click()
    expect(page.locator("#paths tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("#paths tbody tr")).to_have_count(len(wanted["paths"]))


def test_the_first_figures_wait_for_no_breakdown_and_follow_it_when_seen(
    visitor: Visitor, own: Service
) -> None:
    log = own.folder / "requests.log"
    log.write_text(lines(customers=60, minutes=3, status=200))
    own.start()
    own.await_total(180)
    asked: list[str] = []
    visitor.context.on(
        "request", lambda request: asked.append(request.url) if "/breakdown?" in request.url else None
    )
    page = visitor.open(own, "/?range=24h&tz=UTC")
    expect(page.locator("#customers-table tbody tr")).to_have_count(50)
    expect(page.locator("#chart-latency .u-over")).to_be_visible()
    assert asked == []
    page.locator("#breakdown").scroll_into_view_if_needed()
    total = page.locator("#statuses tbody tr").first.locator("data").first
    expect(total).to_have_text("180")
    with log.open("a") as stream:
        stream.write(lines(customers=7, minutes=1, status=201))
    expect(page.locator("#statuses .name").nth(1)).to_have_text("201")


def test_by_uptime_and_latency_customers_of_few_requests_are_left_out_and_that_is_said(
    visitor: Visitor, wide: Service
) -> None:
    page = visitor.open(wide, "/?range=24h&tz=UTC")
    expect(page.get_by_role("link", name="lonely")).to_be_visible()
    expect(page.get_by_label("At least")).to_have_value("1")
    for column in ("Uptime", "Median", "p99"):
        page.get_by_role("button", name=column).click()
        expect(page.locator("#least-note")).to_contain_text(
            "Customers of fewer than 10 requests are left out"
        )
        expect(page.get_by_label("At least")).to_have_value("10")
        expect(page.get_by_role("link", name="lonely")).to_have_count(0)
    page.get_by_label("At least").select_option("1")
    expect(page.locator("#customers-table .customer").first).to_have_text("lonely")
    expect(page).to_have_url(re.compile("min_requests=1(&|$)"))
    page.get_by_label("At least").select_option("1000")
    expect(page.locator("#customers-none")).to_contain_text("those of fewer than 1,000 requests left out")
    page.get_by_role("link", name="tailmetrics").click()
    expect(page.get_by_label("At least")).to_have_value("10")


def test_a_search_takes_either_case(visitor: Visitor, wide: Service) -> None:
    page = visitor.open(wide, "/?range=24h&tz=UTC")
    page.get_by_label("Search").fill("CUST_4")
    expect(page.locator("#page-text")).to_have_text("1 to 1 of 1")
    page.get_by_label("Search").fill("ACME-Ind")
    expect(page.locator("#customers-table .customer")).to_have_text(["acme-industries-international"])


def test_csv_of_a_page_has_all_customers_in_their_order(visitor: Visitor, own: Service) -> None:
    (own.folder / "requests.log").write_text(lines(customers=5000, minutes=2))
    own.start()
    own.await_total(10_000)
    page = visitor.open(own, "/?range=24h&tz=UTC&sort=customer_id")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV of all 5,000").click()
    with started.value.path().open(newline="") as file:
        ids = [row["customer_id"] for row in csv.DictReader(file)]
    assert ids == sorted(f"cust_{number}" for number in range(1, 5001))
    with page.expect_download() as started:
        page.get_by_role("link", name="JSON of this page").click()
    assert started.value.path().read_text().count('"customer_id"') == 50
