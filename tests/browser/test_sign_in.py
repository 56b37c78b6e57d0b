"""The page of a service that asks its readers for a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, lines
from tests.browser.test_dashboard import AXE, figure
from tests.integration.running import Service


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keys = tmp_path / "readers"
    keys.write_text("the-readers-key the hall\n")
    return keys


@pytest.fixture
def closed(tmp_path: Path, keys: Path) -> Iterator[Service]:
    """A service with a customer, whose five requests are shown to those with a key."""
    (tmp_path / "requests.log").write_text(lines(customers=1, minutes=5))
    service = Service(tmp_path, str(tmp_path / "requests.log"), API_READ_KEY_FILE=str(keys))
    service.client.headers["X-API-Key"] = "the-readers-key"
    try:
        service.start()
        service.await_total(5)
        yield service
    finally:
        service.close()


def sign_in(page: Page, key: str = "the-readers-key") -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


def test_a_visitor_signs_in_looks_and_signs_out(new_visitor: Callable[..., Visitor], closed: Service) -> None:
    page = new_visitor().open(closed)
    expect(page.locator("#shown")).to_be_hidden()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_have_text("That is not the key.")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    sign_in(page)
    expect(figure(page, "total_requests")).to_have_text("5")
    page.reload()
    expect(figure(page, "total_requests")).to_have_text("5")
    with page.expect_download() as download:
        page.locator("#customers-exports").get_by_text("CSV").click()
    assert "cust_1" in Path(download.value.path()).read_text()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    assert "cust_1" not in page.content()


@pytest.mark.parametrize("width", [390, 1280])
def test_whoever_closes_the_form_finds_it_again(
    new_visitor: Callable[..., Visitor], closed: Service, width: int
) -> None:
    page = new_visitor(viewport={"width": width, "height": 844}).open(closed)
    button = page.locator("#sign-in")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(button).to_be_hidden()
    for _ in range(2):
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(button).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        button.click()
        expect(page.get_by_role("dialog")).to_be_visible()
    sign_in(page)
    expect(figure(page, "total_requests")).to_have_text("5")
    expect(button).to_be_hidden()


def test_the_description_of_the_api_asks_with_the_session(
    new_visitor: Callable[..., Visitor], closed: Service
) -> None:
    page = new_visitor().open(closed)
    sign_in(page)
    expect(figure(page, "total_requests")).to_have_text("5")
    page.goto(f"http://127.0.0.1:{closed.port}/docs")
    page.locator("#operations-statistics-customers").get_by_role("button").first.click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tbody .response-col_status").first).to_have_text("200")


def test_a_page_whose_key_is_removed_shows_nothing_and_asks_again(
    new_visitor: Callable[..., Visitor], closed: Service, keys: Path
) -> None:
    page = new_visitor().open(closed)
    sign_in(page)
    expect(figure(page, "total_requests")).to_have_text("5")
    keys.write_text("another\n")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#shown")).to_be_hidden()
    expect(page.locator("#shown")).not_to_contain_text("cust_1")
    expect(page.locator("#range-text")).to_be_empty()
    sign_in(page, "another")
    expect(figure(page, "total_requests")).to_have_text("5")


def test_after_many_wrong_keys_the_form_says_to_wait(
    new_visitor: Callable[..., Visitor], closed: Service
) -> None:
    page = new_visitor().open(closed)
    for number in range(10):
        closed.client.get("/stats", headers={"X-API-Key": f"guess {number}"})
    sign_in(page)
    expect(page.get_by_role("alert")).to_contain_text("Many wrong keys were tried from here.")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_fits_and_axe_finds_nothing(
    new_visitor: Callable[..., Visitor], closed: Service, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 844}
    page = new_visitor(color_scheme=scheme, bypass_csp=True, viewport=size).open(closed)
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_role("dialog")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=AXE)
    assert page.evaluate("async () => (await axe.run()).violations.map(({id}) => id)") == []
    sign_in(page)
    expect(figure(page, "total_requests")).to_have_text("5")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
