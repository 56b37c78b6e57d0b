"""Logs that arrive as messages of Kafka: each partition is a source, whose position the store owns."""
