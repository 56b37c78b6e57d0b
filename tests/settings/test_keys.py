from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.settings import Settings, load_settings
from tailmetrics.settings.keys import KeySetting, Role, key_settings, key_to_send

FILE = KeySetting("API_READ_KEY_FILE", Role.READER, "keys")


def test_a_line_is_a_key_and_a_name() -> None:
    keys = FILE.parse("\ufeff# ours\n\n  one  the wall in the hall \r\ntw#o\n#three\n".encode())
    assert [(key.value, key.name) for key in keys] == [
        ("one", "the wall in the hall"),
        ("tw#o", "API_READ_KEY_FILE:4"),
    ]


@pytest.mark.parametrize("content", [b"key\x00\n", b"\xff\xfe\n", b"\x7f"])
def test_what_is_no_text_is_no_file_of_keys(content: bytes) -> None:
    with pytest.raises(ValueError, match="found"):
        FILE.parse(content)


def test_a_file_that_goes_on_and_on_is_none_of_keys() -> None:
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        KeySetting("API_KEY_FILE", Role.WRITER, "/dev/zero").read()


@pytest.mark.parametrize(("mode", "shown"), [(0o600, None), (0o640, None), (0o644, "0644")])
def test_a_file_that_every_user_may_read_is_told(tmp_path: Path, mode: int, shown: str | None) -> None:
    file = tmp_path / "keys"
    file.touch()
    file.chmod(mode)
    assert KeySetting("API_KEY_FILE", Role.WRITER, str(file)).readers_beside_the_owner() == shown


def settings(**given: object) -> Settings:
    return load_settings(None, **given)


def test_the_least_key_that_will_do_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "readers"
    file.write_text("of-file screen\n")
    both = settings(api_key="writer", api_read_key_file=str(file))
    sent = [key_to_send(both, role)[0] for role in Role]
    assert [key.value for key in sent if key is not None] == ["of-file", "writer"]


def test_a_file_that_cannot_be_read_is_told_and_the_next_key_sent(tmp_path: Path) -> None:
    given = settings(api_key="writer", api_read_key_file=str(tmp_path / "none"))
    key, _ = key_to_send(given, Role.READER)
    assert key is not None and key.value == "writer"
    key, said = key_to_send(settings(api_read_key_file=str(tmp_path / "none")), Role.READER)
    assert (key, said) == (
        None,
        "no key was sent: API_READ_KEY_FILE cannot be read (No such file or directory)",
    )


def test_keys_are_never_shown(tmp_path: Path) -> None:
    given = settings(api_key="s3cret-1", api_read_key="s3cret-2")
    assert "s3cret" not in repr(given) + str(given) + repr(key_settings(given))


def test_a_copy_without_keys_asks_nobody() -> None:
    given = settings(
        api_key="a", api_read_key_file="b", api_trusted_user_header="X-User", api_trusted_proxies="::1"
    )
    assert key_settings(given.without_keys()) == ()
    assert given.without_keys().api_trusted_user_header == ""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"api_trusted_user_header": "X-User"}, "API_TRUSTED_PROXIES: found none"),
        ({"api_trusted_user_header": "X User"}, "API_TRUSTED_USER_HEADER: found 'X User'"),
        ({"api_trusted_proxies": "10.0.0.0/8,proxy"}, "API_TRUSTED_PROXIES: found"),
    ],
)
def test_a_proxy_is_named_by_its_address(given: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**given)
    assert error.value.problems[0].startswith(problem)
