"""Logs that arrive as messages of a queue: each message is a whole log, and a source of its own."""

from tailmetrics.queues.reader import QueueReader
from tailmetrics.urls import QueueUrl

__all__ = ["QueueReader", "QueueUrl"]
