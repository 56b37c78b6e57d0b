from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications.secrets import hidden, read

HOOK = "https://hooks.slack.com/services/T0123456/B0123456/abcdefgh?token=qwertz"


def test_a_secret_is_read_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    by_file = Receiver(name="ops", kind="webhook", url_file=str(file))
    by_variable = Receiver(name="ops", kind="webhook", url_env="OPS_URL")
    for text in ("https://one/\n", "https://two/"):
        file.write_text(text)
        monkeypatch.setenv("OPS_URL", text)
        assert read(by_file, "url") == read(by_variable, "url") == text.strip()
    assert read(by_file, "header") is None


def test_a_secret_that_is_not_there_is_told_by_where_it_is_expected(tmp_path: Path) -> None:
    with pytest.raises(NotificationError, match=r"the variable OPS_NONE of url_env is not set"):
        read(Receiver(name="ops", kind="webhook", url_env="OPS_NONE"), "url")
    with pytest.raises(NotificationError, match=r"none of url_file cannot be read: No such file"):
        read(Receiver(name="ops", kind="webhook", url_file=str(tmp_path / "none")), "url")


@pytest.mark.parametrize(
    "text",
    [
        HOOK,
        "no host for /services/T0123456/B0123456/abcdefgh",
        "found abcdefgh",
        "token=qwertz",
        "a B0123456",
    ],
)
def test_no_part_of_a_secret_is_shown(text: str) -> None:
    shown = hidden(text, [HOOK])
    assert "***" in shown
    assert not any(part in shown for part in ("T0123456", "B0123456", "abcdefgh", "qwertz"))


def test_the_words_of_a_header_and_passwords_of_other_urls_are_not_shown() -> None:
    text = "Bearer s3cr3t-token\nwas not taken by http://user:passw0rd@host/"
    assert hidden(text, ["Authorization: Bearer s3cr3t-token", None]) == (
        "*** *** was not taken by http://user:***@host/"
    )


def test_a_password_of_a_url_is_not_shown_as_it_is_sent() -> None:
    url = "http://alerts:p%40ssw0rd@host/notify"
    assert hidden("who is Basic YWxlcnRzOnBAc3N3MHJk, p@ssw0rd?", [url]) == "who is Basic ***, ***?"


def test_an_address_that_is_none_is_not_shown() -> None:
    assert hidden("found http://[::1/s3cr3t", ["http://[::1/s3cr3t"]) == "found ***"
