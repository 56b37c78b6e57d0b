"""What a service or a store holds, as Polars frames: for notebooks and scripts."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from types import TracebackType
from typing import Any, Literal, TypeAlias

import httpx
import polars as pl

from tailmetrics.client.transport import Transport, refusal
from tailmetrics.errors import QueryError, StoreUnavailable
from tailmetrics.stats import Failures, UptimeMethod

Time: TypeAlias = str | date  # and so a datetime, too

_LARGEST_PAGE = 1000  # entries that one question may ask for
_FIGURES: dict[str, pl.DataType] = {
    "total_requests": pl.Int64(),
    "successful_requests": pl.Int64(),
    "failed_requests": pl.Int64(),
    "uptime": pl.Float64(),
    "average_latency": pl.Float64(),
    "median_latency": pl.Float64(),
    "p99_latency": pl.Float64(),
}
# Of a window, as /stats has it; times are text.
WINDOW_COLUMNS: dict[str, pl.DataType] = {
    "customer_id": pl.String(),
    "start": pl.String(),
    "end": pl.String(),
    **_FIGURES,
}
_COUNTS: dict[str, pl.DataType] = {"total_requests": pl.Int64(), "failed_requests": pl.Int64()}
_REJECTS: dict[str, pl.DataType] = {
    "source_id": pl.String(),
    "path": pl.String(),
    "offset": pl.Int64(),
    "reason": pl.String(),
    "line": pl.String(),
    "seen_at": pl.String(),
}
# As /objectives has it; times are text.
OBJECTIVE_COLUMNS: dict[str, pl.DataType] = {
    **dict.fromkeys(("objective", "customer_id", "state", "kind"), pl.String()),
    "target": pl.Float64(),
    "failures": pl.String(),
    "limit_seconds": pl.Float64(),
    **dict.fromkeys(("period", "tz", "from", "to"), pl.String()),
    **dict.fromkeys(("total_requests", "good_requests", "bad_requests"), pl.Int64()),
    **dict.fromkeys(("compliance", "allowed_requests", "left_requests"), pl.Float64()),
    **dict.fromkeys(("used_percent", "left_percent"), pl.Float64()),
    **dict.fromkeys((f"burn_rate_{window}" for window in ("5m", "30m", "1h", "6h", "3d")), pl.Float64()),
    "runs_out_at": pl.String(),
}


class Connection:
    """A service or a store that is asked for frames; `open` makes one.

    Parameters are those of the HTTP API and mean the same. A range is half-open, `from_` <= time < `to`. Each
    end is a date, a datetime (without an offset: in `tz`) or text as the API takes it ("2024-10-10", "-24h");
    without it the range begins or ends where the data does. `failures` says which statuses failed, beside no
    answer: "4xx+5xx", "5xx" or "5xx+429".

    Seven figures are in many frames: `total_requests`, `successful_requests` and `failed_requests` (counts),
    `uptime` (percent, null without requests), `average_latency`, `median_latency` and `p99_latency` (seconds,
    null without latencies).

    Every method raises QueryError when a parameter is wrong, UnknownCustomer when the store has no request of
    the customer, StoreUnavailable or Overloaded when it may be asked again later, another StoreError when the
    store cannot be read, and ServiceError when the service refuses or gives no answer.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._finalizer = weakref.finalize(self, _let_go, transport)

    def stats(
        self,
        customer: str | None = None,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        every: str = "1d",
        tz: str = "UTC",
        failures: Failures = "4xx+5xx",
        fill: bool = False,
    ) -> pl.DataFrame:
        """One row a window, by time: `customer_id`, `start`, `end` (in `tz`) and the seven figures.

        Without a customer it is about all together, and `customer_id` is null. `every` is a number with s, m,
        h or d. Windows without requests are left out; with `fill` they are there, at most 10,000. The figures
        of the whole range are those of `totals`: medians of windows do not add up.
        """
        asked = {
            "customer_id": customer,
            **_range(from_, to, tz, failures),
            "every": every,
            "fill": "true" if fill else None,
        }
        answer = self._json("/stats", asked)
        rows = ({"customer_id": answer["customer_id"], **window} for window in answer["windows"])
        return _windows(rows, tz)

    def totals(
        self,
        customer: str | None = None,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        tz: str = "UTC",
        failures: Failures = "4xx+5xx",
        uptime_method: UptimeMethod = "requests",
        objective: float = 99.0,
        every: str = "1d",
    ) -> pl.DataFrame:
        """One row, the figures of the whole range: the columns of `stats`.

        `start` and `end` are the edges of the outermost windows with requests where the range is open, null
        when there are none. With uptime_method="good_windows" `uptime` is the percentage of the windows of
        length `every` that reach `objective` percent.
        """
        asked = {
            "customer_id": customer,
            **_range(from_, to, tz, failures),
            "every": every,
            "uptime_method": uptime_method,
            "objective": str(objective),
        }
        answer = self._json("/stats", asked)
        return _windows([{**answer, "start": answer["from"], "end": answer["to"]}], tz)

    def customers(
        self,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        tz: str = "UTC",
        failures: Failures = "4xx+5xx",
        search: str = "",
        sort: str = "customer_id",
        limit: int | None = 100,
    ) -> pl.DataFrame:
        """One row a customer with requests in the range: `customer_id` and the seven figures.

        `search` is a part of the id. `sort` is customer_id, requests, failures, uptime, average, median or
        p99, with a - before it from the largest. `limit` is how many, at most; None: all.
        """
        asked = {**_range(from_, to, tz, failures), "search": search, "sort": sort}
        rows = self._pages("/customers", "customers", asked, limit)
        return pl.DataFrame(rows, {"customer_id": pl.String(), **_FIGURES}, orient="row")

    def breakdown(
        self,
        customer: str | None = None,
        *,
        by: Literal["path", "status"] = "path",
        from_: Time | None = None,
        to: Time | None = None,
        tz: str = "UTC",
        failures: Failures = "4xx+5xx",
        top: int = 10,
    ) -> pl.DataFrame:
        """One row a `path` (the `top` ones, at most 1,000, most requests first), or a `status_code`, rising.

        Then `total_requests` and `failed_requests`. The status 0 is that of requests without an answer.
        """
        asked = {"customer_id": customer, **_range(from_, to, tz, failures), "top": str(top)}
        if by not in {"path", "status"}:
            raise QueryError("by", by, "path or status")
        answer = self._json("/breakdown", asked)
        if by == "path":
            return pl.DataFrame(answer["paths"], {"path": pl.String(), **_COUNTS}, orient="row")
        return pl.DataFrame(answer["statuses"], {"status_code": pl.Int16(), **_COUNTS}, orient="row")

    def records(
        self,
        customer: str | None = None,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        tz: str = "UTC",
    ) -> pl.DataFrame:
        """One row a request, all of the range, by time: as many as there are, in memory at once.

        Columns: `timestamp` (in `tz`, microseconds), `customer_id`, `path`, `status_code` (0: no answer),
        `duration` (seconds, null where it is unknown), `source` (id of the log) and `offset` (byte at which
        the line begins).
        """
        asked = {"customer": customer, "from": _text(from_), "to": _text(to), "tz": tz, "format": "arrow"}
        frame = pl.read_ipc_stream(self._get("/records", asked).content)
        return frame.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone(tz))

    def rejects(self, *, limit: int | None = 100) -> pl.DataFrame:
        """One row a line that could not be read, newest first, at most `limit`; None: all that are kept.

        Columns: `source_id` and `path` of the log, `offset` (byte at which the line begins), `reason` (the
        field, what was found, what was expected), `line`, and `seen_at` (UTC), when it was stored.
        """
        rows = self._pages("/rejects", "rejects", {}, limit)
        return pl.DataFrame(rows, _REJECTS, orient="row").with_columns(_time("seen_at", "UTC"))

    def objectives(
        self, customer: str | None = None, *, at: Time | None = None, limit: int | None = None
    ) -> pl.DataFrame:
        """One row an objective and customer, the least budget left first; none without a file of OBJECTIVES.

        Columns: those of GET /objectives, shares in percent, times in UTC. `at` is the moment of the figures
        (default: now); `limit` is how many rows, at most; None: all.
        """
        moment = datetime.now(timezone.utc) if at is None else at  # which all pages have to have in common
        rows = self._pages("/objectives", "objectives", {"customer": customer, "at": _text(moment)}, limit)
        frame = pl.DataFrame(rows, OBJECTIVE_COLUMNS, orient="row")
        return frame.with_columns(_time(column, "UTC") for column in ("from", "to", "runs_out_at"))

    def close(self) -> None:
        """End the connection; a store that was opened by it may be opened by another process then."""
        if self._finalizer.detach() is not None:
            self._transport.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"tailmetrics.open({self._transport.origin!r})"

    def _pages(
        self, path: str, entries: str, asked: Mapping[str, str | None], limit: int | None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            left = _LARGEST_PAGE if limit is None else min(_LARGEST_PAGE, limit - len(rows))
            page = self._json(path, {**asked, "limit": str(left), "cursor": cursor})
            rows += page[entries]
            cursor = page["next_cursor"]
            if cursor is None or len(rows) == limit:
                return rows

    def _json(self, path: str, asked: Mapping[str, str | None]) -> Any:
        response = self._get(path, asked)
        with contextlib.suppress(ValueError):
            return response.json()
        raise refusal(response)

    def _get(self, path: str, asked: Mapping[str, str | None]) -> httpx.Response:
        if not self._finalizer.alive:
            raise StoreUnavailable(f"{self._transport.origin} is closed; tailmetrics.open opens it anew")
        given = {name: value for name, value in asked.items() if value is not None}
        response = self._transport.get(path, given)
        if not response.is_success:
            raise refusal(response)
        return response


def _let_go(transport: Transport) -> None:
    """Close what nobody asks any more.

    That may be found out in any thread, and none can wait for its own end.
    """
    if threading.current_thread() is threading.main_thread():
        transport.close()
    else:
        threading.Thread(target=transport.close, name="tailmetrics-close").start()


def _range(from_: Time | None, to: Time | None, tz: str, failures: Failures) -> dict[str, str | None]:
    return {"from": _text(from_), "to": _text(to), "tz": tz, "failures": failures}


def _text(time: Time | None) -> str | None:
    if isinstance(time, datetime) and time.tzinfo is not None:
        return time.astimezone(timezone.utc).isoformat()  # not every offset of old is one that can be sent
    return time.isoformat() if isinstance(time, date) else time


def _windows(rows: Iterable[Mapping[str, Any]], tz: str) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), WINDOW_COLUMNS, orient="row")
    return frame.with_columns(_time("start", tz), _time("end", tz))


def _time(column: str, tz: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%+", time_unit="us").dt.convert_time_zone(tz)
