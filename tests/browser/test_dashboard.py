"""The dashboard as somebody with a browser sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, lines
from tests.integration.running import Service

AXE = Path(__file__).parent / "axe" / "axe.min.js"
FIGURES = (
    "total_requests",
    "successful_requests",
    "failed_requests",
    "uptime",
    "average_latency",
    "median_latency",
    "p99_latency",
)
MAX_BYTES = 200_000


def figure(page: Page, name: str) -> Any:
    return page.locator(f"#figures .{name} data")


def values(page: Page) -> dict[str, float]:
    """The seven figures with the exact values that stand behind what is shown."""
    return {name: float(figure(page, name).get_attribute("value") or "nan") for name in FIGURES}


def rows(page: Page) -> list[str]:
    return page.locator("#customers-table tbody .customer").all_text_contents()


def feed_is(page: Page, state: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-feed", state)


class TestFirstLoad:
    def test_figures_equal_those_of_the_api(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC")
        expect(figure(page, "total_requests")).to_have_text("275")
        wanted = shop.client.get("/stats", params={"every": "none"}).json()
        assert values(page) == pytest.approx({name: wanted[name] for name in FIGURES})

    def test_each_customer_has_the_figures_of_the_api(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC")
        expect(page.locator("#customers-table tbody tr")).to_have_count(5)
        for customer in shop.client.get("/customers").json()["customers"]:
            row = page.locator("#customers-table tbody tr", has_text=customer["customer_id"])
            for name in ("total_requests", "failed_requests", "uptime", "median_latency", "p99_latency"):
                shown = row.locator(f".{name} data").get_attribute("value")
                assert float(shown or "nan") == pytest.approx(customer[name]), name

    def test_windows_of_the_charts_equal_those_of_the_api(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=all&tz=UTC")
        page.get_by_text("Requests as a table").click()
        expect(page.locator("#chart-requests tbody tr")).not_to_have_count(0)
        shown = page.locator("#chart-requests tbody td:nth-child(2) data").evaluate_all(
            "cells => cells.reduce((sum, cell) => sum + Number(cell.value), 0)"
        )
        assert shown == shop.client.get("/stats", params={"every": "none"}).json()["successful_requests"]

    def test_the_address_gets_range_and_zone(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop)
        expect(page).to_have_url(re.compile(r"/\?range=1h&tz=Europe%2FBerlin$"))

    def test_it_takes_little_over_the_wire(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop)
        expect(page.locator("#customers-table tbody tr")).to_have_count(5)
        sizes = "({transferSize}) => transferSize"
        received = page.evaluate(f"() => performance.getEntriesByType('resource').map({sizes})")
        received += page.evaluate(f"() => performance.getEntriesByType('navigation').map({sizes})")
        assert 10_000 < sum(received) < MAX_BYTES

    def test_old_logs_are_shown_when_the_last_hour_has_nothing(self, visitor: Visitor, own: Service) -> None:
        (own.folder / "requests.log").write_text(lines(ago=timedelta(days=40)))
        own.start()
        own.await_total(275)
        page = visitor.open(own)
        expect(figure(page, "total_requests")).to_have_text("275")
        expect(page).to_have_url(re.compile("range=all"))
        expect(page.locator("#notice")).to_contain_text("all that was logged")


class TestWarnings:
    COMBINED = '10.0.0.7 - - [10/Oct/2024:13:55:36 +0000] "GET /<b> HTTP/1.1" 200 512 "-" "curl/8.5"\n'

    @pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
    def test_a_log_in_another_format_is_told_on_the_open_page_and_until_its_lines_can_be_read(
        self, new_visitor: Callable[..., Visitor], tmp_path: Path, width: int, scheme: str
    ) -> None:
        log = tmp_path / "requests.log"
        log.touch()
        service = Service(tmp_path, str(log), LOG_FORMAT="json")
        try:
            service.start()
            size = {"width": width, "height": 900}
            page = new_visitor(color_scheme=scheme, bypass_csp=True, viewport=size).open(
                service, "/?range=all"
            )
            feed_is(page, "live")
            expect(page.locator("#warnings")).to_be_hidden()
            log.write_text(self.COMBINED * 3)
            text = page.locator("#warnings li")
            expect(text).to_contain_text(f"3 of the latest 3 lines of {log} (100%)", timeout=5000)
            expect(text).to_contain_text(f"`tailmetrics detect {log}`")
            expect(text.locator(".badge")).to_have_text("read as json")
            expect(page.locator("#warnings")).to_be_in_viewport(ratio=1)
            expect(page.locator("#empty")).to_contain_text("being read, 255 B, format json")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.add_script_tag(path=AXE)
            assert page.evaluate("async () => (await axe.run()).violations.map(({id}) => id)") == []
            json_line = (
                '{"timestamp": "2024-10-10T13:55:36Z", "customer_id": "c", "path": "/", "status_code": 200}\n'
            )
            with log.open("a") as stream:
                stream.write(json_line * 4)
            expect(figure(page, "total_requests")).to_have_text("4")
            expect(page.locator("#warnings")).to_be_hidden()
        finally:
            service.close()

    def test_a_log_of_no_known_format_is_told_with_what_helps_and_how_the_others_are_read(
        self, visitor: Visitor, tmp_path: Path
    ) -> None:
        (tmp_path / "a.log").write_text(self.COMBINED)
        (tmp_path / "b.log").write_text("13:55:36 | c | /cart | 200\n")
        service = Service(tmp_path, str(tmp_path / "?.log"), LOG_FORMAT="auto")
        try:
            service.start()
            page = visitor.open(service, "/?range=all")
            expect(page.locator("#warnings li")).to_contain_text("name it with LOG_FORMAT", timeout=5000)
            expect(page.locator("#warnings .badge")).to_have_text("not read")
            page.get_by_text("2 logs, and how each is read").click()
            read = page.locator("#logs-list li").filter(has_text="a.log")
            expect(read).to_contain_text("being read, 85 B, format combined")
        finally:
            service.close()

    def test_of_many_logs_a_few_are_told_and_where_all_are(self, visitor: Visitor, tmp_path: Path) -> None:
        for number in range(5):
            (tmp_path / f"{number}.log").write_text(self.COMBINED.replace("/<b>", f"/{number}"))
        service = Service(tmp_path, str(tmp_path / "?.log"), LOG_FORMAT="json")
        try:
            service.start()
            page = visitor.open(service)
            expect(page.locator("#warnings li")).to_have_count(4)
            expect(page.locator("#warnings li").last).to_have_text("2 more warnings: all of them")
        finally:
            service.close()


class TestEmpty:
    def test_without_data_it_says_where_it_looks_and_fills_by_itself(
        self, visitor: Visitor, own: Service
    ) -> None:
        own.start()
        page = visitor.open(own)
        expect(page.locator("#empty h2")).to_have_text("No requests yet")
        expect(page.locator("#empty")).to_contain_text(str(own.folder / "requests.log"))
        (own.folder / "requests.log").write_text(lines(customers=1, minutes=3))
        expect(figure(page, "total_requests")).to_have_text("3")

    def test_a_range_without_requests_leads_to_all_of_them(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?from=2020-01-01&to=2020-01-02&tz=UTC")
        expect(page.locator("#empty")).to_contain_text("The logs hold requests from")
        page.get_by_role("link", name="Show all that was logged").click()
        expect(figure(page, "total_requests")).to_have_text("275")

    def test_an_unknown_customer_is_said_to_be_unknown(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?customer=<b>nobody</b>&range=24h&tz=UTC")
        expect(page.locator("#empty")).to_contain_text("<b>nobody</b>")
        page.get_by_role("link", name="Show all customers").click()
        expect(page.locator("#title")).to_have_text("All customers")

    def test_a_search_without_a_match_says_so(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC&search=nobody")
        expect(page.locator("#customers-none")).to_contain_text("“nobody”")

    def test_a_wrong_parameter_is_explained(self, new_visitor: Callable[..., Visitor], shop: Service) -> None:
        page = new_visitor().open(shop, "/?from=yesterday&tz=UTC")
        expect(page.locator("#notice")).to_contain_text("expected a date (2024-10-10)")


class TestState:
    @pytest.mark.parametrize("width", [1280, 390])
    def test_a_path_without_a_log_is_told_until_it_is_there(
        self, new_visitor: Callable[..., Visitor], own: Service, width: int
    ) -> None:
        own.start()
        page = new_visitor(viewport={"width": width, "height": 900}).open(own)
        log = own.folder / "requests.log"
        expect(page.locator("#feed-text")).to_have_text(f"No log: {log}", timeout=10_000)
        feed_is(page, "fault")
        expect(page.locator("#empty")).to_contain_text("there is no such log, and there never was one")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        log.touch()
        expect(page.locator("#feed-text")).to_have_text("Live", timeout=5000)
        expect(page.locator("#empty")).to_contain_text(f"{log}: there, and empty so far")


class TestLive:
    def test_appended_lines_appear_and_pausing_keeps_what_is_shown(
        self, visitor: Visitor, own: Service
    ) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=1, minutes=5))
        own.start()
        own.await_total(5)
        page = visitor.open(own)
        expect(figure(page, "total_requests")).to_have_text("5")
        append(log, lines(customers=2, minutes=1))
        expect(figure(page, "total_requests")).to_have_text("7")
        expect(page.locator("#customers-table tbody tr")).to_have_count(2)

        page.get_by_role("button", name="Pause").click()
        feed_is(page, "paused")
        append(log, lines(customers=3, minutes=1))
        own.await_total(10)
        expect(figure(page, "total_requests")).to_have_text("7")

        page.get_by_role("button", name="Resume").click()
        expect(figure(page, "total_requests")).to_have_text("10")

    def test_what_is_shown_again_and_is_the_same_is_not_replaced_under_a_click(
        self, visitor: Visitor, shop: Service
    ) -> None:
        page = visitor.open(shop)
        found = page.evaluate(
            """async () => {
              const { element, renew } = await import("/static/dashboard/dom.js");
              const list = element("ul");
              const shown = (text) => {
                renew(list, element("li", {}, element("a", { href: "#" }, text)));
                return list.firstChild;
              };
              const [first, same, other] = [shown("one"), shown("one"), shown("two")];
              return [first === same, other.textContent];
            }"""
        )
        assert found == [True, "two"]

    def test_chosen_windows_stay_chosen_when_lines_come(self, visitor: Visitor, own: Service) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=1))
        own.start()
        own.await_total(55)
        page = visitor.open(own, "/?range=all")
        expect(figure(page, "total_requests")).to_have_text("55")
        chart = page.locator("#chart-requests [role=slider]")
        chart.focus()
        page.keyboard.press("Home")
        for _ in range(2):
            page.keyboard.press("Shift+ArrowRight")
        chosen = chart.get_attribute("aria-valuetext")
        append(log, lines(customers=2, minutes=1))
        expect(figure(page, "total_requests")).to_have_text("57")
        expect(chart).to_have_attribute("aria-valuetext", chosen or "")
        feed_is(page, "live")

    def test_focus_stays_where_it_is_when_figures_change(self, visitor: Visitor, own: Service) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=2, minutes=5))
        own.start()
        own.await_total(10)
        page = visitor.open(own)
        page.get_by_role("link", name="cust_2").focus()
        append(log, lines(customers=2, minutes=1) + lines(customers=2, minutes=1).splitlines(True)[1])
        expect(figure(page, "total_requests")).to_have_text("13")
        assert rows(page) == ["cust_2", "cust_1"]
        expect(page.get_by_role("link", name="cust_2")).to_be_focused()

    def test_a_service_that_stops_and_starts_again_is_followed(
        self, new_visitor: Callable[..., Visitor], own: Service
    ) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=1, minutes=5))
        own.start()
        own.await_total(5)
        page = new_visitor().open(own)
        expect(figure(page, "total_requests")).to_have_text("5")
        own.end()
        feed_is(page, "stale")
        expect(page.locator("#notice")).to_contain_text("The service does not answer")
        expect(figure(page, "total_requests")).to_have_text("5")
        append(log, lines(customers=1, minutes=1))
        own.start()
        expect(figure(page, "total_requests")).to_have_text("6")
        feed_is(page, "live")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_what_is_not_current_is_as_easy_to_read(
        self, new_visitor: Callable[..., Visitor], own: Service, scheme: str
    ) -> None:
        (own.folder / "requests.log").write_text(lines(customers=1, minutes=5) + "not a request\n")
        own.start()
        own.await_total(5)
        page = new_visitor(color_scheme=scheme, bypass_csp=True).open(own, "/?range=24h&tz=UTC")
        page.locator("#breakdown").scroll_into_view_if_needed()
        expect(page.locator("#statuses tbody tr").first).to_be_attached()
        page.emulate_media(reduced_motion="reduce")
        own.end()
        feed_is(page, "stale")
        page.add_script_tag(path=AXE)
        found = page.evaluate("async () => (await axe.run()).violations")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []

    def test_the_service_ends_soon_with_pages_open(
        self, new_visitor: Callable[..., Visitor], own: Service
    ) -> None:
        (own.folder / "requests.log").write_text(lines(customers=1, minutes=5))
        own.start()
        new_visitor().open(own)
        assert own.end(seconds=5) == 0

    def test_the_page_does_not_grow(self, visitor: Visitor, own: Service) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=3, minutes=20))
        own.start()
        own.await_total(60)
        page = visitor.open(own, "/?range=24h&tz=UTC")
        expect(figure(page, "total_requests")).to_have_text("60")
        expect(page.locator("#chart-latency tbody tr").first).to_be_attached()
        expect(page.locator("#statuses tbody tr").first).to_be_attached()
        nodes = "() => document.querySelectorAll('*').length"
        before = page.evaluate(nodes)
        for more in range(1, 6):
            append(log, lines(customers=3, minutes=1))
            expect(figure(page, "total_requests")).to_have_text(str(60 + 3 * more))
        # A quarter of an hour may have begun meanwhile, which is a row in each of two tables.
        assert abs(page.evaluate(nodes) - before) < 40


class TestByMouse:
    def test_range_customer_and_back(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop)
        page.get_by_text("Day", exact=True).click()
        expect(page).to_have_url(re.compile("range=24h"))
        page.get_by_role("link", name="cust_3").click()
        expect(page.locator("#title")).to_have_text("cust_3")
        expect(figure(page, "total_requests")).to_have_text("55")
        page.go_back()
        expect(page.locator("#title")).to_have_text("All customers")
        expect(figure(page, "total_requests")).to_have_text("275")
        page.go_back()
        expect(page.get_by_role("radio", name="Hour", exact=True)).to_be_checked()
        page.go_forward()
        expect(page.get_by_role("radio", name="Day", exact=True)).to_be_checked()

    def test_a_click_on_a_column_sorts_by_it_and_again_turns_it_round(
        self, visitor: Visitor, shop: Service
    ) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC")
        page.get_by_role("button", name="p99").click()
        expect(page.locator("#customers-table .customer").first).to_have_text("cust_5")
        page.get_by_role("button", name="p99").click()
        expect(page.locator("#customers-table .customer").first).to_have_text("cust_1")
        expect(page.locator("th[aria-sort=ascending]")).to_contain_text("p99")

    def test_an_own_range(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop)
        page.get_by_text("Own", exact=True).click()
        page.get_by_label("From").fill("2020-01-01T00:00:00")
        page.get_by_label("To", exact=True).fill("2038-01-01T00:00:00")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile("from=2020-01-01T00%3A00"))
        expect(figure(page, "total_requests")).to_have_text("275")

    def test_what_counts_as_failed_can_be_chosen(self, visitor: Visitor, own: Service) -> None:
        (own.folder / "requests.log").write_text(lines(customers=1, minutes=4, status=404))
        own.start()
        own.await_total(4)
        page = visitor.open(own)
        expect(figure(page, "failed_requests")).to_have_text("4")
        page.get_by_label("Failed is").select_option("5xx")
        expect(figure(page, "failed_requests")).to_have_text("0")

    def test_pointing_at_a_chart_shows_its_values(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=1h&tz=UTC")
        expect(figure(page, "total_requests")).not_to_have_text("")
        page.locator("#chart-requests .u-over").hover()
        expect(page.locator("#chart-requests .key-successful_requests .value")).to_have_text(
            re.compile(r"\d")
        )


class TestByKeyboard:
    def test_range_and_customer_without_a_mouse(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=1h&tz=UTC")
        tab_to(page, "document.activeElement.id === 'range-1h'")
        page.keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile("range=24h"))
        expect(page.get_by_role("radio", name="Day", exact=True)).to_be_focused()
        tab_to(page, "document.activeElement.dataset.customer === 'cust_2'")
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("cust_2")
        expect(page.locator("#title")).to_be_focused()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("All customers")

    def test_arrows_move_through_a_chart_and_are_read_out(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=1h&tz=UTC")
        expect(figure(page, "total_requests")).not_to_have_text("")
        tab_to(
            page,
            "document.activeElement.closest('#chart-latency') && document.activeElement.role === 'slider'",
        )
        chart = page.locator("#chart-latency [role=slider]")
        page.keyboard.press("End")
        last = chart.get_attribute("aria-valuemax")
        expect(chart).to_have_attribute("aria-valuenow", str(last))
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowLeft")
        expect(chart).to_have_attribute("aria-valuetext", re.compile(r"Mean \d.*Median \d.*p99 \d"))
        expect(page.locator("#chart-latency .key-p99_latency .value")).to_have_text(re.compile(r"\d"))
        page.keyboard.press("Escape")
        expect(chart).to_have_attribute("aria-valuetext", "no window chosen")

    def test_what_has_the_focus_can_be_seen(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=1h&tz=UTC")
        expect(page.locator("#customers-table tbody tr")).not_to_have_count(0)
        unseen = []
        for _ in range(25):
            page.keyboard.press("Tab")
            unseen += page.evaluate(
                """() => {
                    const focused = document.activeElement;
                    const shown = focused.type === 'radio' ? focused.nextElementSibling : focused;
                    const isSeen = getComputedStyle(shown).outlineStyle !== 'none' || shown === document.body;
                    return isSeen ? [] : [focused.outerHTML.slice(0, 90)];
                }"""
            )
        assert unseen == []

    def test_a_new_view_is_announced_and_updates_are_not(self, visitor: Visitor, own: Service) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=1, minutes=5))
        own.start()
        own.await_total(5)
        page = visitor.open(own)
        expect(page.locator("#announcer")).to_contain_text("All customers, the last hour: 5 requests")
        append(log, lines(customers=1, minutes=1))
        expect(figure(page, "total_requests")).to_have_text("6")
        expect(page.locator("#announcer")).to_contain_text("5 requests")


class TestLinks:
    def test_a_link_shows_the_same_view(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?customer=cust_4&range=30d&tz=Asia%2FTokyo&failures=5xx")
        expect(page.locator("#title")).to_have_text("cust_4")
        expect(page.get_by_role("radio", name="30 days", exact=True)).to_be_checked()
        expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
        expect(page.get_by_label("Failed is")).to_have_value("5xx")
        expect(page.locator("#range-text")).to_contain_text("Asia/Tokyo")
        wanted = shop.client.get("/customers/cust_4/stats", params={"every": "none"}).json()
        assert values(page)["p99_latency"] == pytest.approx(wanted["p99_latency"])

    def test_paths_and_statuses_equal_those_of_the_api(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?customer=cust_4&range=30d&tz=UTC")
        wanted = shop.client.get("/customers/cust_4/breakdown").json()
        for table, key, name in (("paths", "paths", "path"), ("statuses", "statuses", "status_code")):
            expect(page.locator(f"#{table} tbody tr")).to_have_count(len(wanted[key]))
            shown = page.locator(f"#{table} tbody .name").all_text_contents()
            assert shown == [str(row[name]) for row in wanted[key]]

    def test_requests_without_an_answer_are_a_kind_of_their_own(self, visitor: Visitor, own: Service) -> None:
        log = lines(customers=1, minutes=12)
        (own.folder / "requests.log").write_text(log + log.replace(" 200 ", " 000 ").replace(" 500 ", " - "))
        own.start()
        own.await_total(24)
        page = visitor.open(own, "/?customer=cust_1&range=24h&tz=UTC")
        answerless = page.locator("#statuses tbody tr").first
        expect(answerless.locator("th")).to_have_text("0no answer")
        expect(answerless.locator("td data").nth(1)).to_have_attribute("value", "12")
        page.get_by_label("Failed is").select_option("5xx")
        expect(figure(page, "failed_requests")).to_have_text("14")

    def test_what_is_shown_can_be_taken_away_as_csv(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC&sort=-p99")
        with page.expect_download() as started:
            page.locator("#customers-exports").get_by_role("link", name="CSV").click()
        text = started.value.path().read_text()
        assert [line.split(",")[0] for line in text.splitlines()[1:]] == rows(page)

    def test_a_click_on_an_export_that_has_begun_outlasts_new_figures(
        self, visitor: Visitor, own: Service
    ) -> None:
        log = own.folder / "requests.log"
        log.write_text(lines(customers=5, minutes=1))
        own.start()
        own.await_total(5)
        page = visitor.open(own, "/?range=24h&tz=UTC")
        page.locator("#customers-exports").get_by_role("link", name="CSV").hover()
        page.mouse.down()
        append(log, lines(customers=5, minutes=1))
        expect(figure(page, "total_requests")).to_have_text("10")
        with page.expect_download() as started:
            page.mouse.up()
        assert started.value.suggested_filename == "customers.csv"


class TestText:
    def test_text_of_logs_stays_text(self, visitor: Visitor, shop: Service) -> None:
        page = visitor.open(shop, "/?range=24h&tz=UTC")
        expect(page.locator("#rejects h2")).to_have_text("2 lines could not be read")
        expect(page.locator("#rejects")).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("#rejects img").count() == 0

    def test_numbers_and_times_are_written_as_the_reader_does(
        self, new_visitor: Callable[..., Visitor], own: Service
    ) -> None:
        (own.folder / "requests.log").write_text(lines(customers=40, minutes=55))
        own.start()
        own.await_total(2200)
        page = new_visitor(locale="de-DE").open(own)
        expect(figure(page, "total_requests")).to_have_text("2.200")
        expect(figure(page, "uptime")).to_have_text(re.compile(r"^\d+,\d\d\s%$"))


class TestManyCustomers:
    def test_five_thousand_are_searched_sorted_and_paged(self, visitor: Visitor, own: Service) -> None:
        (own.folder / "requests.log").write_text(lines(customers=5000, minutes=2))
        own.start()
        own.await_total(10_000)
        page = visitor.open(own, "/?range=1h&tz=UTC&sort=customer_id")
        expect(page.locator("#page-text")).to_have_text("1 to 50 of 5,000")
        first = rows(page)
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#page-text")).to_have_text("51 to 100 of 5,000")
        assert not set(first) & set(rows(page))
        page.get_by_label("Search").fill("cust_4999")
        expect(page.locator("#page-text")).to_have_text("1 to 1 of 1")
        assert rows(page) == ["cust_4999"]
        expect(page).to_have_url(re.compile("search=cust_4999"))


class TestScreens:
    @pytest.mark.parametrize("address", ["/?range=24h&tz=UTC", "/?customer=cust_1&range=24h&tz=UTC"])
    def test_a_narrow_screen_scrolls_in_one_direction_only(
        self, new_visitor: Callable[..., Visitor], shop: Service, address: str
    ) -> None:
        page = new_visitor(viewport={"width": 390, "height": 844}).open(shop, address)
        expect(figure(page, "total_requests")).not_to_have_text("")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def test_dark_is_dark_and_light_is_light(
        self, new_visitor: Callable[..., Visitor], shop: Service
    ) -> None:
        shades = {}
        for scheme in ("light", "dark"):
            page = new_visitor(color_scheme=scheme).open(shop)
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            shades[scheme] = sum(int(part) for part in re.findall(r"\d+", color)[:3])
        assert shades["dark"] < 150
        assert shades["light"] > 600

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize(
        "address",
        [
            "/?range=24h&tz=UTC",
            "/?customer=cust_1&range=24h&tz=UTC",
            "/?from=2020-01-01&to=2020-01-02&tz=UTC",
        ],
        ids=["all", "one", "empty"],
    )
    def test_axe_finds_nothing(
        self, new_visitor: Callable[..., Visitor], shop: Service, address: str, scheme: str
    ) -> None:
        page = new_visitor(color_scheme=scheme, bypass_csp=True).open(shop, address)
        expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
        expect(page.locator("#tz option").nth(100)).to_be_attached()
        page.add_script_tag(path=AXE)
        found = page.evaluate("async () => (await axe.run()).violations")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


class TestKey:
    def test_a_page_that_is_refused_asks_for_the_key(
        self, new_visitor: Callable[..., Visitor], tmp_path: Path
    ) -> None:
        (tmp_path / "requests.log").write_text(lines(customers=1, minutes=5))
        service = Service(tmp_path, str(tmp_path / "requests.log"), API_KEY="secret")
        try:
            service.start()
            visitor = new_visitor()
            # Reading needs no key here; a proxy before the service may want the session for it.
            visitor.context.route(
                re.compile("/(live|view)"),
                lambda route: (
                    route.continue_()
                    if "tailmetrics_session" in (route.request.all_headers().get("cookie") or "")
                    else route.fulfill(status=401, json={"detail": "no session"})
                ),
            )
            page = visitor.context.new_page()
            page.goto(f"http://127.0.0.1:{service.port}/")
            page.get_by_label("Key", exact=True).fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("#key-wrong")).to_have_text("That is not the key.")
            page.get_by_label("Key", exact=True).fill("secret")
            page.get_by_role("button", name="Sign in").click()
            expect(figure(page, "total_requests")).to_have_text("5")
        finally:
            service.close()


def append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(text)


def tab_to(page: Page, condition: str) -> None:
    """Press Tab until a condition on the focused element holds."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => Boolean({condition})"):
            return
    raise AssertionError(f"Tab never leads to where {condition}")
