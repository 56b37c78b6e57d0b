"""The file of OBJECTIVES: what is wrong with one in words, with its line, and what is in force meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.objectives.definitions import Document
from tailmetrics.objectives.file import ObjectivesFile, read_objectives
from tests.builders import settings_of

GOOD = """
interval = "30s"

[[objective]]
name = "available"
customers = ["shop*", "cust_1"]
failures = "5xx"
exclude_paths = ["/health*"]
target = 99.9

[[objective]]
name = "fast"
kind = "latency"
limit_seconds = 0.5
target = 99
period = "month"
timezone = "Europe/Berlin"

[[maintenance]]
begin = 2026-11-01T22:00:00Z
end = 2026-11-02T01:00:00+01:00
objectives = ["avail*"]
excluded = true

[[receiver]]
name = "team"
kind = "webhook"
url_env = "TEAM_WEBHOOK"
"""

OBJECTIVE = '[[objective]]\nname = "shop"\ntarget = 99.9\n'
RECEIVER = '[[receiver]]\nname = "ops"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, retention_days: int = 0) -> Document:
    Path("o.toml").write_text(text)
    return read_objectives("o.toml", retention_days)


def problems(text: str, retention_days: int = 0) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read(text, retention_days)
    assert all(problem.startswith("OBJECTIVES: o.toml") for problem in refused.value.problems)
    return [problem.removeprefix("OBJECTIVES: o.toml").lstrip(",: ") for problem in refused.value.problems]


def test_a_file_says_what_is_promised_and_who_is_told() -> None:
    document = read(GOOD)
    available, fast = document.objectives
    assert (document.interval, available.customers, available.period) == (30, ("shop*", "cust_1"), "30d")
    assert (fast.limit_seconds, fast.period, fast.timezone) == (0.5, "month", "Europe/Berlin")
    assert document.maintenance[0].excluded
    assert [receiver.url_env for receiver in document.receivers] == ["TEAM_WEBHOOK"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            OBJECTIVE.replace("99.9", "100"),
            (
                "line 3: objective 'shop': target: found 100, expected more than 0 and less than 100, as "
                "100 leaves nothing that may fail; such as 99.9"
            ),
        ),
        (
            f"{OBJECTIVE}\n{OBJECTIVE}",
            "line 6: objective 'shop': name: found 'shop', which line 2 has too, expected another one",
        ),
        (
            f'{OBJECTIVE}kind = "latency"',
            (
                "line 1: objective 'shop': limit_seconds: found none, expected seconds such as 0.5, as the "
                "kind is latency"
            ),
        ),
        (
            f"{OBJECTIVE}limit_seconds = 0.5",
            "line 4: objective 'shop': limit_seconds: found 0.5, expected none, or kind = 'latency'",
        ),
        (
            f'{OBJECTIVE}kind = "latency"\nlimit_seconds = 1\nfailures = "5xx"',
            "line 6: objective 'shop': failures: found '5xx', expected none, as the kind is latency",
        ),
        *(
            (
                f'{OBJECTIVE}period = "{period}"',
                f"line 4: objective 'shop': period: found '{period}', expected 1d to 90d, week or month",
            )
            for period in ("91d", "0d", "30", "d", "-1d", "year", "24h", "1000000000000d")
        ),
        (
            f'{OBJECTIVE}timezone = "Mars"',
            (
                "line 4: objective 'shop': timezone: found 'Mars', expected an IANA time zone such as UTC or "
                "Europe/Berlin"
            ),
        ),
        (
            f"{OBJECTIVE}taget = 1",
            (
                "line 4: objective 'shop': found the key 'taget', expected one of name, customers, kind, "
                "failures, limit_seconds, paths, exclude_paths, target, period, timezone; is 'target' meant?"
            ),
        ),
        (
            '[[objectives]]\nname = "a"\ntarget = 9',
            (
                "line 1: found the key 'objectives', expected one of interval, external_url, objective, "
                "rule, silent, latency, source, maintenance, receiver; is 'objective' meant?"
            ),
        ),
        (
            f'{OBJECTIVE}customers = "shop_*"',
            "line 4: objective 'shop': customers: found 'shop_*', expected a list such as ['a', 'b']",
        ),
        (
            f'{OBJECTIVE}[["objective"]]\nname = "b"\ntarget = 100',
            (
                "line 6: objective 'b': target: found 100, expected more than 0 and less than 100, as 100 "
                "leaves nothing that may fail; such as 99.9"
            ),
        ),
        (
            "[[maintenance]]\nbegin = 2026\nend = 2026-11-02T01:00:00Z",
            (
                "line 2: maintenance 1: begin: found 2026, expected a time with its offset, such as "
                "2026-11-01T22:00:00Z or 2026-11-01T23:00:00+01:00"
            ),
        ),
        ("[objective]", "line 1: found [objective], expected tables [[objective]]"),
        ("objective = [1]", "line 1: objective 1: found 1, expected tables [[objective]]"),
        (
            'interval = "soon"',
            "line 1: interval: found 'soon', expected a number with s, m, h or d, such as 5m",
        ),
        *(
            (
                f'[[silent]]\nname = "a"\nafter = "{after}"',
                f"line 3: silent 'a': after: found {after!r}, expected at most 90d",
            )
            for after in ("91d", "999999d")
        ),
        ("interval = true", "line 1: interval: found True, expected a number with s, m, h or d, such as 5m"),
        (f"interval = {10**400}", f"line 1: interval: found {10**400}, expected at most 90d"),
        (
            f'{OBJECTIVE}kind = "latency"\nlimit_seconds = inf',
            "line 5: objective 'shop': limit_seconds: found inf, expected a finite number",
        ),
        (
            '[[rule]]\nburn_rate = inf\nlong = "1h"\nshort = "5m"',
            "line 2: rule 1: burn_rate: found inf, expected a finite number",
        ),
        (
            '[[rule]]\nburn_rate = 6\nlong = "5m"\nshort = "1h"',
            "line 4: rule 1: short: found 3600 seconds, expected less than those of long, 300",
        ),
        (
            "[[maintenance]]\nbegin = 2026-11-01T22:00:00\nend = 2026-11-01T23:00:00Z",
            (
                "line 2: maintenance 1: begin: found '2026-11-01T22:00:00', expected a time with its "
                "offset, such as 2026-11-01T22:00:00Z or 2026-11-01T23:00:00+01:00"
            ),
        ),
        (
            "[[maintenance]]\nbegin = 2026-11-01T22:00:00Z\nend = 2026-11-01T22:30:00+01:00",
            (
                "line 3: maintenance 1: end: found 2026-11-01T22:30:00+01:00, expected a time after begin, "
                "2026-11-01T22:00:00+00:00"
            ),
        ),
        (
            (
                f"{OBJECTIVE}[[maintenance]]\nbegin = 2026-11-01T22:00:00Z\nend = 2026-11-01T23:00:00Z\n"
                'objectives = ["shp"]'
            ),
            (
                "line 7: maintenance 1: objectives: found 'shp', expected the name of an objective, or a "
                "glob of names"
            ),
        ),
        (
            '[[source]]\nname = "a"',
            "line 1: source 'a': lag: found none, expected lag such as '10m', reject_percent, or both",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('kind = "webhook"', "url: found none, expected one of url, url_env, url_file"),
        (
            'kind = "webhook"\nurl = "https://a/"\nurl_env = "A"',
            "url_env: found it beside url, expected one of them",
        ),
        (
            'kind = "alertmanager"\nurl = "https://a/"\ntemplate = "slack"',
            "template: found it with kind 'alertmanager', expected webhook",
        ),
        (
            'kind = "command"',
            "command: found none, expected a program and its arguments, as the kind is command",
        ),
        (
            'kind = "email"\nsmtp_host = "a"\nsender = "a@b"',
            "recipients: found none, expected addresses, as the kind is email",
        ),
        (
            'kind = "email"\nsmtp_host = "a"\nsender = "a@b"\nrecipients = ["a@b"]\nsmtp_user = "me"',
            "password_env: found none, expected one of password_env, password_file",
        ),
        (
            'kind = "email"\nsmtp_host = "a"\nsender = "a@b"\nrecipients = ["a@b"]\npassword_env = "me"',
            "smtp_user: found none, expected whose password it is",
        ),
        (
            'kind = "email"\nsmtp_host = "a"\nsender = "a@b"\nrecipients = ["nobody"]',
            "recipients.0: found 'nobody', expected an address such as alerts@example.com",
        ),
    ],
)
def test_a_receiver_has_what_its_kind_needs_and_nothing_else(table: str, problem: str) -> None:
    (found,) = problems(f'[[receiver]]\nname = "team"\n{table}')
    assert found.partition(": receiver 'team': ")[2] == problem


@pytest.mark.parametrize(
    "url",
    [
        "hooks.slack.com/services/T0/B0/s3cret",
        "https://hooks.slack.com/services/T0/B0/s3cret",
        "https://user:s3cret@host/",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_shown(url: str) -> None:
    (problem,) = problems(f'[[receiver]]\nname = "team"\nkind = "webhook"\nurl = "{url}"')
    assert problem.startswith("line 4: receiver 'team': url: found '***', expected ")
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f'{OBJECTIVE}paths = [""]',
            "line 4: objective 'shop': paths.0: found '', expected a string with at least 1 character",
        ),
        (
            f'{OBJECTIVE}exclude_paths = ["/a", ""]',
            "line 4: objective 'shop': exclude_paths.1: found '', expected ",
        ),
        (f'{RECEIVER}kind = "webhook"\nurl_env = ""', "line 4: receiver 'ops': url_env: found '', expected "),
        (
            f'{RECEIVER}kind = "webhook"\nurl_file = ""',
            "line 4: receiver 'ops': url_file: found '', expected ",
        ),
        (
            f'{RECEIVER}kind = "webhook"\nurl = "https://a/"\ntemplate = ""',
            "line 5: receiver 'ops': template: found '', expected ",
        ),
        (
            f'{RECEIVER}kind = "command"\ncommand = [""]',
            "line 4: receiver 'ops': command: found '' as the program, expected a program and its arguments",
        ),
    ],
)
def test_an_empty_text_that_names_nothing_is_refused(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_an_argument_of_a_command_may_be_empty() -> None:
    (receiver,) = read(f'{RECEIVER}kind = "command"\ncommand = ["tell", ""]').receivers
    assert receiver.command == ("tell", "")


def test_every_wrong_thing_is_told_at_once_from_the_first_line_on() -> None:
    found = problems(f'{OBJECTIVE}period = "x"\n[[objective]]\n[[receivr]]\n')
    assert [problem.partition(":")[0] for problem in found] == ["line 4", "line 5", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("period", "is_kept"), [("7d", True), ("8d", False), ("week", True), ("month", False)]
)
def test_a_period_is_not_longer_than_records_are_kept(period: str, is_kept: bool) -> None:
    text = f'{OBJECTIVE}period = "{period}"'
    if is_kept:
        assert read(text, retention_days=7).objectives
        return
    assert problems(text, retention_days=7) == [
        (
            f"line 4: objective 'shop': period: found '{period}', expected at most 7 days, as the setting "
            "RETENTION_DAYS lets older records be deleted"
        )
    ]
    assert read(text, retention_days=0).objectives


def test_a_window_is_not_longer_than_records_are_kept() -> None:
    text = '[[rule]]\nburn_rate = 2\nlong = "8d"\nshort = "5m"'
    assert problems(text, retention_days=7) == [
        "line 3: rule 1: long: found 691200 seconds, expected at most 7 days (RETENTION_DAYS)"
    ]
    assert read(text, retention_days=8).rules


def test_a_rule_that_records_are_not_kept_for_is_refused_as_it_would_never_fire() -> None:
    silent = '[[silent]]\nname = "quiet"\nafter = "7d"'
    assert problems(silent, retention_days=7) == [
        "line 3: silent 'quiet': after: found 604800 seconds, expected less than 7 days (RETENTION_DAYS)"
    ]
    assert read(silent, retention_days=8).silent
    slow = '[[latency]]\nname = "slow"\nlimit_seconds = 1\nwindow = "8d"'
    assert problems(slow, retention_days=7) == [
        "line 4: latency 'slow': window: found 691200 seconds, expected at most 7 days (RETENTION_DAYS)"
    ]
    assert read(slow, retention_days=8).latency


@pytest.mark.parametrize("text", ["a = " + 5_000 * "[", f"interval = {'9' * 5_000}"])
def test_a_file_that_no_parser_takes_is_told(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("found what is no TOML: ")


def test_a_mark_of_the_byte_order_is_no_part_of_the_file() -> None:
    assert read(f"\ufeff{OBJECTIVE}") == read(OBJECTIVE)


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_is_refused_as_one_that_is_being_written(text: str) -> None:
    assert problems(text) == ["found nothing in it, expected tables such as [[objective]]"]


def test_a_file_that_takes_long_to_read_is_refused() -> None:
    assert problems("#" * (1024 * 1024 + 1)) == ["found 1,048,577 bytes, expected at most 1,048,576"]


def test_a_file_that_is_no_toml_or_not_there_is_told() -> None:
    (problem,) = problems(f"{OBJECTIVE}period = \n")
    assert problem.startswith("found what is no TOML: ")
    assert "at line 4" in problem
    with pytest.raises(SettingsError, match=r"OBJECTIVES: none.toml cannot be read: No such file"):
        read_objectives("none.toml")


class TestInForce:
    def opened(self, text: str = OBJECTIVE, **settings: object) -> ObjectivesFile:
        Path("o.toml").write_text(text)
        return ObjectivesFile(settings_of(Path("store.duckdb"), objectives="o.toml", **settings))

    def names(self, file: ObjectivesFile) -> list[str]:
        return [objective.name for objective in file.current().objectives]

    def test_without_the_setting_there_are_none(self) -> None:
        file = ObjectivesFile(settings_of(Path("store.duckdb")))
        assert (file.path, file.current(), file.reload(), file.problem) == ("", Document(), None, None)

    def test_a_bad_file_at_the_start_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match=r"o.toml, line 3: objective 'shop': target"):
            self.opened(OBJECTIVE.replace("99.9", "100"))

    def test_a_file_that_changes_is_read_again(self) -> None:
        file = self.opened()
        Path("o.toml").write_text(OBJECTIVE.replace("shop", "other"))
        assert self.names(file) == ["other"]

    def test_a_file_in_its_place_is_read_even_if_it_looks_as_old(self) -> None:
        file = self.opened()
        Path("new.toml").write_text(OBJECTIVE.replace("shop", "pohs"))
        before = Path("o.toml").stat()
        os.utime("new.toml", ns=(before.st_atime_ns, before.st_mtime_ns))
        Path("new.toml").replace("o.toml")
        assert self.names(file) == ["pohs"]

    def test_a_bad_one_leaves_the_old_one_in_force_until_it_is_mended(self) -> None:
        file = self.opened()
        Path("o.toml").write_text(OBJECTIVE.replace("99.9", "100"))
        assert self.names(file) == ["shop"]
        assert file.problem is not None
        assert file.problem.startswith("OBJECTIVES: o.toml, line 3: objective 'shop': target: found 100")
        assert file.problem.endswith("; the objectives read before stay in force")
        assert file.reload() == file.problem
        Path("o.toml").unlink()
        assert self.names(file) == ["shop"]
        assert "cannot be read: No such file" in str(file.problem)
        Path("o.toml").write_text(OBJECTIVE.replace("shop", "other"))
        assert self.names(file) == ["other"]
        assert file.problem is None

    def test_a_problem_is_logged_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        file = self.opened()
        capsys.readouterr()
        Path("o.toml").write_text("nothing")
        for _ in range(3):
            file.reload()
        written = capsys.readouterr()
        assert (written.out + written.err).count("objectives not read again") == 1

    def test_the_time_that_records_are_kept_counts(self) -> None:
        with pytest.raises(SettingsError, match="expected at most 3 days"):
            self.opened(retention_days=3)
