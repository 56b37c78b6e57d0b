"""Budgets of objectives are the same on every store, and equal to brute force over the records."""

from __future__ import annotations

from typing import Any

import pytest

from tailmetrics.objectives.budgets import budgets_at
from tailmetrics.stores import Store
from tests.builders import batch_of, source_of
from tests.objectives.brute_force import DOCUMENT, MOMENTS, expected_budgets, figures_of, requests
from tests.stores.conftest import BACKENDS, SUMMARIZED, Ask


# Counts are those of records, whether or not there are blocks beside them.
@pytest.mark.parametrize(
    "settings", sorted(name for name in BACKENDS if not name.endswith(SUMMARIZED)), indirect=True
)
def test_budgets_are_those_of_brute_force_across_clock_changes_and_a_months_end(
    store: Store, ask: Ask[Any]
) -> None:
    rows = requests()
    store.write([batch_of(store.register(source_of()), rows)])
    states = set()
    for moment in MOMENTS:
        found = ask(budgets_at(store.counts, DOCUMENT, moment))
        assert [figures_of(each) for each in found.budgets] == expected_budgets(rows, DOCUMENT, moment)
        assert {each.objective.name for each in found.budgets} == {"available", "fast", "month"}
        states |= {each.state for each in found.budgets}
    assert states == {"kept", "at_risk", "broken"}
