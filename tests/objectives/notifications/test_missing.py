from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications.missing import missing

HOOK = {"kind": "webhook", "url": "https://example.com/"}


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        (HOOK, []),
        (HOOK | {"template": "slack"}, []),
        ({"kind": "command", "command": ["cat"]}, []),
        ({"kind": "command", "command": ["/none/such"]}, ["/none/such is no program that this user may run"]),
        (
            HOOK | {"template": "none.txt"},
            ["the template none.txt cannot be read: No such file or directory"],
        ),
        (
            {"kind": "webhook", "url_env": "OPS_NONE", "header_file": "none"},
            [
                "the variable OPS_NONE of url_env is not set, or empty; expected the url of ops",
                "the file none of header_file cannot be read: No such file or directory",
            ],
        ),
    ],
)
def test_what_is_not_there_is_told(
    fields: dict[str, Any], problems: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(missing(Receiver.model_validate({"name": "ops"} | fields))) == problems
