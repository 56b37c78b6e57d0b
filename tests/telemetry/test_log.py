"""How events are written: as the settings say, and without passwords."""

from __future__ import annotations

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


def test_nothing_is_logged_with_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(load_settings(None))
    structlog.get_logger().warning("away", error="mysql://user:s3cret@host/x does not answer")
    structlog.reset_defaults()
    assert "mysql://user:***@host/x" in capsys.readouterr().err
