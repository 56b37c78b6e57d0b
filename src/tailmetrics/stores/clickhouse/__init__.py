"""Records, rejects and positions in ClickHouse."""
