"""All tests that need a real InfluxDB, and its benchmark: `make influxdb-test`.

INFLUXD names a program of InfluxDB 2 (default: `influxd` on the path), which is started on a free port with
a folder of its own; both are gone at the end. Or INFLUXDB_TEST_URL, INFLUXDB_TEST_TOKEN and
INFLUXDB_TEST_ORG name a server that runs; what kills a server needs the program all the same. The exit
status is 0 when everything was run and passed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tests import servers
from tests.paths import ROOT

REAL = "tests/stores/influxdb/real"
END_TO_END, FAULTS = (f"{REAL}/test_{name}.py" for name in ("end_to_end", "faults"))
PYTEST = ("-m", "pytest", "-q")
PARTS: dict[str, list[str]] = {
    "contract": [*PYTEST, "-n2", "tests/stores", "--ignore=tests/stores/influxdb", "-k=influxdb"],
    "server": [*PYTEST, REAL, f"--ignore={END_TO_END}", f"--ignore={FAULTS}"],
    "end-to-end": [*PYTEST, END_TO_END],
    "faults": [*PYTEST, FAULTS],
    "benchmark": ["benchmarks/influxdb.py", "--lines", "100000", "--rounds", "1"],
}
GIVEN = ("INFLUXDB_TEST_URL", "INFLUXDB_TEST_TOKEN", "INFLUXDB_TEST_ORG")
CONNECT_SECONDS = 5.0
CLOSING_SECONDS = 60.0  # that a part takes to end what it has started


class Outcome(NamedTuple):
    part: str
    passed: bool
    closing: str  # the last line that was said
    seconds: float

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return f"{self.part:<11}{verdict}  {self.seconds:6.1f} s  {self.closing}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parts = parser.parse_args().only or list(PARTS)
    outcomes: list[Outcome] = []
    try:
        with server() as environment:
            for part in parts:
                print(f"== {part}", flush=True)
                outcomes.append(run(part, environment))
    except KeyboardInterrupt:
        print("Interrupted.")
    print("", *outcomes, sep="\n")
    return 0 if len(outcomes) == len(parts) and all(outcome.passed for outcome in outcomes) else 1


@contextlib.contextmanager
def server() -> Iterator[Mapping[str, str]]:
    """The environment that names a server, which is started and removed when none is given."""
    given = [name for name in GIVEN if os.environ.get(name)]
    if given:
        if missing := sorted({*GIVEN} - {*given}):
            raise SystemExit(f"Found {', '.join(given)}, expected {', '.join(missing)} as well.")
        require_listener(os.environ[GIVEN[0]])
        yield os.environ
        return
    if servers.influxd() is None:
        found = os.environ.get("INFLUXD")
        raise SystemExit(
            f"Found no influxd {f'at {found}' if found else 'on the path'}, expected one, as in "
            "make influxdb-test INFLUXD=/path/to/influxd\n"
            f"or a server that runs, named by {', '.join(GIVEN)}."
        )
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(servers.running(servers.InfluxDB))
        except RuntimeError as error:
            raise SystemExit(
                f"Found {servers.influxd()}, which did not start as InfluxDB 2 does:\n{error}"
            ) from error
        yield {**os.environ, **dict(zip(GIVEN, (started.address, started.token, started.org), strict=True))}


def require_listener(url: str) -> None:
    """Raise SystemExit where nothing listens, as each test would tell it in its own way."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        raise SystemExit(
            f"{GIVEN[0]}: found {url}, where nothing listens ({error}), expected an InfluxDB 2."
        ) from error


def run(part: str, environment: Mapping[str, str]) -> Outcome:
    """Run a part and show what it says; a test that is left out fails it."""
    began = time.monotonic()
    closing = ""
    # In a group of its own: a second Ctrl-C, by the terminal and by `end`, would keep it from ending its own.
    with subprocess.Popen(  # noqa: S603
        [sys.executable, *PARTS[part]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                closing = line.strip() or closing
        except KeyboardInterrupt:
            end(process)
            raise
    skipped = re.search(r"\d+ (skipped|xfailed)", closing)
    return Outcome(
        part, process.returncode == 0 and not skipped, closing.strip("= "), time.monotonic() - began
    )


def end(process: subprocess.Popen[str]) -> None:
    """Let a part end what it has started, and then all of it."""
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=CLOSING_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
