"""The blocks of docs/python.md, run in their order as a notebook runs its cells."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.paths import DATA, ROOT

PAGE = (ROOT / "docs/python.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def cells() -> list[tuple[str, str]]:
    """Each block of code with the output that stands below it."""
    return re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE, re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> str:
    """What a notebook shows of a cell: what it prints, then the value of an expression at its end."""
    cell = ast.parse(code)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(compile(cell, "cell", "exec"), names)  # noqa: S102  # the page's own code
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307  # likewise
            if value is not None:
                shown.write(f"{value}\n")
    return shown.getvalue()


def test_the_outputs_on_the_page_are_real(address: str, folder: Path) -> None:
    shutil.copy(DATA / "requests-10k.log", folder)
    names: dict[str, Any] = {}
    shown = [(code, run(code.replace(ADDRESS, address), names)) for code, _ in cells()]
    assert shown == cells()


@pytest.mark.slow
def test_the_page_is_well_typed(folder: Path) -> None:
    """The code of the page passes strict mypy, as that of who uses the package does."""
    code = "\n".join(code for code, _ in cells())
    (folder / "cells.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", folder / "cells.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
