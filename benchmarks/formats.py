"""How fast the lines of each format are read, and come from a file into the store, beside DuckDB's own regex.

Each side runs in a process of its own, in turn, several times; figures are medians, and ratios those of runs
side by side. `parse` is reading alone, `commit` is from opening a new store to closing it, and of DuckDB
the statement that makes a table of the lines with regexp_extract. CPU seconds are user and system time.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sides import measured, seconds_to_load

CHUNK_BYTES = 2 << 20
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
    "python-requests/2.32.3",
)
PATTERN = (
    r'^(\S+) \S+ (\S+) \[([^\]]*)\] "\S+ ([^ ?"]*)[^"]*" (\d{3}) \S+ '
    r'"(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*" ([0-9.]+)$'
)


def nginx_lines(lines: int) -> Iterator[str]:
    """The combined format with the request time, of a busy day."""
    choose = random.Random(1)
    second = 0.0
    for _ in range(lines):
        second += choose.expovariate(50)
        clock = f"{int(second) // 3600 % 24:02}:{int(second) // 60 % 60:02}:{int(second) % 60:02}"
        address = ".".join(str(choose.randrange(1, 224)) for _ in range(4))
        user = f"user{choose.randrange(500)}" if choose.random() < 0.3 else "-"
        query = f"?item={choose.randrange(1000)}&from=mail" if choose.random() < 0.4 else ""
        yield (
            f"{address} - {user} [10/Oct/2024:{clock} +0000] "
            f'"{choose.choice(("GET", "POST"))} /api/v1/resource{choose.randrange(40)}{query} HTTP/1.1" '
            f"{choose.choice((200, 200, 200, 304, 404, 500))} {choose.randrange(90_000)} "
            f'"{choose.choice(("-", "https://shop.example/"))}" "{choose.choice(AGENTS)}" '
            f"{choose.expovariate(3):.3f}\n"
        )


def requests_lines(lines: int) -> Iterator[str]:
    choose = random.Random(1)
    second = 0.0
    for _ in range(lines):
        second += choose.expovariate(50)
        clock = f"{int(second) // 3600 % 24:02}:{int(second) // 60 % 60:02}:{int(second) % 60:02}"
        yield (
            f"2024-10-10 {clock} user{choose.randrange(500)} /api/v1/resource{choose.randrange(40)} "
            f"{choose.choice((200, 200, 200, 304, 404, 500))} {choose.expovariate(3):.3f}\n"
        )


def parse(name: str, log: Path, *, by_rules: bool = False) -> float:
    from tailmetrics.formats import open_format
    from tailmetrics.formats.framing import framing_of
    from tailmetrics.settings import load_settings

    read = open_format(load_settings(None).format_options(name))
    if by_rules:
        read = read._inner._by_rules
    data = log.read_bytes()
    framing, chunks, at = framing_of(name), [], 0
    while at < len(data):
        size = framing.whole(data[at : at + CHUNK_BYTES])
        chunks.append((data[at : at + size], at))
        at += size
    began = time.perf_counter()
    for chunk, offset in chunks:
        if read.parse(chunk, offset).rejects.height:
            raise SystemExit("a line of the benchmark is a reject")
    return time.perf_counter() - began


def commit(name: str, log: Path) -> float:
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        return seconds_to_load(log, Path(folder), log_format=name)


def duckdb_regexp(log: Path) -> float:
    import duckdb

    with (
        tempfile.TemporaryDirectory(dir=log.parent) as folder,
        duckdb.connect(f"{folder}/t.duckdb") as connection,
    ):
        began = time.perf_counter()
        connection.execute(
            "CREATE TABLE records AS SELECT strptime(f.time, '%d/%b/%Y:%H:%M:%S %z') AS timestamp, "
            "CASE f.user WHEN '-' THEN f.address ELSE f.user END AS customer_id, f.path, "
            "f.status::SMALLINT AS status_code, f.duration::DOUBLE AS duration FROM (SELECT regexp_extract("
            f"line, '{PATTERN}', ['address', 'user', 'time', 'path', 'status', 'duration']) AS f "
            "FROM read_csv(?, delim=chr(1), header=false, auto_detect=false, quote='', escape='', "
            "columns={'line': 'VARCHAR'}))",
            [str(log)],
        )
        return time.perf_counter() - began


SIDES: dict[str, tuple[str, Callable[[Path], float]]] = {
    "parse requests": ("requests", lambda log: parse("requests", log)),
    "parse nginx": ("nginx", lambda log: parse("nginx", log)),
    "parse nginx by rules": ("nginx", lambda log: parse("nginx", log, by_rules=True)),
    "commit requests": ("requests", lambda log: commit("requests", log)),
    "commit nginx": ("nginx", lambda log: commit("nginx", log)),
    "duckdb regexp_extract": ("nginx", duckdb_regexp),
}
RATIOS = (
    ("parse nginx", "parse requests"),
    ("parse nginx", "parse nginx by rules"),
    ("commit nginx", "commit requests"),
    ("commit nginx", "duckdb regexp_extract"),
)


def run_side(side: str, log: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = SIDES[side][1](log)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": after.ru_maxrss / 1000}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.log)
        return
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: Path(folder) / f"{name}.log" for name in ("requests", "nginx")}
        for name, lines in (("requests", requests_lines), ("nginx", nginx_lines)):
            with logs[name].open("w") as stream:
                stream.writelines(lines(arguments.lines))
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(arguments.repeat):
            for side, (name, _read) in SIDES.items():
                runs[side].append(measured(__file__, side=side, log=logs[name]))
    for side, figures in runs.items():
        seconds, cpu, peak = (
            statistics.median(run[key] for run in figures) for key in ("seconds", "cpu", "peak_mb")
        )
        speed = arguments.lines / seconds
        print(f"{side:22} {speed:12,.0f} lines/s   CPU {cpu:6.2f} s   peak {peak:6,.0f} MB")
    for side, other in RATIOS:
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(runs[side], runs[other], strict=True)]
        print(f"{side} / {other}: {statistics.median(ratios):.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
