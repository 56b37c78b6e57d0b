from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tailmetrics.api.http import keyring
from tailmetrics.api.http.keyring import Keyring
from tailmetrics.api.http.sessions import new_session
from tailmetrics.errors import SettingsError
from tailmetrics.settings import load_settings
from tailmetrics.settings.keys import Role


@pytest.fixture(autouse=True)
def at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at each time that a key is asked for."""
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "readers"
    file.write_text("first wall\nsecond\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def keys(file: Path) -> Keyring:
    return Keyring(load_settings(None, api_key="writer", api_read_key_file=str(file)))


def test_keys_of_settings_and_files_are_in_force(keys: Keyring) -> None:
    found = [keys.find(given) for given in (b"writer", b"first", b"second", b"third", b"")]
    assert [key and (key.name, key.role) for key in found] == [
        ("API_KEY", Role.WRITER),
        ("wall", Role.READER),
        ("API_READ_KEY_FILE:2", Role.READER),
        None,
        None,
    ]


def test_a_key_that_stands_twice_may_do_the_most(file: Path, keys: Keyring) -> None:
    file.write_text("writer reader\n")
    found = keys.find(b"writer")
    assert found is not None and found.role is Role.WRITER


def test_a_key_that_is_added_is_in_force_and_one_that_is_removed_no_longer(file: Path, keys: Keyring) -> None:
    file.write_text("third\n")
    assert keys.find(b"third") and not keys.find(b"first")


def test_a_file_of_the_same_size_that_takes_its_place_is_read(file: Path, keys: Keyring) -> None:
    other = file.with_name("other")
    other.write_text("tsrif wall\nsecond\n")
    other.replace(file)
    assert keys.find(b"tsrif") and not keys.find(b"first")


def test_the_session_of_a_removed_key_is_over(file: Path, keys: Keyring) -> None:
    session = new_session("first")
    assert keys.of_session(session)
    file.write_text("second\n")
    assert not keys.of_session(session)


def test_an_empty_file_is_nobodys(file: Path, keys: Keyring) -> None:
    file.write_text("# nobody\n")
    assert not keys.find(b"first") and not keys.problems()


@pytest.mark.parametrize("content", [None, b"\xff\n"], ids=["no file", "no text"])
def test_a_file_that_cannot_be_read_again_leaves_the_keys_in_force(
    file: Path, keys: Keyring, content: bytes | None
) -> None:
    good = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with capture_logs() as logged:
        assert keys.find(b"first") and keys.find(b"second")
    assert [entry["log_level"] for entry in logged] == ["error"]  # once, not at each look
    [(path, problem)] = keys.problems()
    assert path == str(file) and "stay in force" in problem
    file.write_bytes(good)
    assert not keys.problems()


def test_a_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"API_KEY_FILE: .*none cannot be used \(No such file"):
        Keyring(load_settings(None, api_key_file=str(tmp_path / "none")))


def test_the_log_tells_the_mode_and_number_of_keys_and_none_of_them(file: Path) -> None:
    file.chmod(0o644)
    with capture_logs() as logged:
        Keyring(load_settings(None, api_read_key_file=str(file)))
    assert [(entry["log_level"], entry.get("keys"), entry.get("mode")) for entry in logged] == [
        ("info", 2, None),
        ("warning", None, "0644"),
    ]
    assert "first" not in str(logged) and "second" not in str(logged)


def test_what_was_shown_is_remembered_for_its_time_and_while_the_keys_stay(file: Path, keys: Keyring) -> None:
    header = (b"x-api-key", b"first")
    keys.remember(header, 1e11)
    keys.remember((b"cookie", b"session"), 1e9)
    assert keys.remembers(header) and not keys.remembers((b"cookie", b"session"))
    file.write_text("first\n")
    assert not keys.remembers(header)


def test_little_is_remembered(keys: Keyring) -> None:
    for number in range(3000):
        keys.remember((b"x-api-key", b"%d" % number), 1e11)
    assert len(keys._remembered) <= 1024
