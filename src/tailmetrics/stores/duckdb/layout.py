"""How the records of a DuckDB file lie, and when that is to be changed."""

from __future__ import annotations

import math
import types
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tailmetrics.stores.duckdb.file import ROW_GROUP_RECORDS

COLUMNS = 'source_key, "offset", timestamp, customer_id, path, status_code, duration'

UNSORTED = ("fresh", "numbered")  # the tables of records as they came
TABLES = ("settled", *UNSORTED)

RUN_RECORDS = 2 * ROW_GROUP_RECORDS  # sorting so many takes half a second and little memory
MERGED_RUNS = 32  # at a time, where there are many: a slice of them is a quarter of the memory of DuckDB
FEW_RECORDS = ROW_GROUP_RECORDS  # so many may stay unsorted for good
_MOST_UNSORTED_RUNS = 256  # then even a load at full speed has to share processor and memory
_IDLE_SHARE = 0.1  # of the merged run, that others may have grown to
_DELETED_SHARE = 0.25  # of all records, that may be deleted before the others are written anew


def key_of(customer_id: str) -> str:
    """The key of a customer whose id is given by an SQL expression, as another.

    The hash is one that is the same in every version: rows outlive the program that wrote them.
    """
    return f"md5_number_lower({customer_id})"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records lie: so many in each run by its number, so many unsorted; `deleted` were deleted.

    The figures decide what is done when, and may be a little wrong: deleted records are counted together,
    and a merge that was cut short leaves the ones it had moved counted in two runs.
    """

    runs: Mapping[int, int] = field(default_factory=dict)
    unsorted: int = 0
    deleted: int = 0

    def changed(
        self,
        *,
        runs: Mapping[int, int] = types.MappingProxyType({}),
        gone: Sequence[int] = (),
        unsorted: int = 0,
        deleted: int = 0,
    ) -> Layout:
        """With these runs more, those gone, and the other figures changed by so many."""
        there = {run: records for run, records in {**self.runs, **runs}.items() if run not in gone}
        return Layout(there, max(0, self.unsorted + unsorted), max(0, self.deleted + deleted))

    def wants_sort(self, *, busy: bool, idle: bool) -> bool:
        """Whether unsorted records are to be sorted into a run now."""
        if self.unsorted >= _MOST_UNSORTED_RUNS * RUN_RECORDS:
            return True
        return not busy and self.unsorted >= (FEW_RECORDS if idle else RUN_RECORDS)

    def wants_merge(self, *, busy: bool, idle: bool) -> Sequence[int]:
        """The runs that are to be merged now.

        All of them when the records have doubled, sooner when there is time. Runs of about the same size
        when they are many: a slice of keys has records in each run, and memory for so many blocks is short.
        """
        if busy:
            return ()
        in_runs = sum(self.runs.values())
        largest = max(self.runs.values(), default=0)
        grown = in_runs - largest >= largest * (_IDLE_SHARE if idle else 1)
        most_deleted = _DELETED_SHARE * (in_runs + self.unsorted)
        wants_all = (len(self.runs) > 1 and grown) or self.deleted > most_deleted
        alike = self._most_alike()
        if len(alike) >= MERGED_RUNS and not (wants_all and len(self.runs) < 2 * MERGED_RUNS):
            return alike[:MERGED_RUNS]
        return sorted(self.runs) if wants_all else ()

    def _most_alike(self) -> list[int]:
        """The runs of that size which most have, oldest first."""
        by_size: dict[int, list[int]] = defaultdict(list)
        for run in sorted(self.runs):
            by_size[_size_class(self.runs[run])].append(run)
        return max(by_size.values(), key=len, default=[])


def _size_class(records: int) -> int:
    """0 for a run as it was sorted, 1 for one of about MERGED_RUNS of those, 2 for as many of these."""
    return max(0, round(math.log(max(records, 1) / RUN_RECORDS, MERGED_RUNS)))
