"""The dataflow under Bytewax's own command, with workers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.running import Service, await_that
from tests.tailing.following import append, numbered


def test_two_workers_read_each_line_once(new_service: Callable[..., Service], tmp_path: Path) -> None:
    service = new_service(f"{tmp_path}/*.log")
    for n in range(4):
        append(tmp_path / f"{n}.log", *numbered(n * 1000, n * 1000 + 1000))
    command = [
        sys.executable,
        "-m",
        "bytewax.run",
        "tailmetrics.ingest.dataflow:flow_from_settings()",
        "-w",
        "2",
    ]
    output = tmp_path / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env=service.environment,
            cwd=tmp_path,
            stdout=stream,
            stderr=stream,
        )
    try:
        await_that(lambda: output.read_text().count("following") == 4, 30, output.read_text)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    # What was not committed when it was interrupted is read now.
    service.start()
    service.await_total(4000)
    service.end()
    assert service.numbers() == list(range(4000))


_COMMAND = [sys.executable, "-m", "bytewax.run", "tailmetrics.ingest.dataflow:flow_from_settings()"]
_TWO = "localhost:2101;localhost:2102"


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["-i", "0", "-a", _TWO], {}),
        (["--process-id=1", f"--addresses={_TWO}", "-w", "2"], {}),
        ([], {"BYTEWAX_PROCESS_ID": "0", "BYTEWAX_ADDRESSES": _TWO}),
        (["-i", "0"], {"BYTEWAX_HOSTFILE_PATH": "hosts"}),
    ],
    ids=["options", "long options", "variables", "file of hosts"],
)
def test_a_cluster_of_processes_is_refused_as_a_file_of_another_disk_would_stay_unread(
    new_service: Callable[..., Service], tmp_path: Path, options: list[str], variables: dict[str, str]
) -> None:
    service = new_service(f"{tmp_path}/*.log")
    (tmp_path / "hosts").write_text(_TWO.replace(";", "\n"))
    ended = subprocess.run(
        [*_COMMAND, *options],
        env={**service.environment, **variables},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "found a cluster of 2 processes, expected one" in ended.stderr
    assert "`tailmetrics ingest --processes N` for processes on one machine" in ended.stderr
    assert "run `tailmetrics ingest` on each machine" in ended.stderr
