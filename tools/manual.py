"""Writes the manual pages from the commands and their options.

python tools/manual.py                 writes man/tailmetrics.1 and one page a command
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from tailmetrics import __version__
from tailmetrics.cli.commands import main

FOLDER = Path(__file__).parent.parent / "man"
NAME = "tailmetrics"
DATE = "2026-11-29"  # of the version


def pages() -> dict[str, str]:
    """The text of each page by the name of its file."""
    top = click.Context(main, info_name=NAME, **main.context_settings)
    made = {f"{NAME}.1": _page(top, NAME, main.help or "")}
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=name, parent=top)
        made[f"{NAME}-{name}.1"] = _page(context, f"{NAME}-{name}", command.get_short_help_str(limit=200))
    return made


def _page(context: click.Context, name: str, summary: str) -> str:
    command = context.command
    lines = [
        f'.TH {_escaped(name.upper())} 1 {DATE} "{NAME} {__version__}"',
        *_section("NAME", f"{_escaped(name)} \\- {_escaped(summary.rstrip('.'))}"),
        *_section("SYNOPSIS", f".B {_escaped(context.command_path)}"),
        _escaped(" ".join(command.collect_usage_pieces(context))),
        *_section("DESCRIPTION", *_paragraphs(inspect.cleandoc(command.help or ""))),
    ]
    if isinstance(command, click.Group):
        lines += _section("COMMANDS")
        for each, sub in sorted(command.commands.items()):
            lines += _entry(_bold(each), sub.get_short_help_str(limit=200))
    lines += _section("OPTIONS")
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            lines += _entry(re.sub(r"(?<![\w-])--?[\w-]+", lambda flag: _bold(flag[0]), record[0]), record[1])
    lines += _epilog(command.epilog or "")
    others = [f"{NAME}-{each}" for each in sorted(main.commands)] if command is main else [NAME]
    lines += _section("SEE ALSO", *",\n".join(f".BR {_escaped(each)} (1)" for each in others).splitlines())
    return "\n".join(lines) + "\n"


def _epilog(text: str) -> list[str]:
    """Its titled blocks, whose lines are kept apart, as sections; what else it says as a paragraph."""
    lines: list[str] = []
    for block in text.split("\n\n"):
        title, _, rest = block.partition(":\n")
        if not block.startswith("\b\n"):
            lines += [".PP", *_paragraphs(block)]
        elif title == "\b\nExit status":
            lines += _section("EXIT STATUS")
            for status, meaning in (line.split(maxsplit=1) for line in rest.splitlines()):
                lines += _entry(_bold(status), meaning)
        else:
            shown = (_escaped(line.removeprefix("  ")) for line in rest.splitlines())
            lines += _section(title.removeprefix("\b\n").upper(), ".nf", *shown, ".fi")
    return lines


def _section(title: str, *lines: str) -> list[str]:
    return [f".SH {title}", *lines]


def _entry(term: str, text: str) -> list[str]:
    return [".TP", term, _escaped(text)]


def _paragraphs(text: str) -> list[str]:
    """Each paragraph as one line, with a break before all but the first."""
    joined = [_escaped(" ".join(paragraph.split())) for paragraph in text.split("\n\n")]
    return "\n.PP\n".join(joined).splitlines()


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _escaped(text: str) -> str:
    r"""As roff reads it: a hyphen stands for itself, and no line is taken for a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", plain, flags=re.MULTILINE)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    texts = pages()
    for old in FOLDER.glob("*.1"):
        if old.name not in texts:
            old.unlink()
    for file, page in texts.items():
        (FOLDER / file).write_text(page, encoding="utf-8")
