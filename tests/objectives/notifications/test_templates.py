from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.notifications import templates
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Entry
from tests.objectives.notifications.builders import NOW, make_alert

PAGE = "https://metrics.example.com/"


def message(subject: str = "acme", summary: str = "it burns") -> Message:
    return Message.of(Entry.of("ops", [make_alert(subject, summary=summary)], NOW), PAGE)


def test_json_is_the_document() -> None:
    assert templates.body("json", message()) == (message().json(), "application/json")


def test_slack_gets_the_title_the_alerts_and_the_link() -> None:
    body, media_type = templates.body("slack", message())
    assert (media_type, json.loads(body)) == (
        "application/json",
        {
            "text": "[FIRING] page: checkout: acme: it burns\n```\n"
            "acme: it burns (since 2026-11-01 12:00 UTC)\n```\n"
            "<https://metrics.example.com/?customer=acme>"
        },
    )


def test_a_customer_whose_id_is_markup_calls_nobody_in_slack_and_ends_no_block() -> None:
    text = json.loads(templates.body("slack", message("<!channel> @all ```"))[0])["text"]
    assert ("<!" in text, "@all" in text, text.count("```")) == (False, False, 2)


def test_teams_gets_an_adaptive_card_whose_markdown_is_plain() -> None:
    card = json.loads(templates.body("teams", message("[x](http://evil)"))[0])["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["body"][1]["text"].startswith(r"\[x\]\(http://evil\): it burns")
    assert card["content"]["actions"][0]["url"].startswith(PAGE)


def test_a_file_has_places_for_the_fields(tmp_path: Path) -> None:
    file = tmp_path / "body.txt"
    file.write_text("$status ${count} ${name} ${url} for $$5 ${test}\n${text}")
    body, media_type = templates.body(str(file), message())
    assert media_type == "text/plain; charset=utf-8"
    assert body.decode() == (
        f"firing 1 checkout {PAGE}?customer=acme for $5 false\nacme: it burns (since 2026-11-01 12:00 UTC)"
    )


def test_in_a_json_file_whatever_a_value_holds_stays_a_value(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"msg": "${summary}", "n": ${count}, "all": ${alerts}}')
    summary = 'a "quote"\\, ${id}'
    body, media_type = templates.body(str(file), message(summary=summary))
    document = json.loads(body)
    assert (media_type, document["msg"]) == ("application/json", f"checkout: acme: {summary}")
    assert (document["n"], document["all"][0]["summary"]) == (1, summary)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "${sumary}", "found ${sumary}, expected one of ${version}, ${id}"),
        ("a.txt", "${alerts.__class__}", "a dollar sign is written as $$"),
        ("a.txt", "costs $", "a dollar sign is written as $$"),
        ("a.json", "{${summary}}", "makes what is no JSON"),
    ],
)
def test_a_file_that_is_no_template_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(NotificationError) as raised:
        templates.body(str(tmp_path / name), message())
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotificationError, match=r"none\.txt cannot be read: No such file"):
        templates.body(str(tmp_path / "none.txt"), message())
