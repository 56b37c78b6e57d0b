from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailmetrics.telemetry.customers import BUCKETS
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import at, batch_of, source_of

SOURCE = source_of()
NOON = at("2024-10-10 12:00:00")


def commit(metrics: Metrics, *requests: tuple[str, int, float | None], batches: int = 1) -> None:
    """Each request is a customer, a status and a duration; they come in so many batches."""
    rows = [(NOON, customer_id, "/", status, seconds) for customer_id, status, seconds in requests]
    metrics.committed([batch_of(SOURCE, rows[part::batches], start=0) for part in range(batches)], 0.01)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Values above 0 by the name and the values of the labels."""
    families = text_string_to_metric_families(metrics.render_customers().decode())
    return {
        (sample.name.removeprefix("tailmetrics_customer_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.value
    }


def requests_of(metrics: Metrics) -> dict[str, float]:
    counted: dict[str, float] = {}
    for (name, customer, *_), value in samples(metrics).items():
        if name == "requests_total":
            counted[customer] = counted.get(customer, 0) + value
    return counted


def times(customer_id: str, number: int) -> Sequence[tuple[str, int, float | None]]:
    return [(customer_id, 200, 0.1)] * number


@pytest.mark.parametrize("batches", [1, 3])
def test_requests_are_counted_by_customer_and_status_class(batches: int) -> None:
    metrics = Metrics(10)
    given = [("a", 200, 0.1), ("a", 204, 0.2), ("a", 0, None), ("b", 503, 0.3), ("b", 404, 0.3)]
    commit(metrics, *given, batches=batches)
    commit(metrics, ("a", 200, 0.1))
    found = {key[1:]: value for key, value in samples(metrics).items() if key[0] == "requests_total"}
    assert found == {("a", "2xx"): 3, ("a", "none"): 1, ("b", "5xx"): 1, ("b", "4xx"): 1}


def test_durations_fall_into_buckets_that_add_up_and_unknown_ones_do_not_count() -> None:
    metrics = Metrics(10)
    durations = (0.005, 0.0051, 0.1, 9.0, 11.0)
    commit(metrics, *[("a", 200, seconds) for seconds in durations], ("a", 200, None))
    found = {key[2]: value for key, value in samples(metrics).items() if key[0].endswith("seconds_bucket")}
    expected = {str(bound): sum(each <= bound for each in durations) for bound in BUCKETS}
    assert found == {**expected, "+Inf": 5}
    assert samples(metrics)["request_duration_seconds_count", "a"] == 5
    assert samples(metrics)["request_duration_seconds_sum", "a"] == pytest.approx(sum(durations))


def test_a_status_class_that_has_not_come_yet_is_there_with_nothing() -> None:
    metrics = Metrics(1)
    commit(metrics, ("a", 200, 0.1))
    assert b'requests_total{customer="a",status_class="5xx"} 0.0' in metrics.render_customers()


def test_the_largest_of_the_first_commit_have_series_and_the_rest_is_one() -> None:
    metrics = Metrics(2)
    commit(metrics, *times("small", 1), *times("large", 5), *times("middle", 3), *times("tiny", 1))
    assert requests_of(metrics) == {"large": 5, "middle": 3, "other": 2}


def test_no_count_of_the_rest_goes_back_when_a_customer_leaves_it() -> None:
    metrics = Metrics(1)
    commit(metrics, *times("a", 2))
    commit(metrics, *times("b", 3))
    assert requests_of(metrics) == {"a": 2, "other": 3}
    commit(metrics, *times("b", 4), *times("a", 1))  # 7 to 3: twice as many
    assert requests_of(metrics) == {"b": 4, "other": 4}
    commit(metrics, *times("b", 1), *times("a", 1))
    assert requests_of(metrics) == {"b": 5, "other": 5}


def test_two_alike_do_not_change_places() -> None:
    metrics = Metrics(1)
    for _ in range(5):
        commit(metrics, *times("a", 10))
        commit(metrics, *times("b", 11))
    assert requests_of(metrics) == {"a": 50, "other": 55}


def test_a_customer_called_other_is_one_of_the_others() -> None:
    metrics = Metrics(2)
    commit(metrics, *times("other", 9), *times("a", 1))
    assert requests_of(metrics) == {"a": 1, "other": 9}


def test_series_are_bounded_however_many_customers_come() -> None:
    metrics = Metrics(3)
    for turn in range(20):
        commit(metrics, *[(f"customer_{turn}_{each}", 200, 0.1) for each in range(100)])
    assert len(requests_of(metrics)) == 4
    assert sum(requests_of(metrics).values()) == 2000


def test_odd_ids_are_labels_that_can_be_read_again() -> None:
    metrics = Metrics(5)
    odd = 'a"b\\c\nd'
    commit(metrics, *times(odd, 2))
    assert requests_of(metrics) == {odd: 2}


def test_nothing_is_counted_where_it_is_off() -> None:
    metrics = Metrics()
    commit(metrics, *times("a", 1))
    assert (metrics.customers.is_on, samples(metrics)) == (False, {})
