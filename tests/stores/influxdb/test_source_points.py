"""Sources have lanes of their own, as long as they go on."""

from __future__ import annotations

from datetime import timedelta

from tailmetrics.stores.influxdb.record_points import Progress
from tailmetrics.stores.influxdb.source_points import assign_lanes, line_of, registered, stored_source
from tailmetrics.windows import to_us
from tests.builders import at, source_of
from tests.stores.influxdb.writing import NOW_US, stored

NOON_US = to_us(at("2024-10-10T12:00:00"))


def test_files_beside_each_other_have_lanes_of_their_own() -> None:
    first = stored(source_of("a.log", inode=1))
    others = assign_lanes([source_of("b.log", inode=2), source_of("c.log", inode=3)], [first], NOW_US)
    assert [first.lane, *(other.lane for other in others)] == [0, 1, 2]


def test_a_lane_in_which_nothing_goes_on_is_used_again() -> None:
    first = stored(source_of("a-10.log", inode=1), progress=Progress(1_000, NOON_US))
    [second] = assign_lanes([source_of("a-11.log", inode=2)], [first], NOW_US + 3_600_000_000)
    assert second.lane == first.lane
    assert second.base - first.base > 500_000_000


def test_lanes_are_bounded_however_many_files_there_are() -> None:
    made = assign_lanes([source_of(f"{number}.log", inode=number) for number in range(500)], [], NOW_US)
    assert max(each.lane for each in made) < 64
    assert len({(each.lane, each.base) for each in made}) == 500


def test_two_hosts_with_equal_device_and_inode_numbers_share_nothing() -> None:
    one, two = (stored(source_of("x.log", node_id=node)) for node in ("web-1", "web-2"))
    assert one.source.source_id != two.source.source_id
    assert one.lane_name != two.lane_name


def test_registering_again_would_give_the_same_place() -> None:
    known = [stored(source_of("a.log", inode=1), progress=Progress(77, NOON_US))]
    new = source_of("b.log", inode=2)
    assert assign_lanes([new], known, NOW_US) == assign_lanes([new], known, NOW_US)


def test_the_time_since_the_last_commit_says_whether_a_file_goes_on() -> None:
    busy = stored(source_of("a.log", inode=1))
    minute = int(timedelta(minutes=1).total_seconds() * 1_000_000)
    lanes = [
        assign_lanes([source_of("b.log", inode=2)], [busy], NOW_US + wait)[0].lane
        for wait in (minute, 60 * minute)
    ]
    assert lanes == [1, 0]


def test_a_source_comes_back_from_its_point_as_it_was() -> None:
    made = stored(
        source_of('x "1".log', inode=2**64 - 1), progress=Progress(7, NOON_US, 5), records=6, holder="{}"
    )
    assert stored_source(made.source.source_id, state_of(line_of(made))) == made


def test_a_source_of_which_nothing_was_committed_comes_back_as_it_was() -> None:
    [made] = assign_lanes([source_of()], [], NOW_US)
    assert made.source.committed_at is None
    assert stored_source(made.source.source_id, state_of(line_of(made))) == made


def test_the_point_of_a_source_counts_its_commits() -> None:
    line = line_of(stored(source_of(), records=6, rejects=1, blanks=2))
    assert line.startswith("source,node=")
    assert line.endswith(",records=6i,rejects=1i,blanks=2i,commits=1i 0")


def test_a_source_in_the_place_of_one_that_was_forgotten_brings_no_version_back() -> None:
    """The version of the store is the sum of these counts."""
    counts = [registered(stored(source_of(inode=number + 1))).commits for number in range(20)]
    assert len(set(counts)) == 20


def state_of(line: str) -> str:
    """The field `state` of a point, without the escapes of line protocol."""
    text = line.partition(' state="')[2].partition('",records=')[0]
    return text.replace('\\"', '"').replace("\\\\", "\\")
