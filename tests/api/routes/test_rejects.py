from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import LINES


def test_a_rejected_line_is_given_with_its_place_and_reason(client: httpx.Client) -> None:
    answer = client.get("/rejects").json()
    reject = next(reject for reject in answer["rejects"] if reject["line"] == "no request")
    offset = len("\n".join(LINES[:4])) + 1
    assert (reject["path"], reject["offset"]) == ("requests.log", offset)
    assert reject["reason"]
    assert reject["seen_at"].endswith("Z")


def test_pages_join_to_the_whole(client: httpx.Client) -> None:
    whole = client.get("/rejects").json()
    first = client.get("/rejects", params={"limit": 1}).json()
    second = client.get("/rejects", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert first["rejects"] + second["rejects"] == whole["rejects"]
    assert (whole["total"], second["next_cursor"]) == (2, None)


@pytest.mark.parametrize(("parameter", "value"), [("limit", 0), ("cursor", "nonsense"), ("from", "now")])
def test_a_wrong_parameter_is_named(client: httpx.Client, parameter: str, value: object) -> None:
    response = client.get("/rejects", params={parameter: value})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == parameter
