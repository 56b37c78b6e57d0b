"""Bodies of webhooks: the document itself, what chats want, or a file with places for its fields."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any, Final

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.notifications.message import Message

BUILT_IN: Final = ("json", "slack", "teams")
JSON_TYPE: Final = "application/json"
_MOST_BYTES = 256 * 1024  # of a template's file
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")


def body(template: str, message: Message) -> tuple[bytes, str]:
    """The body for a message, and its media type.

    Raises NotificationError when a file is missing, or no template.
    """
    if template == "json":
        return message.json(), JSON_TYPE
    if template == "slack":
        return _as_json(_slack(message)), JSON_TYPE
    if template == "teams":
        return _as_json(_teams(message)), JSON_TYPE
    return _from_file(Path(template), message)


def _as_json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _slack(message: Message) -> Any:
    """For Slack and Mattermost; a customer's id calls nobody and links nowhere."""

    def plain(text: str) -> str:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return text.replace("@", "@\u200b").replace("`", "'")

    link = f"\n<{message.url}>" if message.url else ""
    return {"text": f"{plain(message.title)}\n```\n{plain(message.text)}\n```{link}"}


def _teams(message: Message) -> Any:
    """An adaptive card, as workflows of Microsoft Teams take it from a webhook."""
    color = "good" if message.status == "resolved" else "attention"
    texts = [{"type": "TextBlock", "text": _plain(line), "wrap": True} for line in message.text.split("\n")]
    title = {"type": "TextBlock", "text": _plain(message.title), "weight": "bolder", "color": color}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [title | {"wrap": True}, *texts],
    }
    if message.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": message.url}]
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "content": card}]}


def _plain(text: str) -> str:
    """The text where Markdown is read."""
    return _MARKDOWN.sub(r"\\\1", text)


def _from_file(file: Path, message: Message) -> tuple[bytes, str]:
    """A template of Python's string.Template, which has places for values and runs nothing."""
    try:
        with file.open("rb") as opened:
            template = Template(opened.read(_MOST_BYTES).decode())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "found bytes that are not UTF-8"
        raise NotificationError(f"the template {file} cannot be read: {reason}") from None
    is_json = file.suffix == ".json"
    values = _texts(message, is_json=is_json)
    try:
        filled = template.substitute(values)
    except KeyError as error:
        expected = ", ".join(f"${{{name}}}" for name in values)
        found = f"the template {file}: found ${{{error.args[0]}}}, expected one of {expected}"
        raise NotificationError(found) from None
    except ValueError as error:
        raise NotificationError(f"the template {file}: {error}; a dollar sign is written as $$") from None
    if not is_json:
        return filled.encode(), "text/plain; charset=utf-8"
    try:
        json.loads(filled)
    except ValueError as error:
        raise NotificationError(f"the template {file} makes what is no JSON: {error}") from None
    return filled.encode(), JSON_TYPE


def _texts(message: Message, *, is_json: bool) -> dict[str, str]:
    """The fields by name; in JSON what is a text there stands between quotes of the template."""
    texts = {}
    for name, value in asdict(message).items():
        if isinstance(value, str | None):
            texts[name] = json.dumps(value or "", ensure_ascii=False)[1:-1] if is_json else value or ""
        else:
            texts[name] = json.dumps(value, ensure_ascii=False)
    return texts
