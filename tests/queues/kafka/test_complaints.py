"""What follows from what the client says by itself of the brokers."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tailmetrics.errors import QueueError, TopicMissing
from tailmetrics.queues.kafka.complaints import Complaints
from tailmetrics.urls import KafkaUrl

_ASKED = QueueError("no metadata", is_final=False)
_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
_REFUSED = KafkaError(KafkaError._TRANSPORT, "b1/1: Connection refused (after 3ms in state CONNECT)")


@pytest.fixture
def complaints() -> Complaints:
    return Complaints(KafkaUrl.parse("kafka://b1/logs"))


def test_one_broker_of_several_explains_nothing(complaints: Complaints) -> None:
    complaints.note(_REFUSED)
    assert complaints.explained(_ASKED) is _ASKED


def test_brokers_that_are_all_away_are_so_for_the_last_reason(complaints: Complaints) -> None:
    complaints.note(_REFUSED)
    complaints.note(_DOWN)
    explained = complaints.explained(_ASKED)
    assert "the brokers cannot be reached (b1/1: Connection refused); are they" in str(explained)
    assert not explained.is_final
    missing = TopicMissing("there is no topic")
    assert complaints.explained(missing) is missing


def test_a_refusal_says_more_than_that_all_are_away(complaints: Complaints) -> None:
    complaints.note(KafkaError(KafkaError._AUTHENTICATION, "invalid credentials"))
    complaints.note(_DOWN)
    assert "(invalid credentials)" in str(complaints.explained(_ASKED))
    assert complaints.is_refusal
    with pytest.raises(QueueError, match="invalid credentials"):
        complaints.check()
    complaints.forget()
    complaints.check()
    assert complaints.explained(_ASKED) is _ASKED
