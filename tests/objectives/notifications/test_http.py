from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import http
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Entry, Outcome
from tests.integration.running import free_port
from tests.objectives.notifications.builders import NOW, make_alert
from tests.objectives.notifications.hook import HANG, Hook

MESSAGE = Message.of(Entry.of("ops", [make_alert()], NOW), None)
_Result = TypeVar("_Result")


def with_client(use: Callable[[httpx.AsyncClient], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        async with http.new_client() as client:
            return await use(client)

    return asyncio.run(run())


def posted(receiver: Receiver) -> Outcome:
    return with_client(lambda client: http.post_message(client, receiver, MESSAGE))


def webhook(**fields: Any) -> Receiver:
    return Receiver(name="ops", kind="webhook", **fields)


def test_a_webhook_gets_the_document_with_its_id_as_a_header(hook: Hook) -> None:
    assert posted(webhook(url=hook.url)) == Outcome("delivered")
    (post,) = hook.posts
    assert (post.body, post.path) == (MESSAGE.json(), "/notify")
    assert (post.headers["Idempotency-Key"], post.headers["Content-Type"]) == (MESSAGE.id, "application/json")


def test_the_address_and_a_header_come_from_the_environment_or_files_as_they_are_now(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_URL", hook.url)
    file = tmp_path / "header"
    receiver = webhook(url_env="OPS_URL", header_file=str(file))
    for token in ("one", "two"):
        file.write_text(f"Authorization: Bearer {token}\n")
        assert posted(receiver).kind == "delivered"
    assert [post.headers["Authorization"] for post in hook.posts] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "refused"), (413, "refused"), (422, "refused"), (401, "failed"), (404, "failed"),
     (429, "failed"), (500, "failed"), (503, "failed")],
)  # fmt: skip
def test_an_answer_that_is_an_error_is_told_with_what_it_says(hook: Hook, status: int, kind: str) -> None:
    hook.answer(status, "no such\nchannel " + "x" * 10_000)
    outcome = posted(webhook(url=hook.url))
    assert (outcome.kind, outcome.error.startswith(f"answered {status} ")) == (kind, True)
    assert "no such channel xxx" in outcome.error
    assert len(outcome.error) < 400


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.answer(307, Location=f"{hook.url}/elsewhere")
    outcome = posted(webhook(url=hook.url))
    assert (outcome.kind, len(hook.posts)) == ("failed", 1)
    assert "a redirect, which is not followed" in outcome.error


def test_an_answer_that_repeats_the_secrets_shows_none(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", f"{hook.url}/T0123456/s3cr3tpath")
    monkeypatch.setenv("OPS_HEADER", "X-Token: t0psecret")
    hook.answer(403, "no key t0psecret for /notify/T0123456/s3cr3tpath")
    outcome = posted(webhook(url_env="OPS_URL", header_env="OPS_HEADER"))
    assert outcome == Outcome("failed", "answered 403 Forbidden: no key *** for ***")


def test_a_receiver_that_hangs_is_left(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.2)
    hook.answer(HANG)
    assert posted(webhook(url=hook.url)) == Outcome("failed", "no answer within 0.2 seconds")


def test_a_receiver_that_is_away_is_told() -> None:
    address = f"http://127.0.0.1:{free_port()}/"
    assert posted(webhook(url=address)) == Outcome("failed", "Connection refused")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "the variable OPS_URL of url_env is not set, or empty; expected the url of ops"),
        ({"OPS_URL": "s3cr3t-without-scheme"}, "missing an 'http://' or 'https://' protocol"),
        (
            {"OPS_URL": "http://127.0.0.1:1/", "OPS_HEADER": "s3cr3t"},
            "expected one line such as Authorization",
        ),
        ({"OPS_URL": "http://127.0.0.1:1/", "OPS_HEADER": "X-Ä: s3cr3t"}, "codec can't encode"),
        ({"OPS_URL": "http://127.0.0.1:1/", "OPS_HEADER": "X-Token: s3cr3t\x01"}, "expected one line"),
        ({"OPS_URL": "http://[::1/s3cr3t"}, "expected one such as https://HOST/PATH"),
        ({"OPS_URL": "http://user:s3cr3t/pass@host/"}, "expected one such as https://HOST/PATH"),
    ],
)
def test_a_secret_that_is_none_is_told_and_not_shown(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    header = {"header_env": "OPS_HEADER"} if "OPS_HEADER" in variables else {}
    outcome = posted(webhook(url_env="OPS_URL", **header))
    assert (outcome.kind, said in outcome.error, "s3cr3t" in outcome.error) == ("failed", True, False), (
        outcome
    )


@pytest.mark.parametrize("path", ["", "/", "/api/v2/alerts"])
def test_the_query_of_an_alertmanagers_address_stays_behind_its_path(hook: Hook, path: str) -> None:
    receiver = Receiver(name="am", kind="alertmanager", url=f"{hook.url}{path}?tenant=a/b&dry")
    assert with_client(lambda client: http.post_alerts(client, receiver, [])).kind == "delivered"
    assert hook.posts[0].path == "/notify/api/v2/alerts?tenant=a/b&dry"


def test_alerts_go_to_the_api_of_an_alertmanager_whose_address_may_have_a_path(hook: Hook) -> None:
    receiver = Receiver(name="am", kind="alertmanager", url=f"{hook.url}/")
    told = [http.alertmanager_alert(make_alert(), "https://metrics.example.com", NOW)]
    assert with_client(lambda client: http.post_alerts(client, receiver, told)).kind == "delivered"
    assert hook.posts[0].path == "/notify/api/v2/alerts"
    assert hook.posts[0].document == [
        {
            "labels": {
                "alertname": "ErrorBudgetBurn",
                "customer": "acme",
                "severity": "page",
                "objective": "checkout",
                "rule": "burn rate 14.4",
            },
            "annotations": {"summary": "the budget burns 20 times as fast as it may"},
            "startsAt": "2026-11-01T12:00:00.000Z",
            "endsAt": "2026-11-01T12:00:00.000Z",
            "generatorURL": "https://metrics.example.com/?customer=acme",
        }
    ]


def test_an_alert_of_a_source_has_its_path_for_a_label() -> None:
    alert = make_alert("/var/log/a", kind="lag", name="late")
    labels = http.alertmanager_alert(alert, None, NOW)["labels"]
    assert labels == {
        "alertname": "SourceLag",
        "source": "/var/log/a",
        "severity": "page",
        "rule": "late",
    }
