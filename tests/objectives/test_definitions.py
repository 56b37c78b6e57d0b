"""What the tables of an objectives file mean."""

from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import ValidationError

from tailmetrics.objectives.definitions import WORKBOOK_RULES, BurnRateRule, Document, Objective, days_of


@pytest.mark.parametrize(
    ("target", "share"),
    [
        (99.9, Fraction(1, 1000)),
        (99, Fraction(1, 100)),
        (99.95, Fraction(1, 2000)),
        (1e-7, 1 - Fraction(1, 10**9)),
    ],
)
def test_the_share_that_may_be_bad_is_as_exact_as_the_target_is_written(
    target: float, share: Fraction
) -> None:
    objective = Objective(name="a", target=target)
    assert (objective.allowed_share, objective.allowed) == (share, float(share))


@pytest.mark.parametrize("target", [0, 100, 101, -1, float("nan"), float("inf")])
def test_a_promise_of_all_or_of_nothing_is_none(target: float) -> None:
    with pytest.raises(ValidationError, match="more than 0 and less than 100"):
        Objective(name="a", target=target)


@pytest.mark.parametrize(("period", "days"), [("1d", 1), ("90d", 90), ("week", 7), ("month", 31)])
def test_a_period_has_so_many_days_at_most(period: str, days: int) -> None:
    assert days_of(period) == days


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("6h", 21_600), ("36h", 129_600), ("3d", 259_200)]
)
def test_durations_are_texts(text: str, seconds: int) -> None:
    assert Document.model_validate({"interval": text}).interval == seconds


def test_the_rules_of_the_workbook_are_those_of_its_table() -> None:
    assert [(rule.burn_rate, rule.long, rule.short, rule.severity) for rule in WORKBOOK_RULES] == [
        (14.4, 3_600, 300, "page"),
        (6, 21_600, 1_800, "page"),
        (1, 259_200, 21_600, "ticket"),
    ]


def test_a_rule_whose_short_window_is_as_long_as_the_long_one_is_none() -> None:
    with pytest.raises(
        ValidationError, match="short: found 60 seconds, expected less than those of long, 60"
    ):
        BurnRateRule(burn_rate=1, long=60, short=60)
