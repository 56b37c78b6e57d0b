"""The page of the API's parameters, /docs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.integration.running import Service


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_it_is_dark_in_the_dark_and_leads_back(
    new_visitor: Callable[..., Visitor], shop: Service, scheme: str, is_dark: bool, width: int
) -> None:
    visitor = new_visitor(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = visitor.context.new_page()
    page.goto(f"http://127.0.0.1:{shop.port}/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    color = page.locator("html").evaluate("html => getComputedStyle(html).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", color)[:3])
    assert (0 < shade < 150) == is_dark
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    expect(page.locator("html")).to_have_class("" if is_dark else "dark-mode")
    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator("#figures .total_requests data")).to_have_text(re.compile(r"\d"))


def test_a_narrow_screen_has_room_for_every_question_and_an_answer(
    new_visitor: Callable[..., Visitor], shop: Service
) -> None:
    page = new_visitor(viewport={"width": 390, "height": 844}).context.new_page()
    page.goto(f"http://127.0.0.1:{shop.port}/docs")
    buttons = page.locator(".opblock-summary-control")
    expect(buttons.first).to_be_visible()
    for button in buttons.all():
        button.click()
    expect(page.locator(".responses-table")).to_have_count(buttons.count())
    page.locator("#operations-statistics-customers").get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text("cust_1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
