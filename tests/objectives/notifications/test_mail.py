from __future__ import annotations

import contextlib
import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import mail
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Entry, Outcome
from tests.certificates import made_in
from tests.integration.running import free_port
from tests.objectives.notifications.builders import NOW, make_alert

MESSAGE = Message.of(
    Entry.of("ops", [make_alert("Zoë\r\nBcc: x@example.com", summary="äöü\nnext")], NOW),
    "https://example.com/",
)


@dataclass
class Mailbox:
    """A mail server that asks for a password where it has TLS, and what it has taken."""

    certificates: ssl.SSLContext | None = None
    taken: list[EmailMessage] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # recipients, and what is said of them
    answer: str = "250 taken"
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            content = envelope.original_content or b""
            self.taken.append(email.message_from_bytes(content, policy=email.policy.default))  # type: ignore[arg-type]
        return self.answer

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cr3t-password", handled=False)


class Server(Controller):
    def _trigger_server(self) -> None:
        """Its look whether it answers does not take the certificate of a private CA."""
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection((self.hostname, self.port), 10))
            if self.ssl_context is not None:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = opened.enter_context(context.wrap_socket(connection))
            assert connection.recv(3) == b"220"


def serving(mailbox: Mailbox, security: str) -> Controller:
    context = mailbox.certificates
    return Server(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=mailbox.authenticate if security != "none" else None,
        # That a connection is encrypted from the start it does not see.
        auth_required=security == "starttls",
        auth_require_tls=security == "starttls",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> ssl.SSLContext:
    return made_in(folder).server


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, Receiver]]:
    """A server without TLS and without password."""
    box = Mailbox()
    controller = serving(box, "none")
    controller.start()
    try:
        yield box, receiver(controller.port, smtp_security="none")
    finally:
        controller.stop()


def receiver(port: int, **fields: Any) -> Receiver:
    return Receiver.model_validate(
        {
            "name": "ops",
            "kind": "email",
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "sender": "Tailmetrics <alerts@example.com>",
            "recipients": ["one@example.com", "two@example.com"],
        }
        | fields
    )


def test_an_email_is_plain_text_with_the_stable_id(mailbox: tuple[Mailbox, Receiver]) -> None:
    box, ops = mailbox
    assert [mail.send(ops, MESSAGE) for _ in range(2)] == [Outcome("delivered")] * 2
    first, again = box.taken
    assert first["Message-ID"] == again["Message-ID"] == f"<{MESSAGE.id}@example.com>"
    assert (first["To"], first["Bcc"]) == ("one@example.com, two@example.com", None)
    assert first["Subject"] == "[FIRING] page: checkout: Zoë Bcc: x@example.com: äöü next"
    assert first["Date"] == again["Date"] == "Sun, 01 Nov 2026 12:00:00 +0000"
    assert first.get_content_type() == "text/plain"
    assert first.get_content().splitlines()[-1] == MESSAGE.url


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_it_is_sent_encrypted_with_a_password(
    certificates: ssl.SSLContext, folder: Path, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Mailbox(certificates)
    controller = serving(box, security)
    (folder / "password").write_text("s3cr3t-password\n")
    ops = receiver(
        controller.port, smtp_security=security, smtp_user="ops", password_file=str(folder / "password")
    )
    controller.start()
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        assert mail.send(ops, MESSAGE) == Outcome("delivered")
        assert box.logins == [(b"ops", b"s3cr3t-password")]
        (folder / "password").write_text("wrong-password")
        outcome = mail.send(ops, MESSAGE)
        assert (outcome.kind, outcome.error[:4], "wrong" in outcome.error) == ("failed", "535 ", False)
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "other.pem"))
        outcome = mail.send(ops, MESSAGE)
        assert (outcome.kind, "certificate verify failed" in outcome.error) == ("failed", True)
    finally:
        controller.stop()
    assert len(box.taken) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("554 no such thing", Outcome("refused", "554 no such thing")),
        ("451 later", Outcome("failed", "451 later")),
    ],
)
def test_a_server_that_does_not_take_it_is_told(
    mailbox: tuple[Mailbox, Receiver], answer: str, outcome: Outcome
) -> None:
    box, ops = mailbox
    box.answer = answer
    assert mail.send(ops, MESSAGE) == outcome


def test_recipients_that_are_refused_are_told(mailbox: tuple[Mailbox, Receiver]) -> None:
    box, ops = mailbox
    box.refused["one@example.com"] = "550 nobody"
    assert mail.send(ops, MESSAGE) == Outcome("delivered", "not to one@example.com: refused there")
    box.refused["two@example.com"] = "450 full"
    assert mail.send(ops, MESSAGE) == Outcome(
        "failed", "one@example.com: 550 nobody; two@example.com: 450 full"
    )


def test_a_server_that_is_away_or_knows_no_tls_is_told(mailbox: tuple[Mailbox, Receiver]) -> None:
    _, ops = mailbox
    assert mail.send(receiver(free_port(), smtp_security="none"), MESSAGE) == Outcome(
        "failed", "Connection refused"
    )
    without_tls = mail.send(ops.model_copy(update={"smtp_security": "starttls"}), MESSAGE)
    assert (without_tls.kind, "STARTTLS" in without_tls.error) == ("failed", True)
