"""Following growing files: finding, identifying and reading them are jobs of their own."""

from tailmetrics.tailing.disk import nodes_here
from tailmetrics.tailing.forgetting import forgettable
from tailmetrics.tailing.load_jobs import LoadJob
from tailmetrics.tailing.tailer import Tailer

__all__ = ["LoadJob", "Tailer", "forgettable", "nodes_here"]
