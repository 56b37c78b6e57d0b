"""Logs that arrive as messages of a queue: each message is a whole log, and a source of its own."""

from tailmetrics.queues.deliveries import Deliveries
from tailmetrics.queues.reader import QueueReader
from tailmetrics.urls import QueueAddress

__all__ = ["Deliveries", "QueueAddress", "QueueReader"]
