"""E-mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import secrets
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Outcome

TIMEOUT_SECONDS: Final = 10.0  # of each answer of the server
_LONGEST_SUBJECT = 200


def send(receiver: Receiver, message: Message) -> Outcome:
    """Send a message to the recipients; blocks.

    It is delivered when one of them gets it: sent again to all, the others would get it twice.
    """
    password: str | None = None
    try:
        password = secrets.read(receiver, "password")
        with _server(receiver) as server:
            if password is not None:
                server.login(receiver.smtp_user or "", password)
            refused = server.send_message(mail(receiver, message))
    except NotificationError as error:
        return Outcome("failed", str(error))
    except smtplib.SMTPRecipientsRefused as error:
        is_final = all(code >= 500 for code, _ in error.recipients.values())
        said = "; ".join(f"{who}: {code} {_text(text)}" for who, (code, text) in error.recipients.items())
        return Outcome("refused" if is_final else "failed", secrets.hidden(said, [password]))
    except smtplib.SMTPResponseException as error:
        is_final = error.smtp_code >= 500 and isinstance(
            error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused
        )
        said = f"{error.smtp_code} {_text(error.smtp_error)}"
        return Outcome("refused" if is_final else "failed", secrets.hidden(said, [password]))
    except (smtplib.SMTPException, OSError, ValueError) as error:
        said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        return Outcome("failed", secrets.hidden(said, [password]))
    return Outcome("delivered", f"not to {', '.join(refused)}: refused there" if refused else "")


def mail(receiver: Receiver, message: Message) -> EmailMessage:
    """The message as an e-mail, the same each time it is sent."""
    found = EmailMessage()
    sender = receiver.sender or ""
    found["From"] = sender
    found["To"] = ", ".join(receiver.recipients)
    found["Subject"] = " ".join(message.title.split())[:_LONGEST_SUBJECT]
    created_at = datetime.fromisoformat(message.created_at.replace("Z", "+00:00"))
    found["Date"] = format_datetime(created_at)
    found["Message-ID"] = f"<{message.id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    found["Auto-Submitted"] = "auto-generated"
    link = f"\n{message.url}\n" if message.url else ""
    found.set_content(f"{message.text}\n{link}")
    return found


@contextmanager
def _server(receiver: Receiver) -> Iterator[smtplib.SMTP]:
    host, port = receiver.smtp_host or "", receiver.smtp_port
    if receiver.smtp_security == "tls":
        context = ssl.create_default_context()
        with smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context) as server:
            yield server
        return
    with smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS) as server:
        if receiver.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        yield server


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
