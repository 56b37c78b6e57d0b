"""From a day to the line behind a failure, by keyboard alone and by mouse alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor, lines
from tests.browser.test_dashboard import tab_to
from tests.integration.running import Service

AXE = Path(__file__).parent / "axe" / "axe.min.js"
YESTERDAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
FAILED = f"{YESTERDAY:%Y-%m-%d} 10:30:05 acme /pay 500 0.750"
DAY = f"{YESTERDAY:%Y-%m-%d}"
ADDRESS = "/?customer=acme&range=7d&tz=UTC"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Requests of three days, each ten minutes; one of yesterday failed, as did one of another customer."""
    folder = tmp_path_factory.mktemp("drill")
    log = [
        f"{YESTERDAY + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S} acme /list 200 0.100"
        for minute in range(-1440, 1440, 10)
    ]
    other = f"{DAY} 10:31:00 other /pay 500 9.000"
    (folder / "requests.log").write_text("\n".join(sorted([*log, FAILED, other])) + "\n")
    service = Service(folder, str(folder / "requests.log"))
    service.start()
    service.await_total(len(log) + 2)
    yield service
    service.close()


def settled(page: Page) -> None:
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")


def chart(page: Page) -> Locator:
    return page.locator("#chart-requests [role=slider]")


def total(page: Page, requests: int) -> None:
    expect(page.locator("#figures .total_requests data")).to_have_attribute("value", str(requests))


def test_from_a_day_to_the_line_by_keyboard_only(visitor: Visitor, shop: Service) -> None:
    page = visitor.open(shop, ADDRESS)
    press = page.keyboard.press
    page.locator("#calendar").scroll_into_view_if_needed()
    expect(page.locator(f"[data-day='{DAY}']")).to_contain_text("99.31%")
    tab_to(page, "document.activeElement.dataset.day")
    press("ArrowUp")
    press("ArrowDown")
    press("PageDown")
    press("ArrowLeft")
    expect(page.locator(f"[data-day='{DAY}']")).to_be_focused()
    press("Enter")
    total(page, 145)
    expect(chart(page)).to_be_focused()
    press("Home")
    for _ in range(40):
        press("ArrowRight")
    for _ in range(3):
        press("Shift+ArrowRight")
    expect(chart(page)).to_have_attribute("aria-valuetext", re.compile("10:00.11:00: Succeeded 6, Failed 1"))
    press("Enter")
    total(page, 7)
    press("Home")
    for _ in range(60):
        if "Failed 1" in (chart(page).get_attribute("aria-valuetext") or ""):
            break
        press("ArrowRight")
    press("Enter")
    expect(page.locator("#requests-title")).to_be_focused()
    expect(page.locator("#requests-title")).to_have_text("Failed requests")
    expect(page.locator("#requests-table tbody tr:not(.line)")).to_have_count(1)
    tab_to(page, "document.activeElement.ariaExpanded === 'false'")
    press("Enter")
    expect(page.locator("#requests-table .line code")).to_have_text(FAILED)
    for requests in (7, 145):
        press("Escape")
        total(page, requests)
    expect(page.locator("#requests")).to_be_hidden()
    press("Escape")
    expect(page).to_have_url(re.compile("range=7d"))


def test_from_a_day_to_the_line_by_mouse(visitor: Visitor, shop: Service) -> None:
    page = visitor.open(shop, ADDRESS)
    page.locator("#calendar").scroll_into_view_if_needed()
    page.locator(f"[data-day='{DAY}']").click()
    total(page, 145)
    drag(page, 10 / 24, 11 / 24)
    total(page, 7)
    expect(page).to_have_url(re.compile(f"from={DAY}T10%3A00%3A00Z&to={DAY}T11%3A00%3A00Z"))
    over = page.locator("#chart-requests .u-over")
    box = over.bounding_box() or pytest.fail("no chart")
    over.click(position={"x": box["width"] * 30.5 / 60, "y": box["height"] / 2})
    page.get_by_role("button", name="Line of").click()
    expect(page.locator("#requests-table .line code")).to_have_text(FAILED)
    page.locator("#requests-kinds").get_by_text("All").click()
    expect(page.locator("#requests-table tbody tr:not(.line)")).to_have_count(2)
    page.locator("#zoom-out").click()
    expect(page.locator("#requests")).to_be_hidden()
    page.locator("#zoom-out").click()
    total(page, 145)


