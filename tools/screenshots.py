"""Takes the pictures of the documentation from what ./start.sh shows after a minute.

    python tools/screenshots.py        writes docs/overview-light.png, its siblings, and docs/demo/

It runs ./start.sh in this checkout, whose folder demo/ it wipes. It needs the extra `dev` and Debian's
chromium; pillow, if there is one, makes the pictures smaller.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
RANGES = ("15m", "1h", "24h", "7d", "30d", "all")
WIDTHS = {1280: 900, 390: 844}
# A customer that fails more often than the others.
README = {"overview": "/?range=24h&tz=UTC", "detail": "/?range=24h&tz=UTC&customer=cust_6"}
# The whole of the page, by the name of the picture.
WHOLE = {
    "customer": "/?range=24h&tz=UTC&customer=cust_6",
    "requests": "/?range=1h&tz=UTC&customer=cust_6&requests=failed",
}
OBJECTIVES = """
[[objective]]
name = "available"
failures = "4xx+5xx"
target = 90

[[objective]]
name = "fast"
kind = "latency"
limit_seconds = 2.0
target = 95
period = "7d"
"""


@contextmanager
def demo() -> Iterator[str]:
    """Run ./start.sh for a minute at least, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["./start.sh", "--port", str(port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | _objectives(Path(folder))
        ) as script,
    ):
        try:
            if not any("Ctrl-C ends" in line for line in script.stdout or ()):
                raise SystemExit("the demo did not start")
            time.sleep(60)
            yield f"http://127.0.0.1:{port}"
        finally:
            script.send_signal(signal.SIGTERM)


def _objectives(folder: Path) -> dict[str, str]:
    """The environment of a service with objectives."""
    file = folder / "objectives.toml"
    file.write_text(OBJECTIVES)
    return {"OBJECTIVES": str(file)}


def take(url: str, folder: Path) -> None:
    (folder / "demo").mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            for name, address in README.items():
                picture(browser, f"{url}{address}", (1200, 860), scheme, folder / f"{name}-{scheme}.png")
            for width, height in WIDTHS.items():
                for name in RANGES:
                    file = folder / "demo" / f"{name}-{scheme}-{width}.png"
                    picture(browser, f"{url}/?range={name}&tz=UTC", (width, height), scheme, file)
            for (width, height), of_scheme in zip(WIDTHS.items(), ("light", "dark"), strict=True):
                for name, address in WHOLE.items():
                    if scheme == of_scheme:
                        file = folder / "demo" / f"{name}-{scheme}-{width}.png"
                        picture(browser, f"{url}{address}", (width, height), scheme, file, whole=True)
        browser.close()


def picture(
    browser: Browser, address: str, size: tuple[int, int], scheme: str, file: Path, *, whole: bool = False
) -> None:
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
    )
    page.goto(address)
    page.locator("#shown:not([hidden])").wait_for()
    page.locator("#chart-latency canvas").wait_for()
    if whole:  # parts are asked for once they are seen
        page.locator("#statuses").scroll_into_view_if_needed()
        page.locator("#heat-area:not([hidden])").wait_for()
        page.locator(".course svg").last.wait_for()
        page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)  # the period before, and a last frame
    page.screenshot(path=file, full_page=whole)
    page.close()
    smaller(file)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def smaller(file: Path) -> None:
    """Reduce a picture to 128 colors, which flat drawings do not need more of."""
    try:
        from PIL import Image
    except ImportError:
        return
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    folder = parser.parse_args().folder
    with demo() as url:
        take(url, folder)


if __name__ == "__main__":
    main()
