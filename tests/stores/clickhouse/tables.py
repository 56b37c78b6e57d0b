"""What is in the tables of a database, read past the store."""

from __future__ import annotations

from dataclasses import dataclass

from tests import servers


@dataclass(frozen=True)
class Tables:
    """A database of a server."""

    server: servers.Server
    database: str

    def rows(self, *statements: str) -> list[tuple]:
        return self.server.execute(*statements, database=self.database)

    def offsets(self, source_id: str) -> list[int]:
        """The offsets of all records of a source, in order; one that is there twice is twice in it."""
        found = self.rows(f"SELECT `offset` FROM records WHERE source = '{source_id}' ORDER BY `offset`")
        return [int(offset) for (offset,) in found]

    def rejects(self, source_id: str) -> list[int]:
        found = self.rows(f"SELECT `offset` FROM rejects WHERE source_id = '{source_id}' ORDER BY `offset`")
        return [int(offset) for (offset,) in found]
