"""What a service costs that has nothing to do: its share of a core and how often each of its threads wakes.

It runs as a process at its default settings, with one log and with many. The floor is a Python process that
sleeps, which wakes not at all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from growing import lines
from running import ServiceProcess

_AT_REST_SECONDS = 4.0  # after the start


class Thread(NamedTuple):
    name: str
    seconds: float
    wakes: int


def threads(pid: int) -> dict[str, Thread]:
    """By thread id: its name, the seconds it ran, and how often it went to sleep."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t") for line in (task / "status").read_text().splitlines())
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[task.name] = Thread(status["Name"].strip(), seconds, int(status["voluntary_ctxt_switches"]))
    return found


def measure(files: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = folder / "logs"
        logs.mkdir()
        for place in range(files):
            (logs / f"{place}.log").write_text(lines(10, place), encoding="utf-8")
        service = ServiceProcess(folder, f"{logs}/*.log")
        service.start()
        try:
            while sum(source["position"] > 0 for source in service.sources()) < files:
                time.sleep(0.2)
            time.sleep(_AT_REST_SECONDS)
            before, cpu = threads(service.pid), service.cpu_seconds()
            time.sleep(seconds)
            after, cpu = threads(service.pid), service.cpu_seconds() - cpu
            service.end()
        finally:
            service.kill()
    spent = {
        task: (
            100 * (now.seconds - before[task].seconds) / seconds,
            (now.wakes - before[task].wakes) / seconds,
        )
        for task, now in after.items()
        if task in before
    }
    ran, wakes = (sum(each) for each in zip(*spent.values(), strict=True))
    print(f"{files} logs: {100 * cpu / seconds:.2f} % of a core by clock ticks, {ran:.2f} % by the scheduler")
    print(f"  {wakes:.0f} wake-ups a second; the threads that ran the most:")
    for task, (percent, wakes_a_second) in sorted(spent.items(), key=lambda item: -item[1][0])[:5]:
        print(f"  {after[task].name:16} {percent:5.2f} % {wakes_a_second:7.1f} wake-ups a second")
    return {"files": files, "cpu_percent": ran, "wakes_per_second": wakes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[1, 1000])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    figures = [measure(files, arguments.seconds) for files in arguments.files]
    print("goal: 3 %")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