def test_paths_and_statuses_are_filters_of_every_figure(visitor: Visitor, shop: Service) -> None:
    page = visitor.open(shop, ADDRESS)
    page.locator("#breakdown").scroll_into_view_if_needed()
    row = page.locator("#paths tbody tr", has_text="/pay")
    expect(row.locator("data").first).to_have_text("1")
    expect(row.locator("td").nth(2)).to_have_text("750\u202fms")
    row.get_by_role("link").click()
    total(page, 1)
    expect(page).to_have_url(re.compile("path=%2Fpay"))
    page.get_by_role("button", name="Leave out the filter by path").click()
    total(page, 289)
    page.locator("#statuses").get_by_role("link", name="500").click()
    total(page, 1)


def test_the_period_before_is_compared(visitor: Visitor, shop: Service) -> None:
    day = f"from={DAY}&to={YESTERDAY + timedelta(days=1):%Y-%m-%d}"
    page = visitor.open(shop, f"/?customer=acme&{day}&tz=UTC")
    expect(page.locator("#figures .total_requests .change")).to_have_text(re.compile("0.69%, was 144"))
    expect(page.locator("#chart-requests .key-before")).to_be_visible()
    page.get_by_label("Compare").uncheck()
    expect(page.locator("#chart-requests .key-before")).to_be_hidden()
    expect(page).to_have_url(re.compile("compare=off"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_in_what_is_opened(
    new_visitor: Callable[..., Visitor], shop: Service, width: int, scheme: str
) -> None:
    visitor = new_visitor(color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 900})
    page = visitor.open(shop, f"{ADDRESS}&requests=all&status=500")
    page.get_by_role("button", name="Line of").click()
    expect(page.locator("#requests-table .line code")).to_have_text(FAILED)
    for part in ("#calendar", "#heat"):
        page.locator(part).scroll_into_view_if_needed()
    page.get_by_text("Latency over time as a table").click()
    expect(page.locator("#heat-table tbody tr")).to_have_count(60)
    expect(page.locator("#days td[data-day]").first).to_be_visible()
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=AXE)
    found: list[Any] = page.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def drag(page: Page, start: float, end: float) -> None:
    """Over the bars of a chart, from one share of its width to another."""
    over = page.locator("#chart-requests .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box() or pytest.fail("no chart")
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start + 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (start + end) / 2, y)
    page.mouse.move(box["x"] + box["width"] * end - 2, y)
    page.mouse.up()


OBJECTIVES = """
[[objective]]
name = "available"
target = 99

[[objective]]
name = "fast"
kind = "latency"
limit_seconds = 0.5
target = 95
period = "7d"
"""


@pytest.fixture
def promising(tmp_path: Path) -> Iterator[Service]:
    """A service with objectives and a customer of whose requests of the last hour a tenth failed."""
    (tmp_path / "requests.log").write_text(lines(customers=1))
    (tmp_path / "objectives.toml").write_text(OBJECTIVES)
    service = Service(tmp_path, str(tmp_path / "requests.log"), OBJECTIVES=str(tmp_path / "objectives.toml"))
    service.start()
    service.await_total(55)
    yield service
    service.close()


def test_objectives_are_shown_with_their_budgets_and_days_are_held_against_them(
    new_visitor: Callable[..., Visitor], promising: Service
) -> None:
    page = new_visitor(bypass_csp=True).open(promising, "/?range=24h&tz=UTC")
    expect(page.locator("#budgets-list li")).to_have_count(2)
    page.locator("#budgets-list").get_by_role("link", name="cust_1").first.click()
    expect(page.locator("#title")).to_have_text("cust_1")
    available = page.locator("[data-objective=available]")
    entry = promising.client.get("/customers/cust_1/objectives").json()["objectives"][0]
    assert (entry["objective"], entry["state"]) == ("available", "broken")
    expect(available.locator(".state")).to_have_text("✗ broken")
    expect(available).to_contain_text("of 0.55 requests")
    expect(page.locator("#calendar-note")).to_have_text("against available, 99% of the requests")
    page.add_script_tag(path=AXE)
    found: list[Any] = page.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_status_page_is_clean_and_gone_once_it_is_revoked(
    new_visitor: Callable[..., Visitor], shop: Service, width: int, scheme: str
) -> None:
    made = shop.client.post("/status-pages", json={"customer": "acme"}).json()
    size = {"width": width, "height": 900}
    visitor = new_visitor(color_scheme=scheme, bypass_csp=True, viewport=size)
    page = visitor.context.new_page()
    page.goto(f"http://127.0.0.1:{shop.port}{made['path']}")
    expect(page.locator("h1")).to_have_text("acme")
    expect(page.locator(f"time[datetime='{DAY}'] ~ span").last).to_have_text("99.31 %")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=AXE)
    found: list[Any] = page.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    shop.client.delete(f"/status-pages/{made['id']}").raise_for_status()
    answer = page.reload()
    assert answer is not None and answer.status == 404
