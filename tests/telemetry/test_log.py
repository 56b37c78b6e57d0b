"""How events are written: as the settings say, and without passwords."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import structlog

from tailmetrics.settings import load_settings
from tailmetrics.telemetry.log import configure_logging


def test_the_first_event_of_a_process_is_written_as_the_settings_say() -> None:
    program = """
import sys
from tailmetrics.telemetry.log import EventLog, configure_logging
from tailmetrics.settings import load_settings

configure_logging(load_settings(None, logging_level="WARNING"))
log = EventLog()
log.info("following", path="x.log")
assert "structlog" not in sys.modules, "imported for nothing"
log.warning("away", error="mysql://user:s3cret@host/x does not answer")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r'timestamp=\S+ level=warning event=away error="mysql://user:\*\*\*@host/x does not answer"\n',
        run.stderr,
    )


@pytest.mark.parametrize("kind", ["full disk", "closed pipe"])
def test_an_event_that_cannot_be_written_ends_nothing(kind: str) -> None:
    program = """
from tailmetrics.telemetry.log import EventLog, configure_logging
from tailmetrics.settings import load_settings

configure_logging(load_settings(None))
for number in range(30):
    EventLog().info("following", path="x" * 1000)
print("went on")
"""
    read_end, written_end = os.pipe()
    os.close(read_end)
    if kind == "full disk":
        os.close(written_end)
        written_end = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(written_end, "wb") as stream:
        run = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stream, text=True, check=False
        )
    assert run.stdout == "went on\n"


def test_nothing_is_logged_with_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(load_settings(None))
    structlog.get_logger().warning("away", error="mysql://user:s3cret@host/x does not answer")
    structlog.reset_defaults()
    assert "mysql://user:***@host/x" in capsys.readouterr().err


def test_of_an_event_told_again_and_again_some_are_written_and_the_rest_is_counted() -> None:
    program = """
import logging
from tailmetrics.telemetry.log import EventLog, configure_logging
from tailmetrics.settings import load_settings

configure_logging(load_settings(None))
for number in range(1050):
    EventLog().warning("cannot follow", path=f"{number}.log")
    logging.getLogger("asyncio").error(f"failed {number}")
EventLog().info("another")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(run.stderr.splitlines()) == 50 + 50 + 1 + 2
    assert 'event="cannot follow" repeated="1000 times"' in run.stderr
    assert 'event=asyncio repeated="1000 times"' in run.stderr
    assert "event=another" in run.stderr


def test_the_number_of_repeats_is_said_at_the_end_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import time
from tailmetrics.telemetry import log
from tailmetrics.settings import load_settings

log._WINDOW_SECONDS = 0.1
log.configure_logging(load_settings(None))
began = time.monotonic()
for number in range(60):
    log.EventLog().warning("away")
while threads := [each for each in __import__("threading").enumerate() if each.daemon]:
    threads[0].join()
log.EventLog().warning("away", at="last")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *_, said, last = run.stderr.splitlines()
    assert 'repeated="10 times"' in said
    assert "at=last" in last


def test_kinds_of_events_beyond_number_are_counted_together() -> None:
    program = """
from tailmetrics.telemetry.log import EventLog, configure_logging
from tailmetrics.settings import load_settings

configure_logging(load_settings(None))
for number in range(2000):
    EventLog().warning(f"event {number}")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 256 <= len(run.stderr.splitlines()) <= 310


def test_what_a_library_logs_is_one_line_with_its_error() -> None:
    program = """
import logging
from tailmetrics.telemetry.log import configure_logging
from tailmetrics.settings import load_settings

configure_logging(load_settings(None))
try:
    raise OSError("no route to mysql://user:s3cret@host/x")
except OSError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = run.stderr.splitlines()
    assert 'level=error event="Exception in ASGI application" logger=uvicorn.error error=' in line
    assert ("Traceback" in line, "s3cret" in line) == (True, False)


@pytest.mark.parametrize("imported", ["before", "after"])
def test_in_another_program_only_warnings_are_written(imported: str) -> None:
    program = f"""
{"import structlog" if imported == "before" else ""}
from tailmetrics.telemetry.log import EventLog, configure_events
from tailmetrics.settings import load_settings

configure_events(load_settings(None, logging_level="WARNING"))
EventLog().info("following")
EventLog().warning("away")
import logging
assert not logging.getLogger().handlers, "those of libraries are the program's own"
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (run.stdout, re.findall(r"event=(\S+)", run.stderr)) == ("", ["away"])


def test_a_program_that_said_how_events_are_written_is_left_as_it_is() -> None:
    program = """
import structlog
from tailmetrics.telemetry.log import EventLog, configure_events
from tailmetrics.settings import load_settings

structlog.configure(processors=[lambda logger, method, event: f"mine: {event['event']}"])
configure_events(load_settings(None, logging_level="WARNING"))
EventLog().info("following")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("mine: following\n", "")
