"""A wall clock that steps for a process that a test starts, while that of the machine goes on."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class SteppedClock:
    """The wall clock of every process that has `environment`; `folder` is for what makes it so."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        self._steps = folder / "steps"
        self._steps.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "STEPS": str(self._steps)}

    def step(self, seconds: int) -> None:
        """Have it differ so much from the machine's clock from now on."""
        with self._steps.open("r+b") as stream:
            stream.write(struct.pack("<q", seconds * 10**9))
