from __future__ import annotations

import json
import re

import pytest

from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Entry
from tests.objectives.notifications.builders import NOW, make_alert
from tests.paths import ROOT

PAGE = "https://metrics.example.com/base/"


def test_the_document_of_one_alert() -> None:
    entry = Entry.of("ops", [make_alert("acme/1", summary="12 of 100 requests failed")], NOW)
    assert json.loads(Message.of(entry, PAGE).json()) == {
        "version": 1,
        "id": entry.id,
        "receiver": "ops",
        "status": "firing",
        "severity": "page",
        "kind": "burn_rate",
        "name": "checkout",
        "title": "[FIRING] page: checkout: acme/1: 12 of 100 requests failed",
        "summary": "checkout: acme/1: 12 of 100 requests failed",
        "text": "acme/1: 12 of 100 requests failed (since 2026-11-01 12:00 UTC)",
        "count": 1,
        "alerts": [
            {
                "id": "burn_rate/checkout/acme/1/1/firing",
                "key": "burn_rate/checkout/acme/1",
                "subject": "acme/1",
                "summary": "12 of 100 requests failed",
                "value": 20.0,
                "limit": 14.4,
                "since": "2026-11-01T12:00:00.000Z",
                "started_at": "2026-11-01T12:00:00.000Z",
            }
        ],
        "url": "https://metrics.example.com/base/?customer=acme%2F1",
        "created_at": "2026-11-01T12:00:00.000Z",
        "test": False,
    }


def test_the_document_of_many_alerts_lists_the_worst_and_says_how_many_more() -> None:
    entry = Entry.of("ops", [make_alert(f"c{n}", value=15.0 + n) for n in range(1_000)], NOW)
    message = Message.of(entry, PAGE)
    assert message.title == "[FIRING] page: checkout: 1,000 customers"
    assert (message.count, len(message.alerts), message.url) == (1_000, 10, PAGE)
    lines = message.text.splitlines()
    assert (lines[0][:5], lines[10], len(lines)) == ("c999:", "and 990 more", 11)


@pytest.mark.parametrize(("kind", "noun"), [("lag", "sources"), ("silent", "customers")])
def test_the_title_says_what_the_alerts_are_about(kind: str, noun: str) -> None:
    entry = Entry.of("ops", [make_alert("a", kind=kind), make_alert("b", kind=kind)], NOW)
    assert Message.of(entry, None).summary == f"checkout: 2 {noun}"


def test_an_alert_of_a_source_leads_to_the_page_not_to_a_customer() -> None:
    assert Message.of(Entry.of("ops", [make_alert("/var/log/a", kind="lag")], NOW), PAGE).url == PAGE


@pytest.mark.parametrize(("subject", "kind", "about"), [("a", "burn_rate", "a: "), ("/a.log", "lag", "")])
def test_a_line_begins_with_the_customer_while_a_source_is_named_by_its_summary(
    subject: str, kind: str, about: str
) -> None:
    entry = Entry.of("ops", [make_alert(subject, kind=kind, summary=f"so is that of {subject}")], NOW)
    assert Message.of(entry, None).summary == f"checkout: {about}so is that of {subject}"


def test_a_summary_of_several_or_endless_lines_is_one_line_of_the_text() -> None:
    entry = Entry.of("ops", [make_alert(summary="so\nit is " + "x" * 1_000)], NOW)
    message = Message.of(entry, None)
    assert ("\n" in message.title, message.text.count("\n"), len(message.text) < 450) == (False, 0, True)


def test_the_document_is_that_of_the_page() -> None:
    page = (ROOT / "docs/objectives.md").read_text().partition("### The document")[2]
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    alert = make_alert(
        "cust_1",
        key="burn_rate/available/14.4x3600s300s/cust_1",
        name="available",
        episode=7,
        value=50.0,
        summary="the budget burns 50 and 30 times as fast as it may",
    )
    entry = Entry.of("incidents", [alert], NOW)
    document = json.loads(Message.of(entry, "https://metrics.example.com").json())
    assert json.loads(shown[1].replace('"ID"', f'"{entry.id}"')) == document
    told = re.findall(r"^\| ([`\w.\[\], ]+) \|", page, re.MULTILINE)
    fields = {name.rpartition(".")[2] for cell in told for name in re.findall(r"`([\w.\[\]]+)`", cell)}
    assert fields == document.keys() | document["alerts"][0].keys()
