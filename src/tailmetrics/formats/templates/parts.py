"""From what a server writes, in order, to a template: what belongs together, and of which kind it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from tailmetrics.errors import FormatError
from tailmetrics.formats.customers import is_forwarded
from tailmetrics.formats.templates.template import Field, Kind, Literal, Part, Role, Template

# Of several fields with one of these roles that one counts whose unit is the finest.
_UNITS = ("ns", "us", "ms", "s")


def template_of(parts: Sequence[Part], *, escapes: bool = True, zone: str = "") -> Template:
    """The template of these parts, which are as the server writes them one after the other.

    `escapes` is whether a quote within quotes has a backslash before it; `zone` is that of times which tell
    none, empty for that of the settings. Raises FormatError when two fields stand together so that nobody can
    tell where the first one ends.
    """
    joined = _targets(literals(parts))
    named: list[Part] = []
    seen: set[str] = set()
    for index, part in enumerate(joined):
        if isinstance(part, Literal):
            named.append(part)
            continue
        following = joined[index + 1] if index + 1 < len(joined) else None
        is_told_apart = part.kind is Kind.BRACES or (
            part.role is Role.HOST and isinstance(following, Field) and _is_path(following)
        )
        if isinstance(following, Field) and not is_told_apart:
            raise FormatError(
                f"found {part.name} and {following.name} with nothing between them, expected a character "
                "that tells where the first one ends"
            )
        field = part
        if escapes and _is_quoted(joined, index):
            field = replace(part, kind=Kind.QUOTED)
        elif isinstance(following, Field) and part.kind is not Kind.BRACES:
            field = replace(part, kind=Kind.WORD)
        if field.name in seen:
            field = replace(field, name=f"{field.name} ({index})", role=None)
        seen.add(field.name)
        named.append(field)
    return Template(tuple(_one_duration(named)), escapes, zone)


def without_quotes(
    parts: Sequence[Part], may_have: Callable[[Field], bool], *, everywhere: bool = False
) -> list[Part]:
    """Texts that nothing is escaped in as plain ones, but for those that `may_have` quotes.

    So what a client sends cannot pass for a field behind it. Those that are not in quotes are left as they
    are, unless it is `everywhere`.
    """
    joined = literals(parts)
    return [
        replace(part, kind=Kind.TEXT if may_have(part) else Kind.PLAIN)
        if isinstance(part, Field)
        and (
            (part.kind in (Kind.LIST, Kind.TEXT) and _is_quoted(joined, index))
            or (part.kind is Kind.TEXT and everywhere)
        )
        else part
        for index, part in enumerate(joined)
    ]


def best_of(parts: Sequence[Part], role: Role, names: Sequence[str]) -> list[Part]:
    """Of the fields with a role only those keep it whose names begin with the first of these that any has."""
    found = [part.name for part in parts if isinstance(part, Field) and part.role is role]
    best = next((name for name in names if any(each.startswith(name) for each in found)), "")
    return [
        replace(part, role=None)
        if isinstance(part, Field) and part.role is role and not part.name.startswith(best)
        else part
        for part in parts
    ]


def literals(parts: Sequence[Part]) -> list[Part]:
    """The same, with literals that follow each other as one, and without empty ones."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, Literal) and joined and isinstance(joined[-1], Literal):
            joined[-1] = Literal(joined[-1].text + part.text)
        elif not isinstance(part, Literal) or part.text:
            joined.append(part)
    return joined


def _targets(parts: Sequence[Part]) -> list[Part]:
    """A path and the query that follows it at once are a target."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Field) and part.role is Role.QUERY and isinstance(last, Field) and _is_path(last):
            joined[-1] = replace(last, role=Role.TARGET)
        else:
            joined.append(part)
    return joined


def _is_path(field: Field) -> bool:
    return field.role in (Role.PATH, Role.TARGET)


def _is_quoted(parts: Sequence[Part], index: int) -> bool:
    if index in (0, len(parts) - 1):
        return False
    before, after = parts[index - 1], parts[index + 1]
    if not isinstance(before, Literal) or not isinstance(after, Literal):
        return False
    return before.text.endswith('"') and after.text.startswith('"')


def _one_duration(parts: Sequence[Part]) -> list[Part]:
    durations = [part for part in parts if isinstance(part, Field) and part.role is Role.DURATION]
    if not durations:
        return list(parts)
    # Of the whole request before that of the servers behind, which may be several, and of these the finest.
    chosen = min(durations, key=lambda field: (field.kind is Kind.LIST, _UNITS.index(field.unit)))
    return [
        replace(part, role=None) if isinstance(part, Field) and part in durations and part != chosen else part
        for part in parts
    ]


def with_client(parts: Sequence[Part]) -> list[Part]:
    """X-Forwarded-For tells the client where a log has it before the address."""
    for index, part in enumerate(parts):
        if isinstance(part, Field) and part.role is Role.ADDRESS:
            break
        if isinstance(part, Field) and is_forwarded(part.name):
            return [*parts[:index], Field(part.name, part.kind, Role.ADDRESS), *parts[index + 1 :]]
    return list(parts)


def unknown(
    found: str, sought: str, column: int, names: Sequence[str], *, form: str, others: Sequence[str] = ()
) -> str:
    """What is said of a name that its server does not have: the most alike of the names, and all there are.

    `found` is as it is written, and `form` how each name is, with `{}` for it; columns begin with 1. `others`
    are alike to none.
    """
    alike = "".join(f"{form.format(each)}, or another " for each in get_close_matches(sought, names, n=1))
    known = ", ".join(form.format(each) for each in sorted([*names, *others]))
    return f"found {found} at column {column}, expected {alike}one of {known}"
