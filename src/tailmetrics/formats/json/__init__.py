"""Formats of an object a line: `json`, whose keys LOG_JSON_FIELDS names, and those that servers write."""
