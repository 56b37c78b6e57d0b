"""Takes the pictures of the documentation from made-up data: overview and detail, light and dark.

    python tools/screenshots.py            writes docs/overview-light.png and three more

It needs the extra `dev` and Debian's chromium; pillow, if there is one, makes the pictures smaller.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1200, "height": 860}
VIEWS = {"overview": "/?range=24h&tz=UTC", "detail": "/?range=24h&tz=UTC&customer=shop-berlin"}
CUSTOMERS = (
    "shop-berlin", "shop-paris", "shop-osaka", "acme", "globex", "initech", "umbrella", "hooli", "stark",
    "wayne", "wonka", "tyrell", "cyberdyne", "aperture", "soylent", "vandelay",
)  # fmt: skip
PATHS = ("/api/v1/orders", "/api/v1/items", "/api/v1/search", "/login", "/api/v1/payments", "/health")
STATUSES = (200, 201, 304, 404, 429, 500, 503)
USUAL = (86, 6, 4, 2, 0.4, 0.4, 0.2)  # percent, about
TROUBLED = (60, 4, 2, 2, 2, 10, 20)
LINES = 60_000
DAY_SECONDS = 86_400


def demo_lines() -> str:
    """A day of requests: busy by day, an outage of one service for half an hour, and slow after it."""
    chance = random.Random(7)  # noqa: S311  # pictures, no secrets
    now = datetime.now(timezone.utc)
    moments = []
    while len(moments) < LINES:
        ago = chance.uniform(0, DAY_SECONDS)
        hour = (now - timedelta(seconds=ago)).hour
        if chance.random() < 0.35 + 0.65 * math.sin(math.pi * hour / 24) ** 2:
            moments.append(ago)
    weights = [1 / (place + 1) ** 0.8 for place in range(len(CUSTOMERS))]
    lines = []
    for ago in sorted(moments, reverse=True):
        customer = chance.choices(CUSTOMERS, weights)[0]
        path = chance.choices(PATHS, (40, 25, 15, 8, 7, 5))[0]
        troubled = 6.0 < ago / 3600 < 6.6
        status = chance.choices(STATUSES, TROUBLED if troubled else USUAL)[0]
        slower = (3 if troubled else 1) * (1.6 if path.endswith("search") else 1)
        seconds = chance.lognormvariate(-2.4, 0.55) * slower
        stamp = now - timedelta(seconds=ago)
        lines.append(f"{stamp:%Y-%m-%d %H:%M:%S} {customer} {path} {status} {seconds:.3f}\n")
    return "".join(lines)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_until_read(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/stats?every=none") as answer:  # noqa: S310  # of this machine
                if f'"total_requests":{LINES}'.encode() in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not read the demo data within a minute")


def take(url: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            for name, address in VIEWS.items():
                page = browser.new_page(viewport=SIZE, color_scheme=scheme, locale="en-GB")
                page.goto(f"{url}{address}")
                page.locator("#shown:not([hidden])").wait_for()
                page.locator("#chart-latency canvas").wait_for()
                page.wait_for_timeout(500)  # a last frame
                picture = folder / f"{name}-{scheme}.png"
                page.screenshot(path=picture)
                smaller(picture)
                print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")
                page.close()
        browser.close()


def smaller(picture: Path) -> None:
    """Reduce a picture to 128 colors, which flat drawings do not need more of."""
    try:
        from PIL import Image
    except ImportError:
        return
    Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "docs")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        (data / "requests.log").write_text(demo_lines(), encoding="utf-8")
        port = free_port()
        environment = {
            **os.environ,
            "LOG_FILE_PATH": str(data / "requests.log"),
            "STORE_URL": f"duckdb:///{data}/demo.duckdb",
            "API_PORT": str(port),
        }
        command = [sys.executable, "-m", "tailmetrics", "up", "--logging-level", "ERROR"]
        with subprocess.Popen(command, env=environment, cwd=data) as service:  # noqa: S603  # this program
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_read(url)
                take(url, folder)
            finally:
                service.terminate()


if __name__ == "__main__":
    main()
