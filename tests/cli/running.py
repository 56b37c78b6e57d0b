"""What tests of the commands are made of: logs, documents, and what a command printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tailmetrics.cli.commands import main
from tailmetrics.cli.documents import Customer, Figures, Report
from tests.paths import DATA

LOG = DATA / "requests-10k.log"
MESSY = DATA / "messy.log"
FIGURES = Figures(
    total_requests=3,
    successful_requests=2,
    failed_requests=1,
    uptime=66.7,
    average_latency=None,
    median_latency=None,
    p99_latency=None,
)

Run = Callable[..., Result]


def as_json(result: Result, exit_code: int = 0) -> dict[str, Any]:
    assert result.exit_code == exit_code, result.stderr
    return json.loads(result.stdout)


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *(str(argument) for argument in arguments)])


def report_of(*names: str, **changes: Any) -> Report:
    """A report of customers that all have the same figures."""
    figures = {**vars(FIGURES), **changes}
    customers = tuple(Customer(customer_id=name, **figures) for name in names)
    return Report(None, None, "UTC", "5xx", customers, Figures(**figures))


def result_logs(folder: Path) -> list[Path]:
    """Three logs: apples passed three times, pears twice of three, plums never."""
    files = []
    for number, pears in enumerate(("PASS", "FAIL", "PASS")):
        file = folder / f"test_{1_700_000_000 + 86_400 * number}.log"
        file.write_text(
            "# Iteration 1\n# Test: apples Test\n# Who is apples?\n# Result: PASS\n"
            f"# Test: pears Test\n# Result: {pears}\n# Test: plums Test\n# Result: FAIL\n"
        )
        files.append(file)
    return files
