"""The view daily_stats, for those who ask the database themselves: figures by customer and day in UTC."""

from __future__ import annotations

import sqlalchemy as sa

_VIEW = """
{create} VIEW daily_stats AS
SELECT {customer_id} AS customer_id, {day} AS day, total_requests,
    total_requests - failed_requests AS successful_requests, failed_requests,
    {hundred} * (total_requests - failed_requests) / total_requests AS uptime, average_latency,
    {median} AS median_latency, {p99} AS p99_latency
FROM (
    SELECT customer_key, day_us, COUNT(*) AS total_requests,
        COUNT(CASE WHEN status_code = 0 OR status_code >= 400 THEN 1 END) AS failed_requests,
        SUM(duration) / COUNT(duration) AS average_latency, {quantiles}
    FROM {rows} AS dated GROUP BY customer_key, day_us
) AS days JOIN customers ON customers.customer_key = days.customer_key
"""

_DATED = """(
        SELECT customer_key, status_code, duration,
            time_us - (time_us % 86400000000 + 86400000000) % 86400000000 AS day_us
        FROM records
    )"""

# Places in the order of a day's durations are counted from 1, and `last` from 0.
_RANKED = f"""(
        SELECT customer_key, day_us, status_code, duration,
            ROW_NUMBER() OVER (PARTITION BY customer_key, day_us
                ORDER BY duration IS NULL, duration) AS place,
            COUNT(duration) OVER (PARTITION BY customer_key, day_us) - 1 AS last
        FROM {_DATED} AS placed
    )"""

_BY_PLACE = """
        MIN(CASE WHEN 100 * place > {q} * last - {q} * last % 100 THEN duration END) AS {name}_low,
        MIN(CASE WHEN 100 * place > {q} * last - {q} * last % 100 + 100 THEN duration END) AS {name}_high,
        MIN({q} * last % 100) AS {name}_rest"""

_BY_PERCENTILE = "percentile_cont({q} / 100.0) WITHIN GROUP (ORDER BY duration) AS {name}_latency"

_QUANTILES = {"median": 50, "p99": 99}  # in hundredths, so that places stay whole numbers


def daily_stats(
    day: str,
    *,
    create: str = "CREATE OR REPLACE",
    customer_id: str = "customer_id",
    hundred: str = "100e0",
    percentiles: bool = False,
) -> sa.TextClause:
    """The statement that makes the view, in the database's own words for some parts of it.

    `day` is the date of `day_us`, the microsecond at which a day begins; `hundred` a float; `percentiles`
    says whether there is a function for quantiles. Without one they are as `aggregates` has them.
    """
    quantile = _BY_PERCENTILE if percentiles else _BY_PLACE
    found = {
        name: f"{name}_latency"
        if percentiles
        else f"{name}_low + COALESCE(({name}_high - {name}_low) * {name}_rest / 100e0, 0)"
        for name in _QUANTILES
    }
    return sa.text(
        _VIEW.format(
            create=create,
            customer_id=customer_id,
            day=day,
            hundred=hundred,
            quantiles=", ".join(quantile.format(q=q, name=name) for name, q in _QUANTILES.items()),
            rows=_DATED if percentiles else _RANKED,
            **found,
        )
    )
