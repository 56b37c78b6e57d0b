from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import command
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Entry, Outcome
from tests.objectives.notifications.builders import NOW, make_alert

MESSAGE = Message.of(Entry.of("ops", [make_alert()], NOW), None)


def receiver(code: str, *arguments: str) -> Receiver:
    return Receiver(name="ops", kind="command", command=(sys.executable, "-c", code, *arguments))


def test_a_command_gets_the_document_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read() + chr(10) + sys.argv[2])"
    file = tmp_path / "got"
    assert command.run(receiver(code, str(file), "$(id); *"), MESSAGE) == Outcome("delivered")
    document, argument = file.read_text().splitlines()
    assert (json.loads(document)["id"], argument) == (MESSAGE.id, "$(id); *")


def test_a_command_gets_no_setting_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t")
    monkeypatch.setenv("STORE_URL", "postgresql://user:s3cr3t@host/database")
    file = tmp_path / "environment"
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    assert command.run(receiver(code, str(file)), MESSAGE).kind == "delivered"
    environment = json.loads(file.read_text())
    assert (environment["PATH"], environment["TAILMETRICS_NOTIFICATION_ID"]) == (
        os.environ["PATH"],
        MESSAGE.id,
    )
    assert not {"API_KEY", "STORE_URL"} & environment.keys()


def test_a_command_that_fails_is_told_with_the_end_of_what_it_says() -> None:
    code = "import sys; sys.exit('x' * 1000 + ' no modem at http://user:s3cr3t@host/')"
    outcome = command.run(receiver(code), MESSAGE)
    assert (outcome.kind, outcome.error[:14]) == ("failed", "exit status 1:")
    assert outcome.error.endswith(" no modem at http://user:***@host/")


def test_a_command_that_does_not_read_what_it_gets_has_it_all_the_same() -> None:
    many = Message.of(
        Entry.of("ops", [make_alert(f"c{n}", summary="x" * 60_000) for n in range(9)], NOW), None
    )
    assert command.run(receiver("pass"), many) == Outcome("delivered")


def test_a_command_that_is_not_there_is_told() -> None:
    missing = Receiver(name="ops", kind="command", command=("/none/such",))
    assert command.run(missing, MESSAGE) == Outcome(
        "failed", "/none/such cannot be started: No such file or directory"
    )


def test_a_command_that_takes_too_long_ends_with_what_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    shell = Receiver(name="ops", kind="command", command=("sh", "-c", f"sleep 60 >{fifo} & wait"))
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        outcome = command.run(shell, MESSAGE, timeout=0.3)
        assert outcome == Outcome("failed", "was ended, as it took more than 0.3 seconds")
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # nobody holds the other end any more
    finally:
        os.close(reader)
