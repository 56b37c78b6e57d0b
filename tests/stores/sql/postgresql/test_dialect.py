"""PostgreSQL: which parameters it refuses."""

from __future__ import annotations

import pytest

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores import open_store
from tests import servers
from tests.stores.sql.database import settings_of


@pytest.mark.servers
@pytest.mark.parametrize(
    "parameter",
    [
        "foo=bar",
        "sslmode=nonsense",
        "sslmode=require",
        "sslmode=verify-full",
        "keepalives=x",
        "target_session_attrs=foo",
        "service=foo",
        "options=-c%20foo%3Dbar",
    ],
)
def test_a_parameter_that_postgresql_refuses_is_no_reason_to_wait(parameter: str) -> None:
    with pytest.raises(StoreError, match=r"expected after \? in STORE_URL") as refused:
        open_store(settings_of(f"{servers.postgresql().new_database()}?{parameter}"))
    assert not isinstance(refused.value, StoreUnavailable)
    assert servers.PASSWORD not in str(refused.value)
