"""A real Chromium, and services for it to look at. The tests fail where there is no Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.integration.running import Service

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MILLISECONDS = 15_000

expect.set_options(timeout=WAIT_MILLISECONDS)


# Of the package, as Playwright's event loop runs in the thread of the tests until it is closed.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser; what goes wrong in it is kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.errors: list[str] = []
        self.hosts: set[str | None] = set()
        context.set_default_timeout(WAIT_MILLISECONDS)

    def open(self, service: Service, address: str = "/") -> Page:
        """The page, once it shows something."""
        page = self.context.new_page()
        page.on(
            "console",
            lambda said: self.errors.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        page.goto(f"http://127.0.0.1:{service.port}{address}")
        page.locator("body[data-feed]").wait_for()
        return page


@pytest.fixture
def new_visitor(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors, each with a browser profile of their own."""
    contexts: list[BrowserContext] = []

    def make(**options: object) -> Visitor:
        options = {
            "locale": "en-GB",
            "timezone_id": "Europe/Berlin",
            "viewport": {"width": 1280, "height": 900},
        } | options
        contexts.append(browser.new_context(**options))  # type: ignore[arg-type]  # Playwright's own options
        return Visitor(contexts[-1])

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Iterator[Visitor]:
    """A visitor whose browser must have nothing to complain of, and asks no other host."""
    visitor = new_visitor()
    yield visitor
    assert visitor.errors == []
    assert visitor.hosts == {"127.0.0.1"}


def lines(customers: int = 5, minutes: int = 55, status: int = 0, ago: timedelta = timedelta(0)) -> str:
    """A line of each customer for each minute of the last ones, the newest a minute old."""
    now = datetime.now(timezone.utc) - timedelta(minutes=1) - ago
    times = [f"{now - timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}" for minute in range(minutes)]
    return "".join(
        f"{time} cust_{customer} /api/v1/resource{minute % 3} "
        f"{status or (500 if minute % 10 == customer % 10 else 200)} "
        f"{0.1 + customer / 50 + minute / 1000:.3f}\n"
        for minute, time in enumerate(times)
        for customer in range(1, customers + 1)
    )


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with five customers in the last hour, two lines that could not be read, and nothing new."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "requests.log").write_text(lines() + "not a request\n<img src=x onerror=alert(1)>\n")
    service = Service(folder, str(folder / "requests.log"))
    service.start()
    service.await_total(5 * 55)
    yield service
    service.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, not started, that follows requests.log in its folder."""
    service = Service(tmp_path, str(tmp_path / "requests.log"))
    yield service
    service.close()
