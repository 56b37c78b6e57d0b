"""The format `logfmt`: `key=value` pairs in any order."""
