"""A service that follows standard input, killed again and again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Service, await_that
from tests.tailing.following import numbered

SECONDS = 30.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, "-")
    yield service
    service.close()


def send(service: Service, first: int, last: int) -> None:
    """Write lines to the pipe, and wait until the last one is kept."""
    assert service.process is not None
    assert service.process.stdin is not None
    data = "".join(f"{line}\n" for line in numbered(first, last)).encode()
    service.process.stdin.write(data)
    service.process.stdin.flush()
    await_that(lambda: any(file.read_bytes().endswith(data[-100:]) for file in kept(service)), SECONDS)


def kept(service: Service) -> list[Path]:
    """The file that was written to last."""
    return sorted(service.folder.glob("stdin-*"), key=lambda file: file.lstat().st_mtime_ns)[-1:]


@pytest.mark.slow
def test_lines_that_were_read_from_the_pipe_count_once_over_kill_nine(service: Service) -> None:
    for turn in range(3):
        service.start(stdin=subprocess.PIPE)
        # No two turns begin alike, and the first lines are stored when it is killed, not the last ones.
        send(service, turn * 3000, turn * 3000 + 1000)
        service.await_total(turn * 3000 + 1000)
        send(service, turn * 3000 + 1000, turn * 3000 + 3000)
        assert service.process is not None
        assert service.process.stdin is not None
        service.kill()
        service.process.stdin.close()
    service.start(stdin=subprocess.PIPE)
    service.await_total(9000)
    assert service.process is not None
    assert service.process.stdin is not None
    service.process.stdin.write(numbered(9000, 9001)[0].encode())
    service.process.stdin.close()
    service.await_total(9001)
    assert service.end() == 0
    assert service.numbers() == list(range(9001))
