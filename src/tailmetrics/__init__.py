"""Live statistics per customer from growing log files, each line counted exactly once."""

__version__ = "0.1.0"
