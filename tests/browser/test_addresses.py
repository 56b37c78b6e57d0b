"""What the dashboard makes of an address: it follows it, or says what it cannot follow and shows the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.integration.running import Service


def shows_figures(page: Page) -> None:
    expect(page.locator("#figures .total_requests data")).to_have_text("275")
    expect(page.locator("#customers-table tbody tr")).to_have_count(5)


@pytest.mark.parametrize(
    ("length", "name", "words"),
    [
        ("5d", "5 d", "the last 5 days"),
        ("36h", "36 h", "the last 36 hours"),
        ("90m", "90 min", "the last 90 minutes"),
        ("1d", "1 d", "the last day"),
    ],
)
def test_a_range_of_any_length_is_shown_and_stays_a_choice(
    visitor: Visitor, shop: Service, length: str, name: str, words: str
) -> None:
    page = visitor.open(shop, f"/?range={length}&tz=UTC")
    shows_figures(page)
    expect(page).to_have_url(re.compile(f"range={length}&"))
    expect(page.locator("#announcer")).to_contain_text(words)
    expect(page.locator("#notice")).to_be_empty()
    page.get_by_text("30 days", exact=True).click()
    expect(page).to_have_url(re.compile("range=30d"))
    page.get_by_text(name, exact=True).click()
    expect(page).to_have_url(re.compile(f"range={length}&"))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("tz=Mars/Base", "The address has tz=Mars/Base; expected a time zone such as UTC or Europe/Berlin."),
        ("range=fortnight", "The address has range=fortnight; expected all, or a number and one of s, m, h"),
        ("range=0d", "The address has range=0d; expected"),
        ("range=9999999d", "of at most 100 years"),
        ("range=24h&from=2020-01-01", "The address has range=24h; expected nothing beside from and to."),
        ("failures=6xx", "The address has failures=6xx; expected 4xx+5xx, 5xx or 5xx+429."),
        ("sort=colour", "The address has sort=colour; expected one of customer_id, requests"),
        ("page=-1", "The address has page=-1; expected a whole number"),
        ("min_requests=few", "The address has min_requests=few; expected a whole number"),
        ("live=perhaps", "The address has live=perhaps; expected off, or nothing."),
        ("serach=cust", "The address has serach=cust; expected before the = one of customer, from"),
    ],
)
def test_a_part_that_cannot_be_followed_is_said_and_the_rest_is_shown(
    visitor: Visitor, shop: Service, part: str, said: str
) -> None:
    page = visitor.open(shop, f"/?{part}")
    shows_figures(page)
    expect(page.locator("#notice")).to_contain_text(said)
    expect(page.locator("#notice")).to_contain_text("What is shown leaves that out.")
    page.get_by_text("30 days", exact=True).click()
    expect(page.locator("#notice")).to_be_empty()


@pytest.mark.parametrize(
    ("parts", "sentences"),
    [
        (
            "from=2024-10-10&to=2024-10-01",
            ["The address has from=2024-10-10; expected a time not after to, which is 2024-10-01."],
        ),
        (
            "from=yesterday&to=tomorrow&page=0",
            [
                "The address has page=0; expected a whole number from 1 to 999999.",
                "The address has from=yesterday; expected a date (2024-10-10)",
                "The address has to=tomorrow; expected a date (2024-10-10)",
            ],
        ),
        ("customer=" + "x" * 300, ["The address has customer=" + "x" * 100]),
    ],
    ids=["reversed", "three", "customer"],
)
def test_what_the_service_refuses_is_said_in_sentences_and_the_rest_is_shown(
    new_visitor: Callable[..., Visitor], shop: Service, parts: str, sentences: list[str]
) -> None:
    page = new_visitor().open(shop, f"/?{parts}&tz=UTC")
    shows_figures(page)
    notice = page.locator("#notice")
    expect(notice).to_contain_text("What is shown leaves that out.")
    said = (notice.text_content() or "").split("\n")
    for sentence in sentences:
        assert [line for line in said if line.startswith(sentence) and line.endswith(".")], said


def test_a_zone_that_only_the_browser_knows_does_not_empty_the_page(
    new_visitor: Callable[..., Visitor], shop: Service
) -> None:
    page = new_visitor().open(shop, "/?tz=europe/BERLIN&range=24h")
    shows_figures(page)
    expect(page.locator("#notice")).to_contain_text(
        "The address has tz=europe/BERLIN; expected an IANA time zone"
    )


def test_an_own_range_that_is_reversed_is_told_in_its_field(visitor: Visitor, shop: Service) -> None:
    page = visitor.open(shop, "/?range=1h&tz=UTC")
    page.get_by_text("Own", exact=True).click()
    page.get_by_label("From").fill("2038-01-01T00:00:00")
    page.get_by_label("To", exact=True).fill("2020-01-01T00:00:00")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_label("To", exact=True).evaluate("field => field.validationMessage") != ""
    expect(page).to_have_url(re.compile("range=1h"))
    page.get_by_label("From").fill("2019-01-01T00:00:00")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("from=2019-01-01"))


def test_what_the_service_says_and_when_that_was_are_two_sentences(
    new_visitor: Callable[..., Visitor], shop: Service
) -> None:
    visitor = new_visitor()
    page = visitor.open(shop, "/?range=24h&tz=UTC&live=off")
    shows_figures(page)
    refusal = {"detail": "the question took longer than 30 seconds; ask for a shorter range"}
    visitor.context.route(re.compile("/view"), lambda route: route.fulfill(status=503, json=refusal))
    page.get_by_text("30 days", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("ask for a shorter range. What is shown is of ")
