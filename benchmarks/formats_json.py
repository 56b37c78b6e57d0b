"""How fast JSON lines of a file become committed rows, beside DuckDB's own `read_json` into the same columns.

Each side runs in a process of its own, in turn, several times; figures are medians. Seconds are those from
opening a new store to closing it, of DuckDB's reader those of its statement alone. The logs: flat and of one
shape; longer, with objects in them and keys that are not read; the same with the keys of each line in another
order; and with 2 % of the lines damaged, which `read_json` is told to ignore.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sides import measured, seconds_to_load

KINDS = ("flat", "nested", "shuffled", "damaged")
SIDES = ("tailmetrics", "read_json")
DAMAGED_SHARE = 0.02
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/129.0 Safari/537.36", "curl/8.5.0")


def lines(kind: str, count: int, seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for number in range(count):
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_727_740_800 + number // 50))
        line: dict[str, object] = {
            "timestamp": f"{moment}Z",
            "customer_id": f"cust_{chance.randrange(50)}",
            "path": f"/api/v1/resource{chance.randrange(4)}",
            "status_code": chance.choice((200, 200, 200, 404, 500)),
            "duration": round(chance.random(), 3),
        }
        if kind in ("nested", "shuffled"):
            line = {
                "level": "info",
                "timestamp": f"{moment}.{chance.randrange(1000):03}Z",
                "request": {"method": "GET", "path": line.pop("path"), "host": "shop.example"},
                **{key: line[key] for key in ("customer_id", "status_code", "duration")},
                "bytes": chance.randrange(100_000),
                "agent": chance.choice(AGENTS),
            }
        if kind == "shuffled":
            line = dict(chance.sample(list(line.items()), len(line)))
        text = json.dumps(line, separators=(",", ":"))
        if kind == "damaged" and chance.random() < DAMAGED_SHARE:
            text = text[: chance.randrange(1, len(text))]
        yield f"{text}\n"


def path_key(kind: str) -> str:
    return "request.path" if kind in ("nested", "shuffled") else "path"


def tailmetrics(kind: str, log: Path, folder: Path) -> float:
    keys = ("timestamp", "customer_id", "status_code", "duration")
    field_map = ",".join([f"path={path_key(kind)}", *(f"{key}={key}" for key in keys)])
    return seconds_to_load(log, folder, log_format="json", log_json_fields=field_map)


def read_json(kind: str, log: Path, folder: Path) -> float:
    import duckdb

    path = "'request': 'STRUCT(path VARCHAR)'" if "." in path_key(kind) else "'path': 'VARCHAR'"
    columns = (
        f"{{'timestamp': 'TIMESTAMP', 'customer_id': 'VARCHAR', {path}, 'status_code': 'SMALLINT', "
        "'duration': 'DOUBLE'}"
    )
    with duckdb.connect(f"{folder}/read_json.duckdb") as connection:
        began = time.perf_counter()
        connection.execute(
            f"CREATE TABLE records AS SELECT timestamp, customer_id, {path_key(kind)} AS path, status_code, "
            f"duration FROM read_json(?, format='newline_delimited', columns={columns}, "
            f"ignore_errors={kind == 'damaged'})",
            [str(log)],
        )
        return time.perf_counter() - began


def run_side(side: str, kind: str, log: Path) -> None:
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        seconds = {"tailmetrics": tailmetrics, "read_json": read_json}[side](kind, log, Path(folder))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": seconds, "peak_mb": usage.ru_maxrss / 1000}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help="only logs of this kind")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.kind, arguments.log)
        return
    for kind in [arguments.kind] if arguments.kind else KINDS:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "json.log"
            with log.open("w", encoding="utf-8") as stream:
                stream.writelines(lines(kind, arguments.lines, arguments.seed))
            runs: list[dict[str, dict[str, float]]] = [
                {side: measured(__file__, side=side, kind=kind, log=log) for side in SIDES}
                for _ in range(arguments.repeat)
            ]
            bytes_a_line = log.stat().st_size / arguments.lines
        speeds = {
            side: arguments.lines / statistics.median(run[side]["seconds"] for run in runs) for side in SIDES
        }
        ratios = [run["read_json"]["seconds"] / run["tailmetrics"]["seconds"] for run in runs]
        peak = statistics.median(run["tailmetrics"]["peak_mb"] for run in runs)
        print(
            f"{kind:9} {bytes_a_line:4.0f} bytes  {speeds['tailmetrics']:11,.0f} lines/s  {peak:4,.0f} MB  "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of read_json's "
            f"{speeds['read_json']:,.0f}"
        )


if __name__ == "__main__":
    main()
