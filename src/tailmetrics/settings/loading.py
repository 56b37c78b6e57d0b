"""Settings from the file, the environment and flags, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tailmetrics.errors import SettingsError
from tailmetrics.settings.model import Settings
from tailmetrics.urls import masked


def load_settings(env_file: Path | None = Path(".env.local"), **flags: Any) -> Settings:
    """Settings from `env_file`, the environment and flags; the last one wins, flags that are None are none.

    Raises SettingsError with a sentence for each value that cannot be used.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        return Settings(_env_file=env_file, **given)  # type: ignore[call-arg]  # pydantic-settings' own parameter
    except ValidationError as error:
        raise SettingsError([_sentence(problem) for problem in error.errors()]) from None


def resolve_node_id(settings: Settings) -> str:
    """The name of this node: as set, else as it was at the first start.

    It is kept in a file beside the data, as the name of a host may change and the sources must not.
    """
    if "node_id" in settings.model_fields_set:
        return settings.node_id
    file = settings.data_folder / "node_id"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return file.read_text(encoding="utf-8").strip() or settings.node_id
    except FileNotFoundError:
        file.write_text(settings.node_id + "\n", encoding="utf-8")
        return settings.node_id


def _sentence(problem: Any) -> str:
    reason = str(problem["msg"]).removeprefix("Value error, ")
    key = str(problem["loc"][0]).upper() if problem["loc"] else ""
    if reason.startswith(key):
        return reason  # which is a sentence already
    if problem["type"].startswith("bool"):
        reason = "true or false"
    shown = "***" if "KEY" in key or "PASSWORD" in key or "TOKEN" in key else masked(repr(problem["input"]))
    expected = (reason[0].lower() + reason[1:]).removeprefix("input should be ")
    return f"{key}: found {shown}, expected {expected}"
