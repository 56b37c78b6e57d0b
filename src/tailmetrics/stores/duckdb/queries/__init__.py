"""What the DuckDB file is asked: SQL over its records, and the reader that runs it."""
