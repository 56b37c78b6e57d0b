"""The example for logrotate loses no line."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.running import Service
from tests.paths import ROOT
from tests.tailing.following import append, numbered

LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed"),
]


def test_each_line_counts_once_over_rotations(tmp_path: Path, new_service: Callable[..., Service]) -> None:
    folder = tmp_path / "shop"
    folder.mkdir(mode=0o750)
    example = (ROOT / "deploy/logrotate/shop").read_text()
    example = example.replace("/var/log/shop/", f"{folder}/").replace("create 0640 root adm", "create")
    configuration = tmp_path / "shop.conf"
    configuration.write_text(example)
    configuration.chmod(0o600)
    service = new_service(str(folder / "*.log"))
    service.start()
    for turn in range(4):
        append(folder / "shop.log", *numbered(turn * 1000, turn * 1000 + 1000))
        state = f"--state={tmp_path}/state"
        subprocess.run([str(LOGROTATE), "--force", state, str(configuration)], check=True)
    service.await_total(4000)
    service.end()
    assert service.numbers() == list(range(4000))
    assert re.findall(r"\.log\S*", " ".join(sorted(path.name for path in folder.iterdir()))) == [
        *(".log", ".log.1", ".log.2.gz", ".log.3.gz", ".log.4.gz")
    ]
