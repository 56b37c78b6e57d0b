"""What the tests of the commands share: defaults, a service, and a store without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from tailmetrics.cli.commands import main
from tailmetrics.settings import Settings
from tests.cli.running import LOG, Run
from tests.integration.running import Service, free_port


@pytest.fixture(autouse=True)
def nothing_but_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, no settings in the environment, and a port at which nothing answers."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_PORT", str(free_port()))
    yield
    structlog.reset_defaults()  # logging was bound to a stream of the command


@pytest.fixture
def run() -> Run:
    """Run a command within this process."""
    return lambda *arguments, **given: CliRunner().invoke(main, [str(each) for each in arguments], **given)


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has read 10,000 lines, with a key for changes."""
    folder = tmp_path_factory.mktemp("service")
    service = Service(folder, str(LOG), API_KEY="secret")
    try:
        service.start()
        service.await_total(10_000)
        yield service
    finally:
        service.close()


@pytest.fixture(scope="package")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store that holds the same 10,000 lines, and that no process has open."""
    url = f"duckdb:///{tmp_path_factory.mktemp('store')}/store.duckdb"
    result = CliRunner().invoke(main, ["load", str(LOG), "--store-url", url])
    structlog.reset_defaults()
    assert result.exit_code == 0, result.stderr
    return url
