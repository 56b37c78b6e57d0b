"""Requests a second for a question that is asked again, beside an endpoint that does nothing.

All services run one worker of the same server and are asked by wrk with the same connections: ours with a
customer's daily statistics, an empty FastAPI endpoint, and, when PostgreSQL's programs are found, a FastAPI
app that reads the same customer's daily rows from a table. Each is asked in turn, several times; the figures
are medians. With --rate our service is asked once more while a log grows by so many lines a second.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from growing import CUSTOMERS, LINES, Growing, lines
from running import ServiceProcess

QUESTION = "/customers/cust_7/stats"

EMPTY = """
from fastapi import FastAPI
app = FastAPI()

@app.get("/customers/{customer_id}/stats")
async def stats(customer_id: str):
    return {}
"""

DAILY_ROWS = """
import os
from contextlib import asynccontextmanager
import psycopg_pool
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    async with psycopg_pool.AsyncConnectionPool(os.environ["DSN"], min_size=8, max_size=8) as app.state.pool:
        yield

app = FastAPI(lifespan=lifespan)

@app.get("/customers/{customer_id}/stats")
async def stats(customer_id: str):
    async with app.state.pool.connection() as connection:
        rows = await (await connection.execute(
            "SELECT day, total, failed, uptime, average, median, p99 FROM daily "
            "WHERE customer_id = %s ORDER BY day",
            [customer_id],
        )).fetchall()
    names = ("day", "total", "failed", "uptime", "average", "median", "p99")
    return {"customer_id": customer_id, "windows": [dict(zip(names, row)) for row in rows]}
"""


@contextlib.contextmanager
def app_process(folder: Path, name: str, code: str, **environment: str) -> Iterator[str]:
    (folder / f"{name}.py").write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port), "--log-level", "warning"]
    command += ["--no-access-log"]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}{QUESTION}").status_code == 200:
                        break
                if time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not get ready")
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str | None]:
    """The DSN of a PostgreSQL with a table of daily rows; None without its programs, or without psycopg."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    try:
        import psycopg
        import psycopg_pool  # noqa: F401
    except ImportError:
        found = []
    if not found:
        yield None
        return
    programs, data = found[-1].parent, folder / "postgresql"
    as_user = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    )
    data.mkdir()
    if as_user:
        folder.chmod(0o755)
        shutil.chown(data, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    subprocess.run(
        [*as_user, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data)]
    with subprocess.Popen([*as_user, *command], stderr=subprocess.DEVNULL) as server:
        dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    connection = psycopg.connect(dsn, autocommit=True)
                    break
                except psycopg.OperationalError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            with connection:
                connection.execute(
                    "CREATE TABLE daily AS SELECT 'cust_' || c AS customer_id, date '2024-10-01' + d AS day, "
                    "67 AS total, 27 AS failed, 60.0::float8 AS uptime, 0.5::float8 AS average, "
                    "0.5::float8 AS median, 0.99::float8 AS p99 "
                    f"FROM generate_series(0, {CUSTOMERS - 1}) c, generate_series(0, 29) d"
                )
                connection.execute("CREATE INDEX ON daily (customer_id, day)")
                connection.execute("ANALYZE daily")
            yield dsn
        finally:
            server.terminate()


def requests_per_second(url: str, connections: int, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url + QUESTION]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"some requests failed:\n{output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=50_000, help="lines a second of the growing log, 0: none")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk was not found; Debian and Ubuntu: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "requests.log"
        log.write_text(lines(LINES, 0))
        service = ServiceProcess(folder, str(log))
        service.start()
        try:
            while service.client.get("/stats").json()["total_requests"] < LINES:
                time.sleep(0.1)
            ours = str(service.client.base_url).rstrip("/")
            with contextlib.ExitStack() as stack:
                urls = {"ours": ours, "empty": stack.enter_context(app_process(folder, "empty", EMPTY))}
                dsn = stack.enter_context(postgresql(folder))
                if dsn is None:
                    print("PostgreSQL or psycopg_pool was not found: no comparison with daily rows")
                else:
                    urls["rows"] = stack.enter_context(app_process(folder, "rows", DAILY_ROWS, DSN=dsn))
                for connections in (8, 64):
                    compare(urls, connections, arguments, log)
        finally:
            service.end()


def compare(urls: dict[str, str], connections: int, arguments: argparse.Namespace, log: Path) -> None:
    found: dict[str, list[float]] = {name: [] for name in (*urls, "growing")}
    for _ in range(arguments.rounds):
        for name, url in urls.items():
            found[name].append(requests_per_second(url, connections, arguments.seconds))
        if arguments.rate:
            with Growing(log, arguments.rate):
                time.sleep(1)
                found["growing"].append(requests_per_second(urls["ours"], connections, arguments.seconds))
    median = {name: statistics.median(values) for name, values in found.items() if values}
    print(
        f"{connections} connections: " + ", ".join(f"{name} {value:,.0f}/s" for name, value in median.items())
    )
    print(f"  beside an empty endpoint: {median['ours'] / median['empty']:.2f} (goal 0.7)")
    if "rows" in median:
        print(f"  beside daily rows in PostgreSQL: {median['ours'] / median['rows']:.1f} (goal 10)")
    if "growing" in median:
        ratio = median["growing"] / median["empty"]
        print(f"  with {arguments.rate:,} lines/s beside an empty endpoint: {ratio:.2f} (goal 0.3)")


if __name__ == "__main__":
    main()
