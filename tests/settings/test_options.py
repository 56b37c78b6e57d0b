"""What each part is told of the settings."""

from __future__ import annotations

from tailmetrics.settings import LogPath
from tests.builders import format_options


def test_an_entry_says_which_setting_gives_it() -> None:
    options = format_options("requests")
    assert LogPath("a.log", options).given_by == "LOG_FILE_PATH"
    assert LogPath("a.log", options, "x.toml, source 2").given_by == "LOG_SOURCES: x.toml, source 2"
